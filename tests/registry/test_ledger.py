"""The ledger in a real lake: one act is recorded once, in order, and says who holds and whether promotion is paused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial import discovery, lake
from perennial.registry import ledger
from perennial.use_case import UseCase

MARCH = datetime(2013, 3, 1, tzinfo=UTC)
MAY = datetime(2013, 5, 1, tzinfo=UTC)


@pytest.fixture
def use_case(home: Path, request: pytest.FixtureRequest) -> UseCase:
    """Flights under a name of its own, so that each test sees an empty ledger."""
    return discovery.load("flights").model_copy(update={"name": request.node.name[:40]})


def write(use_case: UseCase, action: ledger.Action, version: int, **fields: Any) -> ledger.Entry:
    entry = {
        "partition": "2013-02",
        "previous_version": None,
        "model_run": f"run-{version}",
        "effective_from": MARCH,
        "actor": "ada",
        "reason": "because",
        "evidence": {},
    }
    return ledger.record(use_case, action=action, model_version=version, **(entry | fields))


def test_an_action_is_recorded_once_and_the_first_counts(use_case: UseCase) -> None:
    first = write(use_case, "rejected", 1)
    assert write(use_case, "promoted", 1) == first
    assert ledger.entries(use_case) == [first]
    assert write(use_case, "rolled-back", 1, event_id="rollback:a", partition="2013-03").event_id == "rollback:a"
    write(use_case, "rolled-back", 1, event_id="rollback:a", partition="2013-04")
    assert len(ledger.entries(use_case)) == 2


def test_the_kinds_of_entries_are_distinguished(use_case: UseCase) -> None:
    write(use_case, "promoted", 1)
    write(use_case, "promoted", 2)
    write(use_case, "rejected", 3)
    write(use_case, "rolled-back", 1, event_id="rollback:a")
    write(use_case, "resumed", 1, event_id="resume:a")
    assert [entry.model_version for entry in ledger.promotions(use_case)] == [1, 2]
    assert [entry.model_version for entry in ledger.decisions(use_case)] == [1, 2, 3]
    assert ledger.champion(use_case).event_id == "rollback:a"


def test_the_order_of_actions_survives_a_clock_set_back(use_case: UseCase, monkeypatch) -> None:
    class Clock(datetime):
        reading = datetime(2026, 1, 2, tzinfo=UTC)

        @classmethod
        def now(cls, tz=None):
            return cls.reading

    monkeypatch.setattr(ledger, "datetime", Clock)
    write(use_case, "promoted", 1)
    write(use_case, "promoted", 2)
    Clock.reading -= timedelta(days=1)
    write(use_case, "rolled-back", 1, event_id="rollback:a")
    monkeypatch.undo()
    assert [entry.model_version for entry in ledger.entries(use_case)] == [1, 2, 1]
    assert ledger.champion(use_case).model_version == 1


def test_later_decisions_do_not_change_a_partitions_champion(use_case: UseCase) -> None:
    write(use_case, "promoted", 1, effective_from=MARCH)
    write(use_case, "rolled-back", 2, event_id="rollback:a", effective_from=MAY)
    # By hand, on an old window: it serves, but what the others have scored stays theirs.
    write(use_case, "promoted", 3, effective_from=MARCH + timedelta(days=31))
    assert ledger.champion(use_case).model_version == 3
    assert ledger.champion_at(use_case, MAY).model_version == 3
    assert ledger.champion_at(use_case, MAY - timedelta(days=1)).model_version == 1
    assert ledger.champion_at(use_case, MARCH - timedelta(days=1)) is None


def test_an_empty_ledger_has_no_champion_and_no_pause(use_case: UseCase) -> None:
    assert ledger.champion(use_case) is None
    assert ledger.champion_at(use_case, MAY) is None
    assert ledger.pause(use_case) is None


def test_a_pause_ends_by_itself_or_by_a_person(use_case: UseCase) -> None:
    write(use_case, "rolled-back", 1, event_id="rollback:a", evidence={ledger.PAUSE_UNTIL: None})
    endless = ledger.pause(use_case)
    assert (endless.until, endless.by, endless.reason) == (None, "ada", "because")
    soon = datetime.now(UTC) + timedelta(days=1)
    write(use_case, "rolled-back", 2, event_id="rollback:b", evidence={ledger.PAUSE_UNTIL: soon.isoformat()})
    assert ledger.pause(use_case) == endless, "a later rollback shortened the pause"
    write(use_case, "resumed", 2, event_id="resume:a")
    assert ledger.pause(use_case) is None
    write(use_case, "rolled-back", 1, event_id="rollback:c", evidence={ledger.PAUSE_UNTIL: soon.isoformat()})
    entries = ledger.entries(use_case)
    assert ledger.pause(use_case).until == soon
    assert ledger.pause_among(entries, soon - timedelta(microseconds=1)).until == soon
    assert ledger.pause_among(entries, soon) is None


def test_a_ledger_of_an_older_version_still_loads(use_case: UseCase) -> None:
    import pyarrow as pa

    from perennial.lake.schemas import LEDGER

    row = {
        "partition": "2013-02",
        "event_id": "gate:1",
        "action": "promoted",
        "model_version": 1,
        "effective_from": MARCH,
        "evidence": '{"promote": true}',
        "recorded_at": MAY,
    }
    lake.append_missing(use_case.tables.ledger, pa.Table.from_pylist([row], schema=LEDGER), key=("event_id",))
    assert ledger.champion(use_case).model_version == 1
    assert ledger.champion_at(use_case, MARCH).model_version == 1
