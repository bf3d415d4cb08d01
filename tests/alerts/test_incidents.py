"""The record of incidents, in a real lake: what is recorded once, read back, and acknowledged by whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from perennial import lake
from perennial.alerts import incidents
from perennial.alerts.incidents import Incident, IncidentEvent, Subject
from perennial.errors import InvalidParams

NOW = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
_names = count()


@pytest.fixture
def name() -> str:
    return f"case{next(_names)}"


def opening(use_case: str, reason: str = "overdue", subject: str = "2013-03", number: int = 0) -> IncidentEvent:
    about = Subject(reason, subject)  # type: ignore[arg-type]
    told: dict[str, Any] = {"title": "a partition is overdue", "meaning": "m", "action": "a", "link": "http://x"}
    told |= {"evidence": {"count": 1}, "owner": "ann", "by": "", "note": "", "recorded_at": NOW}
    identity = incidents.incident_id(use_case, about, number)
    return IncidentEvent(identity, use_case, *about, "opened", 0, "warning", **told)


def open_one(use_case: str, **more: Any) -> Incident:
    incidents.record(use_case, lambda known: [] if known else [opening(use_case, **more)], [])
    return incidents.open_incidents(use_case)[0]


def test_the_id_tells_openings_use_cases_reasons_and_subjects_apart() -> None:
    ids = {
        incidents.incident_id(use_case, Subject(reason, subject), number)  # type: ignore[arg-type]
        for use_case in ("a", "")
        for reason in ("alarm", "overdue")
        for subject in ("x", "y")
        for number in range(2)
    }
    assert len(ids) == 16


def test_rows_in_any_order_tell_the_same_incidents() -> None:
    first = opening("a")
    second = Incident((first,)).next("closed", NOW, note="loaded", evidence={})
    rows = [incidents._row(each, NOW) for each in (second, first)]
    assert incidents.from_rows("a", rows) == [Incident((first, second))]


@pytest.mark.usefixtures("home")
def test_what_is_recorded_is_read_back(name: str) -> None:
    assert incidents.events(name) == []
    assert open_one(name).events == (opening(name),)
    assert incidents.events(name) == [opening(name)]


@pytest.mark.usefixtures("home")
def test_the_installation_has_a_table_of_its_own() -> None:
    assert open_one("", reason="disk", subject="home").first.use_case == ""
    assert [each.subject for each in incidents.of([""])[""]] == [("disk", "home")]


@pytest.mark.usefixtures("home")
def test_an_event_of_a_later_month_is_kept_with_its_opening(name: str) -> None:
    opened = open_one(name)
    later = datetime(2026, 2, 1, tzinfo=UTC)
    incidents.record(name, lambda known: [opened.next("closed", later)] if known[0].is_open else [], [opened])
    assert lake.partitions(incidents.table(name)) == ["2026-01"]
    assert [each.event for each in incidents.events(name)] == ["opened", "closed"]


@pytest.mark.usefixtures("home")
def test_detectors_that_run_at_once_open_an_incident_once(name: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        recorded = list(threads.map(lambda _: incidents.record(name, _unless_known(name), []), range(4)))
    assert sorted(map(len, recorded)) == [0, 0, 0, 1]
    assert len(incidents.events(name)) == 1


def _unless_known(name: str) -> Any:
    return lambda known: [] if known else [opening(name)]


@pytest.mark.usefixtures("home")
def test_an_acknowledgement_is_recorded_once_and_leaves_it_open(name: str) -> None:
    opened = open_one(name)
    for _ in range(2):
        seen = incidents.acknowledge(opened.id[:6], "ann", "I ask the  provider", name)
    assert seen.state == "acknowledged"
    assert [(each.event, each.by, each.note) for each in seen.events[1:]] == [
        ("acknowledged", "ann", "I ask the provider")
    ]
    assert incidents.acknowledge(opened.id, "bob", "me too", name).latest.sequence == 2


@pytest.mark.usefixtures("home")
def test_what_no_record_would_close_is_closed_by_its_acknowledgement(name: str) -> None:
    opened = open_one(name, reason="rolled-back", subject="v3")
    closed = incidents.acknowledge(opened.id, "ann", "known", name)
    assert [each.event for each in closed.events] == ["opened", "acknowledged", "closed"]
    assert closed.latest.note == "closed by ann: known"
    with pytest.raises(InvalidParams, match=r"is closed: closed by ann"):
        incidents.acknowledge(opened.id, "bob", "and now", name)


def test_an_id_names_one_incident_or_none() -> None:
    some = [Incident((opening(name),)) for name in "ab"]
    assert incidents.find(some[0].id[:4], some) is some[0]
    for wrong in ("", some[0].id[:3], "zzzz"):
        with pytest.raises(InvalidParams, match="There is no incident"):
            incidents.find(wrong, some)
    with pytest.raises(InvalidParams, match="the beginning of 2 incidents"):
        incidents.find(some[0].id, [some[0], some[0]])
