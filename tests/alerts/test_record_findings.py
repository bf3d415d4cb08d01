"""What a use case's records tell: what is wrong, and why what was wrong is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from use_case_world import World, decision

from perennial.alerts import record_findings
from perennial.alerts.findings import Reading
from perennial.alerts.incidents import Subject
from perennial.registry import ledger
from perennial.reporting import overview
from perennial.use_case import Deadlines, UseCase

#: Before the next day is overdue.
NOW = datetime(2024, 1, 5, 0, 30, tzinfo=UTC)
KEY, LATER = "2024-01-03", "2024-01-04"


@pytest.fixture
def world(energy: UseCase) -> World:
    return World(energy)


def read(world: World, now: datetime = NOW) -> Reading:
    seen = overview.of_records(world.use_case, world.rows)
    return record_findings.read(seen, ledger.from_rows(world.rows["ledger"]), now)


def alarmed(world: World, key: str) -> World:
    evidence = {"alarms": ["performance"], "cause": "unknown"}
    return world.partition(key, verdict="alarm", reason="performance", evidence=json.dumps(evidence))


def test_a_use_case_without_records_has_nothing_wrong(world: World) -> None:
    assert read(world).findings == ()


def test_an_open_alarm_is_critical_if_performance_fell(world: World) -> None:
    alarmed(world.decided(1, None, "2024-01-01"), LATER)
    (found,) = read(world).findings
    assert found.about == ("alarm", LATER)
    assert (found.severity, found.title) == ("critical", f"alarm on {LATER}: performance")
    assert found.action
    assert found.link.endswith(f"/perennial/use_cases/energy/partitions/{LATER}")


def test_an_alarm_ends_with_what_closed_it(world: World) -> None:
    alarmed(world.decided(1, None, "2024-01-01"), LATER).decided(2, 1, LATER)
    told = read(world)
    assert told.findings == ()
    ending = told.endings[Subject("alarm", LATER)]
    assert "stale model: v2" in ending.note
    assert ending.evidence["decision"] == 2


def test_a_verdict_that_was_revised_ends_the_alarm(world: World) -> None:
    alarmed(world, LATER).partition(LATER)
    assert read(world).endings[Subject("alarm", LATER)].note == f"the newest verdict on {LATER} is healthy"


def test_a_batch_that_was_rejected_as_a_whole_is_critical(world: World) -> None:
    world.partition(KEY).add("refused_batches", partition=LATER, table=world.use_case.raw[0].name, batch="b")
    (found,) = read(world).findings
    assert (found.about, found.severity) == (("quarantine", LATER), "critical")
    assert found.title == f"1 quarantined row or batch of {LATER} is pending review"
    assert f"perennial quarantine list energy --partition {LATER}" in found.action


def test_reviewed_items_end_it(world: World) -> None:
    table = world.use_case.raw[0].name
    world.partition(LATER).add("refused_batches", partition=LATER, table=table, batch="b")
    world.add("quarantine_decisions", partition=LATER, table=table, item="b", number=1, action="discarded")
    told = read(world)
    assert told.findings == ()
    assert "nothing of 2024-01-04 is pending review" in told.endings[Subject("quarantine", LATER)].note


@pytest.mark.parametrize(("minutes", "late"), [(59, []), (60, ["2024-01-05"])])
def test_a_partition_is_overdue_an_hour_after_its_end(world: World, minutes: int, late: list[str]) -> None:
    told = read(world.partition(LATER), datetime(2024, 1, 6, tzinfo=UTC) + timedelta(minutes=minutes))
    assert [each.evidence["missing"] for each in told.findings] == ([late] if late else [])
    assert (Subject("overdue", "partitions") in told.endings) is not bool(late)


def test_several_overdue_partitions_are_one_incident(world: World) -> None:
    (found,) = read(world.partition(LATER), datetime(2024, 1, 8, 12, tzinfo=UTC)).findings
    assert found.title == "3 partitions are overdue, not loaded: 2024-01-05 to 2024-01-07"
    assert "--from 2024-01-05 --to 2024-01-07" in found.action


def test_deadlines_say_what_is_missing(energy: UseCase) -> None:
    deadlines = Deadlines(loaded=timedelta(hours=3), scored=timedelta(hours=5))
    world = World(energy.model_copy(update={"deadlines": deadlines})).partition(LATER)
    ended = datetime(2024, 1, 6, tzinfo=UTC)
    titles = [[each.title for each in read(world, ended + timedelta(hours=hours)).findings] for hours in (2, 3, 5)]
    late = "2024-01-05 is overdue, not loaded"
    assert titles == [[], [late], [late, "2024-01-05 is overdue, not scored"]]
    world.add("batches", partition="2024-01-05", table=energy.raw[0].name, rows=1, quarantined=0)
    told = read(world, ended + timedelta(hours=5))
    assert [each.about for each in told.findings] == [("overdue", "predictions")]
    assert told.endings[Subject("overdue", "partitions")].note.endswith("the newest that is loaded is 2024-01-05")
    world.partition("2024-01-05")
    assert read(world, ended + timedelta(hours=5)).findings == ()


def test_a_partition_is_not_scored_before_it_is_loaded() -> None:
    with pytest.raises(ValueError, match="what is not loaded is not scored"):
        Deadlines(loaded=timedelta(hours=2), scored=timedelta(hours=1))


def test_a_view_is_stale_until_a_check_finds_it_fresh(world: World) -> None:
    view = world.use_case.features[0].name
    fields = {"view": view, "differences": 0, "until": NOW, "newest": NOW - timedelta(days=2)}
    world.partition(KEY).partition(LATER)
    world.add("parity", partition=KEY, stale=True, **fields)
    assert [each.about for each in read(world).findings] == [("stale-features", view)]
    world.add("parity", partition=LATER, stale=False, **fields)
    told = read(world)
    assert told.findings == ()
    assert told.endings[Subject("stale-features", view)].note.endswith(f"found {view} fresh")


def test_a_refit_that_was_worse_on_probation_is_told_until_the_next_decision(world: World) -> None:
    world.partition(LATER).decided(1, None, "2024-01-01").decided(2, 1, KEY)
    world.rolled_back(1, 2, LATER, actor="gate", event_id=ledger.probation_of(2), reason="v2 was worse")
    (found,) = read(world).findings
    assert found.once
    assert found.title == "v2 was worse on probation: v1 serves again"
    world.decided(3, 1, LATER)
    told = read(world)
    assert told.findings == ()
    assert told.endings[found.about].note == "v3 was promoted after that"


def test_a_canary_that_the_gate_ended_is_told(world: World) -> None:
    world.partition(LATER).decided(1, None, "2024-01-01").tried(2, 1, KEY, share=0.05)
    made = decision(2, 1, KEY, promote=False) | {"made_by": "energy.rollout/x"}
    world.decided(2, 1, KEY, "rejected", evidence=made)
    (found,) = read(world).findings
    assert (found.about.reason, found.severity) == ("rolled-back", "warning")
    assert found.title == "the canary v2 was ended, and v1 answers all requests again"


def test_what_a_person_rolled_back_is_no_incident(world: World) -> None:
    world.partition(LATER).decided(1, None, "2024-01-01").decided(2, 1, KEY).rolled_back(1, 2, LATER)
    assert read(world).findings == ()


def test_records_that_cannot_be_read_say_so_and_close_nothing(energy: UseCase) -> None:
    unknown = overview.partition_status.unknown(energy)
    told = record_findings.read(
        overview.Overview(energy, unknown, problem="The lake is away.", fix="Start it."), [], NOW
    )
    assert told == Reading(unread={"records of energy": "The lake is away. Start it."})
