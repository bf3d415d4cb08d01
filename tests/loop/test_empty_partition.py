"""Partitions in which nothing happened: a closed day is a partition like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pipelines import run_features

from perennial import RawTable, gate, lake, scoring
from perennial.errors import BadFeatures, NotEnoughData
from perennial.monitoring import monitor
from perennial.monitoring.verdict import HEALTHY, WARNING
from perennial.partitions import Partition
from perennial.registry import ledger
from perennial.training import fit, planning
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
#: One lies in the first training window, one after it.
CLOSED = ("2024-01-02", "2024-01-05")


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> Iterator[UseCase]:
    """Energy, of whose meters none is read on closed days."""
    raw = RawTable(name="readings", key=("site", "meter", "read_at"), time="read_at", min_rows=0)
    source = energy.module("source")
    readings = source.readings
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(source, "readings", lambda day: readings(day).slice(0, 0 if day.key in CLOSED else None))
        yield energy.model_copy(update={"raw": (raw,)})


@pytest.fixture(scope="module")
def lived(energy: UseCase) -> dict[str, monitor.Verdict]:
    verdicts = {}
    for day in energy.first.through(energy.partition("2024-01-05")):
        verdicts[day.key] = step(energy, day)
        if verdicts[day.key].reason == "first-model":
            plan = planning.plan_training(energy, day.key, {"force": True})
            data = planning.build_training_set(energy, plan)
            gate.finalize(energy, gate.evaluate(energy, fit.fit_challenger(energy, plan, data, made_by=day.key)))
    return verdicts


def step(use_case: UseCase, day: Partition) -> monitor.Verdict:
    run_features(use_case, day)
    scoring.score(use_case, day)
    return monitor.monitor(use_case, day)


def test_a_model_is_trained_on_a_window_with_a_closed_day(energy, lived) -> None:
    assert ledger.champion(energy).model_version == 1
    assert lived["2024-01-04"].verdict == HEALTHY


def test_a_closed_day_is_scored_with_no_predictions(energy, lived) -> None:
    assert scoring.score(energy, energy.partition("2024-01-05")) == {"model_version": 1, "predictions": 0}
    assert not lake.read("energy.predictions", partitions=["2024-01-05"]).num_rows


def test_its_verdict_says_that_nothing_was_to_be_predicted(energy, lived) -> None:
    verdict = lived["2024-01-05"]
    assert (verdict.verdict, verdict.reason) == (WARNING, "")
    assert "nothing to predict" in verdict.explanation


def test_late_rows_are_scored_and_monitored_too(energy, lived) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"{__name__}.CLOSED", ("2024-01-02",))
        verdict = step(energy, energy.partition("2024-01-05"))
    assert verdict.verdict == HEALTHY
    assert set(lake.read("energy.predictions", partitions=["2024-01-05"])["model_version"].to_pylist()) == {1}


def test_a_day_that_was_never_computed_is_no_closed_day(energy, lived) -> None:
    with pytest.raises(BadFeatures, match="no examples of partition '2024-01-09'"):
        scoring.score(energy, energy.partition("2024-01-09"))


def test_a_window_of_nothing_but_closed_days_is_not_enough(energy, lived) -> None:
    plan = planning.plan_training(
        energy, None, {"window_start": "2024-01-02", "window_end": "2024-01-02", "force": True}
    )
    with pytest.raises(NotEnoughData):
        planning.build_training_set(energy, plan)
