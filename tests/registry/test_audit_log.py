"""The audit log: what is recorded stays readable, and what cannot be recorded is logged."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perennial import lake
from perennial.errors import ServiceUnavailable
from perennial.registry import audit_log
from perennial.registry.audit_log import Act

NOW = datetime(2024, 1, 31, 23, 30, tzinfo=UTC)


def act(**fields: object) -> Act:
    values = {"actor": "ada", "channel": "cli", "address": "desk", "act": "perennial resume", "use_case": "energy"}
    return Act(**{**values, "reason": "", "outcome": "done", "status": 0, "recorded_at": NOW, **fields})  # type: ignore[arg-type]


def test_acts_are_read_by_use_case_and_time(home: Path) -> None:
    first, later = act(), act(act="perennial apply", use_case="", recorded_at=NOW + timedelta(hours=1))
    assert [audit_log.record(each) for each in (later, first, first)] == ["", "", ""]
    assert audit_log.acts() == [first, later]
    assert audit_log.acts("energy") == [first]
    assert audit_log.acts(since=NOW + timedelta(minutes=1)) == [later]
    assert sorted(lake.partitions(audit_log.TABLE)) == ["2024-01", "2024-02"]


def test_what_somebody_sent_is_one_plain_line(home: Path) -> None:
    audit_log.record(act(actor="eve", reason="a\nb\x1b[2J\ud800" + "c" * 999, act="source=postgresql://u:secret@db/x"))
    (seen,) = (each for each in audit_log.acts() if each.actor == "eve")
    assert seen.reason.startswith("a b [2J c")
    assert len(seen.reason) == 500
    assert seen.act == "source=postgresql://***@db/x"


def test_what_cannot_be_recorded_is_logged_whole(monkeypatch, caplog) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ServiceUnavailable("The lake is away.", "Start it.")

    monkeypatch.setattr(lake, "append_missing", fail)
    with caplog.at_level(logging.ERROR):
        assert audit_log.record(act(reason="why not")) == "The lake is away."
    assert "why not" in caplog.text
