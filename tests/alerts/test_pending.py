"""What a route is still to tell, and when: filters, quiet hours, limits and pauses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from alert_cases import NOW, incident, route

from perennial.alert_routes import AlertRoute
from perennial.alerts import messages, pending
from perennial.alerts.deliveries import Delivery, History, pause
from perennial.alerts.incidents import Incident

_BEGUN = NOW - timedelta(days=1)
_NIGHT = {"begin": "11:00", "end": "14:00", "time_zone": "UTC"}


def row(of: Any, state: str, at: Any = NOW, message: str = "", attempt: int = 1, name: str = "hook") -> Delivery:
    key = messages.key_of(of, name)
    told = (name, of.incident, of.sequence, of.use_case, key, message or key, attempt, state, "", at)
    return Delivery(*told)  # type: ignore[arg-type]


def history(*rows: Delivery) -> History:
    return History([Delivery("hook", "", 0, "", "", "", 0, "begun", "", _BEGUN), *rows])


def told(to: AlertRoute, *known: Incident, by: History | None = None) -> list[list[str]]:
    return [[event.event for event in each.events] for each in pending.of_route(to, by or history(), known)]


def many(count: int, **more: Any) -> list[Incident]:
    return [incident(subject=f"{number}", **more) for number in range(count)]


def due(to: AlertRoute, known: list[Incident], by: History, now: Any = NOW) -> list[int]:
    return [len(each) for each in pending.due(to, by, pending.of_route(to, by, known), now)]


def test_a_route_is_told_of_what_it_is_for() -> None:
    flights = incident(severity="warning")
    assert told(route(), flights) == [["opened"]]
    assert told(route(severity="critical"), flights) == []
    assert told(route(use_cases=["energy"]), flights) == told(route(owners=["bob"]), flights) == []
    assert told(route(use_cases=["flights"], owners=["ann"]), flights) == [["opened"]]
    assert told(route(), incident(use_case="")) == [["opened"]]
    assert told(route(use_cases=["flights"]), incident(use_case="")) == []


def test_an_update_is_told_if_it_is_more_serious() -> None:
    changed = incident(("updated", {}), ("updated", {"severity": "critical"}), ("updated", {"severity": "info"}))
    assert told(route(severity="critical"), changed) == [["updated"]]
    assert [e.sequence for e in pending.of_route(route(), history(), [changed])[0].events] == [0, 2]


def test_who_heard_of_an_incident_hears_how_it_ended() -> None:
    calmed = incident(("updated", {"severity": "info"}), ("closed", {}), severity="critical")
    assert told(route(severity="critical"), calmed, by=history(row(calmed.first, "sent"))) == [["closed"]]


def test_a_new_route_tells_of_what_is_open_only() -> None:
    known = [incident(("acknowledged", {}), subject="open"), incident(("closed", {}), subject="over")]
    late = History([Delivery("hook", "", 0, "", "", "", 0, "begun", "", NOW + timedelta(hours=1))])
    assert told(route(), *known, by=late) == [["acknowledged"]]


def test_what_waits_in_quiet_hours_is_told_when_they_end() -> None:
    quiet = route(quiet=_NIGHT)
    known = [
        incident(("closed", {}), subject="over"),
        incident(subject="open"),
        incident(subject="bad", severity="critical"),
    ]
    assert [
        each[0].latest.subject for each in pending.due(quiet, history(), pending.of_route(quiet, history(), known), NOW)
    ] == ["bad"]
    assert due(quiet, known, history(), NOW + timedelta(hours=2)) == [1, 1, 1]


def test_what_exceeds_the_limit_is_summed_up_in_one_message() -> None:
    assert due(route(per_hour=3), many(3), history()) == [1, 1, 1]
    assert due(route(per_hour=3), many(10), history()) == [1, 1, 8]
    assert due(route(per_hour=1), many(10), history()) == [10]
    sent = [row(each.first, "sent", NOW - timedelta(minutes=10)) for each in many(2)]
    assert due(route(per_hour=3), many(10), history(*sent)) == [8]
    assert due(route(per_hour=2), many(10), history(*sent)) == []
    assert due(route(per_hour=2), many(10), history(*sent), NOW + timedelta(minutes=51)) == [1, 7]


def test_what_is_critical_does_not_wait_for_the_limit() -> None:
    sent = [row(each.first, "sent", NOW - timedelta(minutes=10)) for each in many(2)]
    new = [incident(subject=f"new {number}", severity="critical") for number in range(3)]
    later = [incident(subject=f"later {number}") for number in range(4)]
    assert due(route(per_hour=2), [*many(2), *later, *new[:1]], history(*sent)) == [1]
    assert due(route(per_hour=2), [*many(2), *later, *new], history(*sent)) == [3]
    told = [row(each.first, "sent", NOW) for each in new]
    assert due(route(per_hour=2), [*many(2), *later, *new], history(*sent, *told)) == []


def test_the_most_serious_is_told_by_itself() -> None:
    known = [*many(5), incident(subject="bad", severity="critical")]
    first, *_ = pending.due(route(per_hour=2), history(), pending.of_route(route(), history(), known), NOW)
    assert [each.latest.subject for each in first] == ["bad"]


def test_a_summary_that_was_begun_stays_the_same() -> None:
    known = many(4)
    begun = history(*(row(each.first, "summed-up", message="group") for each in known[:2]))
    grouped = pending.due(route(per_hour=2), begun, pending.of_route(route(), begun, known), NOW)
    assert [{part.group for part in each} for each in grouped] == [{"group"}, {""}]
    assert [len(each) for each in grouped] == [2, 2]
    assert due(route(per_hour=1), known, begun) == [2]


def test_a_failed_message_waits_longer_each_time() -> None:
    one = [incident()]
    failed = history(*(row(one[0].first, "failed", NOW, attempt=n) for n in (1, 2, 3)))
    assert due(route(), one, failed, NOW + timedelta(minutes=3)) == []
    assert due(route(), one, failed, NOW + timedelta(minutes=4)) == [1]
    assert [pause(n) // timedelta(minutes=1) for n in (1, 2, 3, 6, 7, 100)] == [1, 2, 4, 32, 60, 60]


def test_a_failed_route_waits_but_for_what_is_new_and_critical() -> None:
    known = [incident(subject="x"), incident(subject="y"), incident(subject="bad", severity="critical")]
    failed = history(row(known[0].first, "failed", NOW))
    assert [
        each[0].latest.subject for each in pending.due(route(), failed, pending.of_route(route(), failed, known), NOW)
    ] == ["bad"]


def test_what_was_never_tried_comes_before_what_failed() -> None:
    known = [incident(subject="poison", severity="critical"), incident(subject="new")]
    failed = history(row(known[0].first, "failed", NOW))
    ready = pending.due(route(), failed, pending.of_route(route(), failed, known), NOW + timedelta(hours=2))
    assert [each[0].latest.subject for each in ready] == ["new", "poison"]


def test_what_is_critical_does_not_wait_for_a_summary() -> None:
    known = [*many(2), incident(subject="bad", severity="critical"), incident(subject="worse", severity="critical")]
    begun = history(*(row(each.first, "summed-up", message="group") for each in known[:2]))
    ready = pending.due(route(per_hour=1), begun, pending.of_route(route(), begun, known), NOW)
    assert [[part.latest.subject for part in each] for each in ready] == [["bad", "worse"], ["0", "1"]]


def test_what_a_wrong_clock_dated_later_holds_nothing_back() -> None:
    known, later = many(3), NOW + timedelta(days=10)
    assert due(route(per_hour=1), known, history(row(known[0].first, "sent", later))) == [2]
    assert due(route(), known, history(row(known[0].first, "failed", later))) == [1, 1, 1]
