"""Whole DAGs run in this process by `dag.test()`, on the second use case."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from perennial import discovery, lake
from perennial.registry import ledger, tracking

pytestmark = [pytest.mark.usefixtures("project", "mlflow_server"), pytest.mark.timeout(600)]


@pytest.fixture
def run(dag_bag, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, dict[str, str]]]:
    """Runs a DAG once by `dag.test()`; gives the run's state and the states by task."""
    from airflow.models import dagrun

    def run_once(dag_id: str, partition: str | None, **conf: Any) -> tuple[str, dict[str, str]]:
        with monkeypatch.context() as keyed:
            # `dag.test()` takes no partition key yet; `test_dag_test_takes_no_partition_key` tells when it does.
            keyed.setattr(dagrun, "get_or_create_dagrun", _with_key(dagrun.get_or_create_dagrun, partition))
            result = dag_bag.dags[dag_id].test(run_conf=conf or None, logical_date=None)
        return result.state, {instance.task_id: instance.state for instance in result.get_task_instances()}

    return run_once


def _with_key(create: Callable[..., Any], partition: str | None) -> Callable[..., Any]:
    def create_with_key(**arguments: Any) -> Any:
        created = create(**arguments)
        created.partition_key = partition
        arguments["session"].commit()
        return created

    return create_with_key


def test_dag_test_takes_no_partition_key(dag_bag) -> None:
    assert "partition_key" not in inspect.signature(dag_bag.dags["energy.features"].test).parameters


def test_a_batch_becomes_features_and_the_run_succeeds(run) -> None:
    state, tasks = run("energy.features", "2024-01-01")
    assert state == "success"
    assert tasks == dict.fromkeys(("ingest", "compute", "publish", "parity"), "success")
    assert {row["differences"] for row in lake.read("energy.parity", partitions=["2024-01-01"]).to_pylist()} == {0}
    assert lake.read("energy.examples", partitions=["2024-01-01"]).num_rows == 288


def test_without_a_champion_scoring_succeeds_without_request(run) -> None:
    run("energy.features", "2024-01-01")
    assert run("energy.scoring", "2024-01-01")[0] == "success"
    state, tasks = run("energy.monitoring", "2024-01-01")
    assert state == "success"
    assert tasks == {
        "monitor": "success",
        "request_retraining": "skipped",
        "revisit": "skipped",
        "probation": "skipped",
    }


def test_a_run_without_a_partition_fails_and_is_not_tried_again(run) -> None:
    state, tasks = run("energy.features", None)
    assert state == "failed"
    assert tasks["ingest"] == "failed"


def test_a_run_with_an_unknown_parameter_fails(run) -> None:
    assert run("energy.features", "2024-01-01", colour="blue")[1]["ingest"] == "failed"


def test_training_on_demand_promotes_the_first_model(run) -> None:
    for day in (1, 2, 3):
        run("energy.features", f"2024-01-0{day}")
    state, tasks = run("energy.training", None, alpha=2.0)
    assert state == "success"
    assert tasks["approve"] == "skipped"
    assert tasks["finalize"] == "success"
    (entry,) = lake.read("energy.ledger").to_pylist()
    assert entry["action"] == "promoted"
    used = {row["task"] for row in lake.read("energy.run_costs").to_pylist() if row["pipeline"] == "training"}
    assert {"plan", "build_training_set", "fit", "evaluate", "refit", "finalize"} <= used
    assert run("energy.schedule", None)[1]["request_retraining"] == "success"
    (request,) = lake.read("energy.requests").to_pylist()
    assert (request["partition"], request["reason"]) == ("2024-01-03", "schedule")
    assert run("energy.schedule", None)[1]["request_retraining"] == "skipped", "asked again within the cool-down"
    assert run("energy.training", None)[1]["finalize"] == "skipped"
    assert [row["action"] for row in lake.read("energy.ledger").to_pylist()].count("promoted") == 1


def test_the_clock_predicts_what_is_still_to_come(run) -> None:
    run("energy.features", "2024-01-01")
    assert run("energy.ahead", None) == ("success", {"predict_ahead": "success"})
    assert lake.read("energy.served_predictions") is None, "all of energy's examples are long past"


def test_before_the_first_model_the_clock_asks_for_nothing(run) -> None:
    run("energy.features", "2024-01-01")
    assert run("energy.schedule", None)[1]["request_retraining"] == "skipped"


@pytest.fixture
def newer(run) -> int:
    """A version, of the same model, that was promoted after v1; v1 is trained if it is not there."""
    energy = discovery.load("energy")
    if not ledger.promotions(energy):
        for day in (1, 2, 3):
            run("energy.features", f"2024-01-0{day}")
        run("energy.training", None)
    first, server = ledger.promotions(energy)[0], tracking.client()
    (model,) = server.get_run(first.model_run).outputs.model_outputs
    source = f"models:/{model.model_id}"
    copy = server.create_model_version("energy", source, first.model_run, model_id=model.model_id)
    number = int(copy.version)
    entry = {name: value for name, value in vars(first).items() if name not in ("recorded_at", "event_id")}
    ledger.record(energy, **entry | {"model_version": number, "previous_version": first.model_version})
    return number


def test_a_rollback_and_its_end_are_runs_of_the_dag_champion(run, newer: int) -> None:
    state, tasks = run("energy.champion", None, reason="wrong at night", pause="7d")
    assert (state, tasks) == ("success", {"roll_back": "success", "resume": "skipped"})
    entry = ledger.champion(discovery.load("energy"))
    assert (entry.action, entry.previous_version) == ("rolled-back", newer)
    assert (entry.actor, entry.reason) == ("dag_test", "wrong at night")
    assert entry.event_id.startswith("rollback:energy.champion/")
    assert ledger.pause(discovery.load("energy")).until is not None
    state, tasks = run("energy.champion", None, action="resume", reason="mended")
    assert (state, tasks) == ("success", {"roll_back": "skipped", "resume": "success"})
    assert ledger.pause(discovery.load("energy")) is None


def test_a_rollback_that_cannot_be_is_not_tried_again(run, newer: int) -> None:
    # `dag.test()` keeps the parameters of the run before: in Airflow each run begins with the form's defaults.
    state, tasks = run("energy.champion", None, action="rollback", reason="wrong", to=99)
    assert (state, tasks["roll_back"]) == ("failed", "failed")
    assert ledger.champion(discovery.load("energy")).model_version == newer


def test_the_partition_under_way_is_refreshed_to_a_moment(run) -> None:
    run("energy.features", "2024-01-01")
    rows = lake.read("energy.examples").num_rows
    state, tasks = run("energy.refresh", None, until="2024-01-10T06:00Z")
    assert (state, tasks["refresh"]) == ("failed", "failed"), "the days before are missing"
    state, tasks = run("energy.refresh", None, until="2024-01-01T06:00Z")
    assert tasks["refresh"] == "skipped", "the day is complete"
    assert lake.read("energy.examples").num_rows == rows


def test_after_the_use_cases_end_a_refresh_is_skipped(run) -> None:
    assert run("energy.refresh", None, until=None)[1]["refresh"] == "skipped"


@pytest.mark.parametrize("until", ["soon", "2024-01-02T06:00", "2524-01-02T06:00Z"])
def test_a_moment_that_is_none_or_to_come_is_refused(run, until: str) -> None:
    assert run("energy.refresh", None, until=until)[1]["refresh"] == "failed"
