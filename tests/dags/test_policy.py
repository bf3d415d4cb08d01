"""What every DAG must be, whatever it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from airflow.utils.file import might_contain_dag

from perennial import dag_names, discovery

DAGS = Path(__file__).parents[2] / "dags"
CLOCKS = {"energy.schedule", "energy.refresh", "energy.ahead", "flights.ahead"}
HEAVY = ("feast", "mlflow", "great_expectations", "evidently", "sklearn", "pandas", "polars", "ibis", "pyiceberg")


def test_every_dag_file_parses(dag_bag) -> None:
    assert dag_bag.import_errors == {}


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.name)
def test_a_dag_file_has_at_most_80_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 80


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.name)
def test_airflow_does_not_skip_a_dag_file(file: Path) -> None:
    assert might_contain_dag(str(file), safe_mode=True)


def test_a_person_is_asked_only_where_that_is_needed(dag_bag) -> None:
    tasks = dag_bag.dags[dag_names.dag_id("energy", dag_names.TRAINING)].task_dict
    assert tasks[dag_names.APPROVE].upstream_task_ids == {dag_names.NEEDS_APPROVAL}
    assert tasks[dag_names.FINALIZE].upstream_task_ids >= {dag_names.NEEDS_APPROVAL, dag_names.APPROVE}


def test_tasks_and_dags_are_called_as_the_library_calls_them(dag_bag) -> None:
    tasks = {
        dag_names.FIT,
        dag_names.EVALUATE,
        dag_names.REFIT,
        dag_names.NEEDS_APPROVAL,
        dag_names.APPROVE,
        dag_names.FINALIZE,
    }
    assert tasks <= set(dag_bag.dags[dag_names.dag_id("energy", dag_names.TRAINING)].task_ids)
    for pipeline in (dag_names.MONITORING, dag_names.SCHEDULE):
        assert dag_names.REQUEST_RETRAINING in dag_bag.dags[dag_names.dag_id("energy", pipeline)].task_ids
    assert {dag_names.use_case_name(dag) for dag in dag_bag.dags} - {dag_names.ALERTS} == set(discovery.names())


def test_a_person_is_asked_only_where_the_branch_says_so(dag_bag) -> None:
    for name in discovery.names():
        dag = dag_bag.dags[dag_names.dag_id(name, dag_names.TRAINING)]
        assert dag.get_task(dag_names.APPROVE).upstream_task_ids == {"needs_approval"}
        assert dag.get_task(dag_names.FINALIZE).upstream_task_ids == {"refit", "needs_approval", dag_names.APPROVE}


def test_every_use_case_has_every_pipeline(dag_bag) -> None:
    every = {f"{name}.{kind}" for name in discovery.names() for kind in dag_names.ALL}
    assert set(dag_bag.dags) - {dag_names.ALERTS} == every | CLOCKS, "others declare none of these"


def test_incidents_are_looked_for_by_one_dag_for_all_use_cases(dag_bag) -> None:
    dag = dag_bag.dags[dag_names.ALERTS]
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert "When a run fails" in dag.doc_md
    assert all(task.doc_md and task.retry_policy is not None for task in dag.tasks)


@pytest.fixture(params=[f"{name}.{kind}" for name in ("flights", "energy") for kind in dag_names.ALL] + sorted(CLOCKS))
def dag(dag_bag, request):
    return dag_bag.dags[request.param]


def test_a_dag_has_an_owner_who_is_the_use_cases(dag) -> None:
    use_case = discovery.load(dag.dag_id.partition(".")[0])
    assert {task.owner for task in dag.tasks} == {use_case.owner}


def test_a_dag_says_what_it_does_and_what_to_do_when_it_fails(dag) -> None:
    assert "When a run fails" in dag.doc_md
    assert "Owner" in dag.doc_md
    assert dag.description


def test_a_dag_is_tagged(dag) -> None:
    assert {"perennial", *dag.dag_id.split(".")} <= set(dag.tags)


def test_every_task_is_documented_and_retried(dag) -> None:
    for task in dag.tasks:
        assert task.doc_md, task.task_id
        assert task.retries >= 1, task.task_id
        assert task.retry_policy is not None, task.task_id


def test_what_a_task_returns_is_kept_once(dag) -> None:
    # A `-> dict` alone would also store each key apart, by a request each.
    assert not [task.task_id for task in dag.tasks if getattr(task, "multiple_outputs", False)]


def test_a_dag_never_catches_up_by_itself(dag) -> None:
    assert dag.catchup is False


def test_what_must_not_overlap_does_not(dag_bag) -> None:
    for kind in ("features", "training", "champion", "refresh", "ahead"):
        assert dag_bag.dags[f"energy.{kind}"].max_active_runs == 1


def test_the_trigger_form_is_typed_and_described(dag_bag) -> None:
    params = dag_bag.dags["flights.training"].params
    assert params.get_param("max_iter").schema["type"] == "integer"
    assert params.get_param("max_iter").schema["maximum"] == 1000
    assert params.get_param("window_start").schema["type"] == ["string", "null"]
    for name in params:
        assert params.get_param(name).schema.get("title"), name
        assert params.get_param(name).description, name


def test_a_rollback_asks_for_a_reason_and_waits_for_nobody(dag_bag) -> None:
    dag = dag_bag.dags["flights.champion"]
    assert not dag.timetable.can_be_scheduled
    assert dag.is_paused_upon_creation is False, "one call has to be enough"
    assert not dag.params.get_param("reason").has_value
    assert dag.params.get_param("action").schema["enum"] == ["rollback", "resume"]
    assert dag.params.get_param("to").schema["type"] == ["integer", "null"]
    assert dag.params.get_param("pause").value is None


def test_approval_follows_the_use_case_unless_the_run_sets_it(dag_bag) -> None:
    dag = dag_bag.dags["flights.training"]
    param = dag.params.get_param("require_approval")
    assert param.resolve() is None
    assert param.schema["enum"] == ["never", "always", "borderline", None]
    assert dag.get_task("approve").response_timeout == discovery.load("flights").gate.approval_timeout


@pytest.mark.parametrize("file", sorted(path.name for path in DAGS.glob("*.py")))
def test_parsing_a_dag_file_imports_nothing_heavy(file: str) -> None:
    code = f"""
import runpy, sys
import airflow.sdk, airflow.providers.standard.operators.hitl
before = set(sys.modules)
runpy.run_path({str(DAGS / file)!r})
print(",".join(sorted(set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.strip().splitlines()[-1].split(",")}
    assert not imported & set(HEAVY)


def test_a_dag_file_looks_for_use_cases_once_not_once_for_each() -> None:
    files = sorted(str(path) for path in DAGS.glob("*.py"))
    code = f"""
import runpy, sys, use_cases
searches = []
sys.addaudithook(lambda event, args: searches.append(args[1]) if event == "pathlib.Path.glob" else None)
for file in {files}:
    runpy.run_path(file)
print(len(use_cases.__path__), searches.count("*/use_case.py"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots, searches = map(int, done.stdout.split()[-2:])
    assert searches == roots * (len(files) - 1), "alerts is of no use case"


@pytest.mark.parametrize("file", sorted(path.name for path in DAGS.glob("*.py")))
def test_a_dag_file_is_short(file: str) -> None:
    assert len((DAGS / file).read_text().splitlines()) < 111
