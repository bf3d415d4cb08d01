"""Following a run: until it is over, fails, or nothing starts tasks any more."""

from __future__ import annotations

from typing import Any

import pytest
from fake_airflow import FakeAirflow

from perennial.errors import PerennialError, ServiceUnavailable
from perennial.runs import follow
from perennial.runs.follow import RunFollower
from perennial.services import outage

DAG = "flights.features"


class Failed(PerennialError):
    pass


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_POLL", 0.0)
    monkeypatch.setattr(follow, "_HEALTH_EVERY", 0.0)


def follower(airflow: Any) -> RunFollower:
    return RunFollower(airflow, Failed)


def test_a_run_is_followed_to_its_end() -> None:
    airflow = FakeAirflow({DAG: ["queued", "queued", "running", "success"]})
    observed: list[str] = []
    ended = follower(airflow).follow(airflow.run(DAG, "one"), lambda run: observed.append(run.state))
    assert (ended.id, ended.state) == ("one", "success")
    assert observed == ["queued", "running"]


def test_a_failed_run_raises_the_error_asked_for() -> None:
    airflow = FakeAirflow({DAG: ["running", "failed"]})
    airflow.tasks[DAG] = {"ingest": "failed"}
    with pytest.raises(
        Failed, match=r"flights\.features, task ingest, failed for partition 2013-01:\n.*no such column"
    ):
        follower(airflow).follow(airflow.run(DAG, "one"))


@pytest.mark.parametrize(
    ("line", "is_refusal"),
    [("InvalidParams: no rollout is under way.", True), ("UnknownVersion: v99", True), ("ValueError: no", False)],
)
def test_a_refused_request_is_not_to_be_run_again(
    monkeypatch: pytest.MonkeyPatch, line: str, *, is_refusal: bool
) -> None:
    airflow = FakeAirflow({DAG: ["failed"]})
    airflow.tasks[DAG] = {"advance": "failed"}
    monkeypatch.setattr(airflow, "log_tail", lambda run, task: [line, "  Fix: another one."])
    with pytest.raises(Failed) as raised:
        follower(airflow).follow(airflow.run(DAG, "one"))
    assert ("run the same command again" in raised.value.fix) is not is_refusal
    assert airflow.run_url(airflow.run(DAG, "one")) in raised.value.fix


def test_a_scheduler_that_stays_away_is_an_error() -> None:
    airflow = FakeAirflow({DAG: ["running"]})
    airflow.unhealthy = 3
    with pytest.raises(ServiceUnavailable, match="scheduler does not run") as raised:
        follower(airflow).follow(airflow.run(DAG, "one"))
    assert raised.value.fix == "Run `perennial up`, then the same command again: it picks up where it was."


def test_a_late_heartbeat_is_no_error() -> None:
    airflow = FakeAirflow({DAG: [*["running"] * 6, "success"]})
    airflow.unhealthy = 2
    assert follower(airflow).follow(airflow.run(DAG, "one")).state == "success"


def test_what_is_not_there_yet_is_looked_for_again() -> None:
    airflow = FakeAirflow({DAG: ["success"]})
    looks = iter([None, None, airflow.run(DAG, "one")])
    states = list(follower(airflow).states(lambda: next(looks)))
    assert [state and state.id for state in states] == [None, None, "one"]


def test_a_scheduler_that_stays_away_is_waited_for_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "_QUIET", 0.0)
    airflow = FakeAirflow({DAG: [*["running"] * 9, "success"]})
    lines: list[str] = []
    airflow.unhealthy, airflow.tell = 6, lines.append
    assert follower(airflow).follow(airflow.run(DAG, "one")).state == "success"
    assert lines[0].startswith("Airflow's scheduler does not run: nothing is being started since ")
    assert lines[1:] == ["Airflow starts tasks again."]


def test_a_run_that_failed_after_an_outage_is_run_again_once() -> None:
    airflow = FakeAirflow({DAG: [*["running"] * 6, "failed"]})
    airflow.unhealthy, airflow.tell = 3, lambda line: None
    assert follower(airflow).follow(airflow.run(DAG, "one")).state == "success"
    assert airflow.cleared == [DAG]
    airflow.states[DAG] = ["failed"]
    one = follower(airflow)
    with pytest.raises(Failed):
        one.follow(airflow.run(DAG, "one"))


def test_a_run_is_not_run_again_twice() -> None:
    airflow = FakeAirflow({DAG: ["failed"]})
    airflow.lost = 0.0
    one = follower(airflow)
    airflow.lost = 1.0
    run = airflow.run(DAG, "one")
    one.retried(run)
    assert one.retried(run) is run
    assert airflow.cleared == [DAG]
