"""Which events follow from findings: whatever is found in whatever order, an incident's life is a legal one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.alerts.changes import changes
from perennial.alerts.findings import Ending, Finding, Reading
from perennial.alerts.incidents import Incident, IncidentEvent, Subject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ABOUT = [Subject(reason, subject) for reason in ("alarm", "overdue", "rolled-back") for subject in ("x", "y")]


def finding(about: Subject, title: str = "t", once: bool = False) -> Finding:
    return Finding(*about, "warning", title, "m", "a", "http://x", {"n": 1}, once)


def whole(events: list[IncidentEvent]) -> list[Incident]:
    ids = dict.fromkeys(each.incident for each in events)
    return [Incident(tuple(each for each in events if each.incident == known)) for known in ids]


def after(readings: list[Reading]) -> list[Incident]:
    events: list[IncidentEvent] = []
    for number, reading in enumerate(readings):
        events += changes("c", "ann", whole(events), reading, NOW + timedelta(minutes=number))
    return whole(events)


_findings = st.lists(
    st.builds(finding, st.sampled_from(ABOUT), st.sampled_from("tu")).map(
        lambda each: finding(each.about, each.title, once=each.reason == "rolled-back")
    ),
    max_size=8,
).map(tuple)
_readings = st.builds(
    Reading,
    findings=_findings,
    read=st.frozensets(st.sampled_from(["alarm", "overdue", "rolled-back"])),
    undecided=st.frozensets(st.sampled_from(ABOUT), max_size=2),
)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.tuples(_readings, st.booleans()), max_size=8))
def test_any_sequence_of_findings_makes_legal_lives(steps: list[tuple[Reading, bool]]) -> None:
    events: list[IncidentEvent] = []
    for number, (reading, is_acknowledged) in enumerate(steps):
        now = NOW + timedelta(minutes=number)
        events += changes("c", "ann", whole(events), reading, now)
        assert changes("c", "ann", whole(events), reading, now) == []
        known = whole(events)
        opened = [each.subject for each in known if each.is_open]
        assert len(opened) == len(set(opened))
        wanted = {each.about for each in reading.findings if not each.once} - reading.undecided
        assert wanted <= set(opened)
        closable = {each for each in ABOUT if each.reason in reading.read} - reading.undecided
        assert not (set(opened) & closable) - {each.about for each in reading.findings}
        if is_acknowledged:
            events += [each.next("acknowledged", now, by="ann") for each in known if each.is_open]
    for each in whole(events):
        assert [event.sequence for event in each.events] == list(range(len(each.events)))
        names = [event.event for event in each.events]
        assert names[0] == "opened"
        assert "opened" not in names[1:]
        assert "closed" not in names[:-1]
    once = [each.subject for each in whole(events) if each.first.reason == "rolled-back"]
    assert len(once) == len(set(once))


def test_what_is_found_again_after_it_was_over_is_another_incident() -> None:
    about = ABOUT[0]
    known = after([Reading((finding(about),)), Reading(read=frozenset({"alarm"})), Reading((finding(about),))])
    assert [each.state for each in known] == ["closed", "open"]


def test_other_facts_update_it() -> None:
    (incident,) = after([Reading((finding(ABOUT[0], title),)) for title in "aab"])
    assert [(each.event, each.title) for each in incident.events] == [("opened", "a"), ("updated", "b")]


def test_other_evidence_alone_does_not() -> None:
    about = ABOUT[0]
    other = Finding(*about, "warning", "t", "m", "a", "http://x", {"n": 2})
    (incident,) = after([Reading((finding(about),)), Reading((other,))])
    assert [each.event for each in incident.events] == ["opened"]


def test_a_source_that_was_not_read_closes_nothing() -> None:
    about = ABOUT[0]
    (incident,) = after([Reading((finding(about),)), Reading(unread={"records": "down"}, read=frozenset({"overdue"}))])
    assert incident.is_open


def test_what_ended_it_is_its_evidence() -> None:
    about = ABOUT[0]
    ended = Reading(endings={about: Ending("v2 was promoted", {"decision": 2})}, read=frozenset({"alarm"}))
    (incident,) = after([Reading((finding(about),)), ended])
    assert (incident.latest.note, incident.latest.evidence) == ("v2 was promoted", {"decision": 2})


def test_a_person_who_closed_it_is_not_told_again() -> None:
    told = Reading((finding(Subject("rolled-back", "gate:3"), once=True),), read=frozenset({"rolled-back"}))
    (incident,) = after([told])
    closed = Incident((*incident.events, incident.next("closed", NOW, by="ann")))
    assert changes("c", "ann", [closed], told, NOW) == []
