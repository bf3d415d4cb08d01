"""The DAG `rollout`: of a use case that declares one, and of all others."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from machines import ROOT
from pipelines import run_features_until, train
from registered import promote

from perennial import Rollout, discovery, gate
from perennial.dag_names import REFUSED
from perennial.gate import GateDecision
from perennial.registry import ledger
from perennial.use_case import UseCase

pytestmark = [pytest.mark.usefixtures("project", "mlflow_server"), pytest.mark.timeout(600)]
POLICY = Rollout(shadow=timedelta(days=7), check="*/5 * * * *")


@pytest.fixture(scope="module")
def tried(project, mlflow_server, energy: UseCase) -> UseCase:
    """v1 is the champion; v2 has passed the gate."""
    run_features_until(energy, "2024-01-03")
    use_case = energy.model_copy(update={"rollout": POLICY})
    for number in (1, 2):
        assert train(energy, f"run-{number}", window_end="2024-01-03", force=True) == number
    promote(energy, 1)
    evidence = {"challenger": 2, "champion": 1, "partition": "2024-01-03", "rows": 96, "rules": [], "metrics": {}}
    times = {"effective_from": energy.partition("2024-01-03").end}
    decision = GateDecision(promote=True, outcome="promote", reason="better", **evidence, **times)
    gate.finalize(use_case, decision)
    return use_case


@pytest.fixture
def dag(airflow_database, tried: UseCase, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The DAG of `energy`, which declares a rollout here."""
    load = discovery.load
    monkeypatch.setattr(discovery, "load", lambda name: tried if name == "energy" else load(name))
    rollout_dag: Callable[..., Any] = runpy.run_path(str(ROOT / "dags/rollout.py"))["rollout_dag"]
    return rollout_dag(tried, POLICY.check)


def run(dag: Any, **conf: str) -> tuple[str, dict[str, str]]:
    result = dag.test(run_conf=conf or None, logical_date=None)
    return result.state, {instance.task_id: instance.state for instance in result.get_task_instances()}


def test_without_a_declared_rollout_it_runs_on_demand_only(dag_bag) -> None:
    dag = dag_bag.dags["flights.rollout"]
    assert not dag.timetable.can_be_scheduled
    assert dag.is_paused_upon_creation is False, "one call has to be enough"


def test_the_dag_runs_on_its_clock_and_one_at_a_time(dag, tried: UseCase) -> None:
    assert (dag.dag_id, dag.max_active_runs, dag.end_date) == ("energy.rollout", 1, None)
    assert dag.timetable.expression == POLICY.check
    assert {task.owner for task in dag.tasks} == {tried.owner}
    assert "When a run fails" in dag.doc_md
    assert dag.params.get_param("action").schema["enum"] == ["check", "begin", "advance", "abort"]


def test_a_check_that_changes_nothing_is_skipped(dag) -> None:
    assert run(dag, action="check", reason="") == ("success", {"advance": "skipped", "emit_promotion": "skipped"})


def test_who_advances_without_a_reason_fails_and_is_told_as_refused(dag) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    result = dag.test(run_conf={"action": "advance", "reason": ""}, logical_date=None)
    assert result.state == "failed"
    left = XComModel.get_many(key=REFUSED, dag_ids=dag.dag_id, run_id=result.run_id)
    with create_session() as session:
        (row,) = session.scalars(left)
    assert "reason" in XComModel.deserialize_value(row)


def test_advancing_the_last_stage_promotes_and_tells(dag, tried: UseCase) -> None:
    tasks = run(dag, action="advance", reason="enough seen")
    assert tasks == ("success", {"advance": "success", "emit_promotion": "success"})
    entry = ledger.champion(tried)
    assert (entry.model_version, entry.actor, entry.action) == (2, "dag_test", "promoted")


def test_begin_puts_the_version_that_served_before_in_shadow(dag, tried: UseCase) -> None:
    tasks = run(dag, action="begin", reason="was it better?")
    assert tasks == ("success", {"advance": "success", "emit_promotion": "skipped"})
    entry = ledger.entries(tried)[-1]
    assert (entry.action, entry.model_version, entry.previous_version) == ("shadow", 1, 2)
    assert (entry.actor, entry.reason) == ("dag_test", "was it better?")
