"""A replay: which runs it starts, follows, runs again and passes over. On real Airflow: `end_to_end/`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fake_airflow import NOW, FakeAirflow

from perennial import discovery
from perennial.runs import follow, replay, replay_preview
from perennial.runs.progress import Step
from perennial.runs.replay import ReplayFailed
from perennial.services.airflow_api import DagRun

DONE = {"flights.scoring": ["success"], "flights.monitoring": ["success"]}


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_POLL", 0.0)
    monkeypatch.setattr(replay, "_APPROVAL_EVERY", 0.0)


def steps(airflow: Any) -> list[Step]:
    flights = discovery.load("flights")
    return list(replay.replay(airflow, flights, [flights.first]))


def preview_of(airflow: Any) -> str:
    flights = discovery.load("flights")
    (shown,) = replay_preview.preview(airflow, flights, [flights.first])
    return shown.todo


def states(airflow: Any) -> list[tuple[str, str]]:
    return [(step.pipeline, step.state) for step in steps(airflow)]


def test_features_is_triggered_and_the_rest_followed() -> None:
    airflow = FakeAirflow(DONE | {"flights.features": []})
    assert states(airflow) == [
        ("features", "started"),
        ("features", "done"),
        ("scoring", "done"),
        ("monitoring", "done"),
    ]
    assert airflow.triggered == ["replay__2013-01"]


def test_a_run_that_was_over_at_the_first_look_has_airflows_own_duration() -> None:
    airflow = FakeAirflow(DONE | {"flights.features": []}, ended=NOW + timedelta(hours=1))
    assert steps(airflow)[2] == Step("2013-01", "scoring", "done", 3600.0)


def test_training_is_followed_if_it_was_requested() -> None:
    airflow = FakeAirflow(DONE | {"flights.features": ["success"], "flights.training": ["success"]})
    airflow.tasks["flights.monitoring"] = {"request_retraining": "success"}
    assert ("training", "done") in states(airflow)
    airflow.tasks["flights.monitoring"] = {"request_retraining": "skipped"}
    assert "training" not in dict(states(airflow))


def test_a_run_that_failed_before_is_run_again_once() -> None:
    airflow = FakeAirflow(DONE | {"flights.features": ["failed"]}, ended=NOW - timedelta(days=1))
    assert states(airflow)[:2] == [("features", "started"), ("features", "done")]
    assert airflow.cleared == ["flights.features"]


class WithRunByHand(FakeAirflow):
    """One in which somebody ran features with parameters that do not exist, after whatever else there is."""

    def runs_of_partition(self, partition: str, *, prefix: str = "") -> list[DagRun]:
        ended = NOW - timedelta(hours=1)
        by_hand = DagRun("flights.features", "manual", "failed", partition, None, NOW, ended, {"refetsh": True})
        return [*super().runs_of_partition(partition, prefix=prefix), by_hand]


def test_a_run_by_hand_that_failed_blocks_nothing() -> None:
    airflow = WithRunByHand(DONE | {"flights.features": []})
    assert states(airflow)[:2] == [("features", "started"), ("features", "done")]
    assert (airflow.triggered, airflow.cleared) == (["replay__2013-01"], [])
    assert preview_of(WithRunByHand({"flights.features": []})) == "run"


def test_a_partition_is_through_whatever_failed_by_hand_later() -> None:
    airflow = WithRunByHand(DONE | {"flights.features": ["success"]}, ended=NOW - timedelta(days=1))
    assert [state for _, state in states(airflow)] == ["already-done"] * 3
    assert (airflow.triggered, airflow.cleared) == ([], [])
    assert preview_of(airflow) == "skip"


def test_a_run_that_fails_meanwhile_is_an_error() -> None:
    airflow = FakeAirflow(DONE | {"flights.features": ["running", "failed"]})
    with pytest.raises(ReplayFailed, match=r"flights\.features failed for partition 2013-01"):
        steps(airflow)
    assert airflow.cleared == []


def test_a_run_that_waits_for_approval_is_reported() -> None:
    # A look at any run of the partition shows the next state of all of them.
    training = [*["running"] * 6, "success"]
    airflow = FakeAirflow(DONE | {"flights.features": ["success"], "flights.training": training})
    airflow.tasks = {
        "flights.monitoring": {"request_retraining": "success"},
        "flights.training": {"approve": "awaiting_input"},
    }
    waiting = next(step for step in steps(airflow) if step.state == "waiting-for-approval")
    assert (waiting.pipeline, waiting.url) == ("training", "http://airflow/dags/flights.training/runs/asset")


def test_an_event_that_starts_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_EVENT_PATIENCE", 0.0)
    with pytest.raises(
        ReplayFailed, match=r"flights\.scoring was not started for partition 2013-01 by the asset event"
    ):
        steps(FakeAirflow({"flights.features": ["success"], "flights.scoring": []}))


@pytest.mark.parametrize(
    ("runs", "todo"),
    [
        ({}, "run"),
        ({"features": "success", "scoring": "failed"}, "run again"),
        ({"features": "success", "scoring": "success", "monitoring": "success"}, "skip"),
        ({"features": "success", "scoring": "success", "monitoring": "success", "training": "running"}, "follow"),
        ({"features": "success"}, "follow"),
    ],
)
def test_a_preview_says_what_would_be_done(runs: dict[str, str], todo: str) -> None:
    airflow: Any = FakeAirflow({f"flights.{pipeline}": [state] for pipeline, state in runs.items()})
    flights = discovery.load("flights")
    (previews,) = replay_preview.preview(airflow, flights, [flights.first])
    assert (previews.partition, previews.todo, previews.states) == ("2013-01", todo, runs)
