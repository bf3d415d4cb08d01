"""A push and a refresh, killed before each step that writes to a store, and after the last, and then run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from homes import Home
from kill_points import AFTER, KillPoint, Moment, is_store
from plan import Task
from scenario_run import ScenarioRun
from workers import Lane, stage

pytestmark = pytest.mark.timeout(1800)  # For busy machines.
FIRST, DAY = "2024-01-01", "2024-01-02"
NEXT = {DAY: "2024-01-03", "2024-01-03": "2024-01-04"}
METERS = {f"meter-{number}" for number in range(12)}
UNSEEN = {"sql lock", "sql unlock", "lake manifest", "lake manifest list"}
#: Of the lake and Feast's registry; in the midst of a transaction of the online store; its commit.
COMMITS = {"sql commit", "sqlite3.Connection.executemany", "sqlite3.Connection.__exit__"}
#: Rows of a push.
HOURS = 3
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def lane() -> Iterator[tuple[Lane, Home]]:
    home = Home()
    with stage(home) as worker:
        yield worker.lane(), home


@pytest.fixture(scope="module")
def run(lane: tuple[Lane, Home]) -> ScenarioRun:
    """After one complete day."""
    scenario = ScenarioRun(*lane)
    features(scenario, FIRST)
    return scenario


def kill_points(moments: list[list[str]]) -> list[KillPoint]:
    """Before each write to a store, and after the last.

    Reaching for a lock writes nothing, and a manifest is a file that nobody knows before the table's metadata file.
    """
    met: Counter[Moment] = Counter()
    points = []
    for what, when in moments:
        met[what, when] += 1
        if is_store(what) and what not in UNSEEN:
            points.append(KillPoint(what, when, met[what, when]))
    assert points
    last = points[-1]
    return [each for each in points if each.when != AFTER] + ([last] if last.when == AFTER else [])


def as_planned(point: KillPoint) -> list[str | int]:
    return [point.what, point.when, point.nth]


def attempt(run: ScenarioRun, task: Task, conf: dict[str, Any], **plan: Any) -> dict[str, Any]:
    return run.try_once(task, {"conf": conf}, plan)


def stored(run: ScenarioRun, day: str) -> dict[str, Any]:
    answer = attempt(run, Task("stores", "stored", day), {})
    assert answer["outcome"] == "done", answer
    return answer["result"]


def once(rows: Rows, *key: str) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows by their key, of which none is there twice."""
    by_key = {tuple(row[name] for name in key): row for row in rows}
    assert len(by_key) == len(rows)
    return by_key


def newest(history: Rows) -> dict[str, str]:
    """The newest value of each meter in the lake."""
    ordered = sorted(history, key=lambda row: row["event_timestamp"])
    return {row["meter"]: row["meter_last"] for row in ordered}


def test_a_killed_push_is_there_once_when_it_is_repeated(run: ScenarioRun) -> None:
    pushing = Task("push", "push", DAY)
    watched = attempt(run, pushing, {"meter": "watched", "hours": HOURS}, watch=True)
    assert watched["outcome"] == "done", watched
    points = kill_points(watched["moments"])
    # Before the lake's commit, between lake and online, and in the midst of writing online.
    assert {"lake data file", "sql commit", "sqlite3.Connection.executemany"} <= {point.what for point in points}
    for number, point in enumerate(points):
        conf = {"meter": f"killed-{number}", "hours": HOURS}
        killed = attempt(run, pushing, conf, kill_point=as_planned(point))
        assert killed["outcome"] == "killed", (str(point), killed)
        again = attempt(run, pushing, conf)
        assert again["outcome"] == "done", (str(point), again)
        done = again["result"]
        # All of it was in the lake already, or none.
        assert (done["new"], done["known"]) in ((HOURS, 0), (0, HOURS)), str(point)
    found = stored(run, DAY)
    history = once(found["meter_history"], "meter", "event_timestamp")
    for number, point in enumerate(points):
        assert sum(meter == f"killed-{number}" for meter, _ in history) == HOURS, str(point)
        assert found["online"][f"killed-{number}"] == str(HOURS - 1.0), str(point)


def test_a_killed_refresh_leaves_nothing_out_when_it_or_the_next_one_runs(run: ScenarioRun) -> None:
    """A refresh an hour, each killed at the next commit; then it runs again, or the one of the hour after it.

    What a refresh writes between two commits nobody sees, so its other kill points, thrice as many, leave the same.
    """
    day, hour = DAY, 3
    refresh(run, day, 2)
    met = kill_points(refresh(run, day, hour, watch=True)["moments"])
    points = [point for point in met if point.what in COMMITS]
    assert {point.what for point in points} == COMMITS
    for number, point in enumerate(points):
        if hour > 21:
            features(run, day)
            day, hour = NEXT[day], 2
            refresh(run, day, hour)
        hour += 1
        killed = attempt(run, Task("refresh", "refresh", day), {"hours": hour}, kill_point=as_planned(point))
        assert killed["outcome"] == "killed", (str(point), killed)
        hour += number % 2
        refresh(run, day, hour)
        found = stored(run, day)
        readings = [row for row in found["readings"] if row["partition"] == day]
        assert len(once(readings, "meter", "read_at")) == len(METERS) * hour, str(point)
        history = [row for row in found["meter_history"] if row["meter"] in METERS]
        once(history, "meter", "event_timestamp")
        assert sum(row["partition"] == day for row in history) == len(METERS) * hour, str(point)
        online = {meter: value for meter, value in found["online"].items() if meter in METERS}
        assert online == newest(history), str(point)


def refresh(run: ScenarioRun, day: str, hours: int, **plan: Any) -> dict[str, Any]:
    """One that nothing disturbs."""
    answer = attempt(run, Task("refresh", "refresh", day), {"hours": hours}, **plan)
    assert answer["outcome"] == "done", answer
    return answer


def features(run: ScenarioRun, day: str) -> None:
    """The pipeline of a day that has ended."""
    for step in ("ingest", "compute", "publish"):
        run.task(Task("features", step, day), {"conf": {}})
