"""The whole loop at library level, on real stores, for a second use case that the library has never heard of."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pipelines import run_features

from perennial import gate, lake, scoring
from perennial.feature_store import repository
from perennial.monitoring import monitor
from perennial.monitoring.verdict import ALARM, HEALTHY
from perennial.partitions import Partition
from perennial.registry import ledger, mlflow_tags, model_files, model_loading, retraining_requests, tracking
from perennial.reporting import partition_status
from perennial.training import fit, planning
from perennial.training.training_set import TrainingSet
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


def step(use_case: UseCase, partition: Partition) -> monitor.Verdict:
    run_features(use_case, partition)
    scoring.score(use_case, partition)
    return monitor.monitor(use_case, partition)


def retrain(use_case: UseCase, partition: Partition) -> gate.GateDecision:
    plan = planning.plan_training(use_case, partition.key, {})
    data = planning.build_training_set(use_case, plan)
    version = fit.fit_challenger(use_case, plan, data, made_by=f"run-{partition}")
    return gate.finalize(use_case, gate.evaluate(use_case, version))


@pytest.fixture(scope="module")
def lived(energy: UseCase) -> dict[str, monitor.Verdict]:
    """Nine days: three without a model, two healthy ones, then the world moves."""
    verdicts = {}
    for partition in energy.first.through(energy.partition("2024-01-09")):
        verdict = step(energy, partition)
        verdicts[partition.key] = verdict
        if monitor.request_retraining(energy, partition, verdict, made_by=f"monitor-{partition}"):
            retrain(energy, partition)
    return verdicts


def test_first_model_is_requested_after_enough_partitions(lived) -> None:
    assert [lived[f"2024-01-0{day}"].reason for day in (1, 2, 3)] == ["", "", "first-model"]


def test_a_steady_world_is_healthy(lived) -> None:
    assert lived["2024-01-04"].verdict == HEALTHY
    assert lived["2024-01-04"].evidence.label_coverage == 1


def test_a_moved_world_is_an_alarm_of_performance_and_of_drift(lived) -> None:
    assert lived["2024-01-06"].verdict == ALARM
    assert lived["2024-01-06"].reason == "performance"
    assert lived["2024-01-06"].evidence.drifted


def test_the_gates_next_decision_closes_the_alarm(energy, lived) -> None:
    state = partition_status.status(energy)
    alarms = {one.partition: one.alarm for one in state.partitions if one.alarm is not None}
    decided = next(entry for entry in ledger.decisions(energy) if entry.partition >= "2024-01-06")
    closed = alarms["2024-01-06"]
    assert (closed.is_open, closed.decision) == (False, decided.model_version), closed
    assert (closed.cause == "stale") == (decided.action == ledger.PROMOTED)
    assert all(alarm.act for alarm in state.open_alarms)


def test_the_retrained_champion_beats_the_stale_first_model(energy, lived) -> None:
    rows = [r for r in lake.read("energy.metrics", partitions=["2024-01-09"]).to_pylist() if r["metric"] == "rmse"]
    by_role = {row["role"]: row for row in rows}
    assert by_role["champion"]["model_version"] > by_role["first"]["model_version"]
    assert by_role["champion"]["value"] < by_role["first"]["value"]


def test_partition_is_scored_by_the_champion_at_its_start(energy, lived) -> None:
    for partition in energy.first.through(energy.partition("2024-01-09")):
        champion = ledger.champion_at(energy, partition.start)
        rows = lake.read("energy.predictions", partitions=[partition.key])
        versions = set(rows["model_version"].to_pylist())
        assert versions == ({champion.model_version} if champion else set())


def test_the_alias_champion_is_the_ledgers_champion(energy, lived) -> None:
    version = tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION)
    assert int(version.version) == ledger.champion(energy).model_version


def test_running_a_partition_again_changes_nothing(energy, lived) -> None:
    tables = [f"energy.{name}" for name in ("readings", "meter_history", "examples", "batches", "quarantine")]
    tables += ["energy.predictions", "energy.metrics", "energy.drift", "energy.verdicts"]
    before = {name: lake.snapshot(name) for name in tables}
    assert step(energy, energy.partition("2024-01-07")).verdict == lived["2024-01-07"].verdict
    assert {name: lake.snapshot(name) for name in tables} == before


def test_request_is_repeated_only_by_the_killed_run(energy, lived) -> None:
    partition, verdict = energy.partition("2024-01-06"), lived["2024-01-06"]
    assert monitor.request_retraining(energy, partition, verdict, made_by="monitor-2024-01-06")
    assert not monitor.request_retraining(energy, partition, verdict, made_by="somebody else")


def test_requests_after_an_answered_one_wait_for_the_cooldown(energy, lived) -> None:
    requested = [energy.partition(row["partition"]).start for row in retraining_requests.load_all(energy)]
    assert len(requested) > 1
    assert all((later - earlier).days > 1 for earlier, later in pairwise(requested))


def test_a_request_that_is_answered_is_not_trained_for_again(energy, lived) -> None:
    assert "already handled" in planning.plan_training(energy, "2024-01-06", {}).skip
    assert not planning.plan_training(energy, "2024-01-06", {"force": True}).skip


def test_settling_twice_promotes_once(energy, lived) -> None:
    entry = ledger.promotions(energy)[0]
    decision = gate.GateDecision(**entry.evidence)
    before = ledger.entries(energy)
    gate.finalize(energy, decision)
    assert ledger.entries(energy) == before
    champion = tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION)
    assert int(champion.version) == ledger.champion(energy).model_version


def test_fitting_again_for_a_run_registers_no_version(energy, lived) -> None:
    plan = planning.TrainingPlan(**_artifact(energy, 1, "plan.json"))
    data = TrainingSet(**_artifact(energy, 1, "training_set.json"))
    assert fit.fit_challenger(energy, plan, data, made_by="run-2024-01-03") == 1


def test_killed_fit_is_completed_in_its_own_run(energy, lived, monkeypatch) -> None:
    plan = planning.TrainingPlan(**_artifact(energy, 1, "plan.json"))
    data = TrainingSet(**_artifact(energy, 1, "training_set.json"))
    with monkeypatch.context() as killed:
        killed.setattr(tracking, "register", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit.fit_challenger(energy, plan, data, made_by="killed")
    begun = tracking.find_run(energy, "training", "killed")
    number = fit.fit_challenger(energy, plan, data, made_by="killed")
    assert tracking.run_of(energy, number) == begun
    [complete] = model_files.written(energy, begun)
    assert tracking.registered_version(energy, number).model_id == complete.model, "the fit was not done again"
    model_loading.load(energy, number)


def test_same_seed_and_rows_give_the_same_predictions(energy, lived) -> None:
    plan = planning.plan_training(energy, None, {"window_start": "2024-01-01", "window_end": "2024-01-03"})
    data = planning.build_training_set(energy, plan)
    logged = tracking.client().get_run(tracking.run_of(energy, 1)).data
    assert logged.tags[mlflow_tags.TRAINING_SET] == data.digest
    again = fit.fit_challenger(energy, plan, data, made_by="again")
    one, two = model_loading.load(energy, 1)(data.holdout), model_loading.load(energy, again)(data.holdout)
    assert (one == two).all()


def test_the_champion_stays_when_the_challenger_is_its_twin(energy, lived) -> None:
    champion = ledger.champion(energy)
    plan = planning.TrainingPlan(**_artifact(energy, champion.model_version, "plan.json"))
    data = TrainingSet(**_artifact(energy, champion.model_version, "training_set.json"))
    twin = fit.fit_challenger(energy, plan, data, made_by="twin")
    decision = gate.evaluate(energy, twin)
    assert not decision.promote
    assert "rmse improvement" in decision.reason


def test_everything_needed_to_train_again_is_logged(energy, lived) -> None:
    run = tracking.client().get_run(tracking.run_of(energy, 1))
    required = {"training_set", "snapshots", "lock_digest", "window", "holdout_start", "gate", "owner", "requests"}
    assert {f"perennial.{name}" for name in required} <= set(run.data.tags)
    assert run.data.tags[mlflow_tags.GIT_COMMIT]
    assert run.data.params["alpha"] == "1.0"
    assert run.inputs.dataset_inputs[0].dataset.digest == run.data.tags[mlflow_tags.TRAINING_SET][:36]


def test_online_values_are_the_newest_of_the_lake(energy, lived) -> None:
    keys = [{"site": "site-0", "meter": "meter-3"}]
    [row] = repository.online_features("energy", keys, at=energy.partition("2024-01-09").end)
    history = lake.read("energy.meter_history", partitions=["2024-01-09"]).to_pylist()
    newest = max((r for r in history if r["meter"] == "meter-3"), key=lambda r: r["event_timestamp"])
    assert row["meter_last"] == newest["meter_last"]
    [today] = repository.online_features("energy", keys, statuses=True)
    assert (today["meter_last"], today["meter_last__status"]) == (None, "expired")
    assert today["energy_meter_history__event_timestamp"] == newest["event_timestamp"]


def _artifact(use_case: UseCase, version: int, name: str) -> dict:
    import mlflow

    return mlflow.artifacts.load_dict(f"runs:/{tracking.run_of(use_case, version)}/{name}")
