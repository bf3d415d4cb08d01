"""Waiting for a service that went away: told once, bounded, and counted."""

from __future__ import annotations

from typing import Any

import pytest

from perennial.errors import ServiceUnavailable
from perennial.services import outage
from perennial.services.outage import Outage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, that the test sets."""
    now = [0.0]
    monkeypatch.setattr(outage.time, "monotonic", lambda: now[0])
    return now


def test_an_outage_and_its_end_are_each_told_once(clock: list[float]) -> None:
    lines: list[str] = []
    waiting = Outage(lines.append)
    for now in (0.0, 1.0, 5.0, 9.0):
        clock[0] = now
        waiting.away("Airflow does not answer")
    waiting.back("Airflow answers again")
    waiting.back("Airflow answers again")
    assert [line.partition(" since")[0] for line in lines] == ["Airflow does not answer", "Airflow answers again."]
    assert "; waiting up to 10 minutes. `perennial up` starts it." in lines[0]
    assert waiting.lost == 9.0


def test_a_moment_without_an_answer_is_not_worth_a_line(clock: list[float]) -> None:
    lines: list[str] = []
    waiting = Outage(lines.append)
    waiting.away("Airflow does not answer")
    clock[0] = 2.0
    waiting.back("Airflow answers again")
    assert (lines, waiting.lost) == ([], 2.0)


def test_an_outage_is_waited_out_for_a_bounded_time(clock: list[float]) -> None:
    waiting: Any = Outage(lambda line: None)
    waiting.away("Airflow does not answer")
    clock[0] = outage.PATIENCE + 1
    with pytest.raises(ServiceUnavailable, match="for 601 s now") as raised:
        waiting.away("Airflow does not answer")
    assert "perennial up" in raised.value.fix
