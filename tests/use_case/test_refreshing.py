"""When the partition under way is refreshed, and how far back a refresh goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial import Cadence, Refresh

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTH = Cadence.MONTHLY.partition("2013-03")


@pytest.mark.parametrize(
    ("every", "cron"),
    [
        (timedelta(minutes=15), "*/15 * * * *"),
        (HOUR, "0 */1 * * *"),
        (6 * HOUR, "0 */6 * * *"),
        (DAY, "0 0 * * *"),
    ],
)
def test_a_cadence_on_the_clock_is_a_cron_expression(every: timedelta, cron: str) -> None:
    assert Refresh(every=every).cron == cron


@pytest.mark.parametrize(
    "every", [timedelta(minutes=7), timedelta(seconds=90), 5 * HOUR, timedelta(minutes=90), 2 * DAY]
)
def test_a_cadence_beside_the_clock_is_refused(every: timedelta) -> None:
    with pytest.raises(ValidationError, match="divide"):
        Refresh(every=every)


@given(st.integers(0, 30 * 24), st.integers(0, 72), st.integers(0, 100))
def test_a_part_begins_with_a_day_and_before_the_overlap(last: int, overlap: int, more: int) -> None:
    at = MONTH.start + last * HOUR
    until = min(at + more * HOUR, MONTH.end)
    part = Refresh(every=HOUR, overlap=overlap * HOUR).part(MONTH, at, until)
    wanted = max(at - overlap * HOUR, MONTH.start)
    assert wanted - DAY < part.since <= wanted
    assert part.since == Cadence.DAILY.floor(part.since)
    assert part.until == until


def test_without_an_overlap_or_a_refresh_before_all_is_read() -> None:
    until = datetime(2013, 3, 9, tzinfo=UTC)
    assert Refresh(every=HOUR, overlap=HOUR).part(MONTH, None, until).since == MONTH.start
    assert Refresh(every=HOUR).part(MONTH, until - HOUR, until).since == MONTH.start


def test_of_a_day_a_part_begins_with_an_hour() -> None:
    day = Cadence.DAILY.partition("2024-01-02")
    part = Refresh(every=timedelta(minutes=10), overlap=timedelta(minutes=10)).part(
        day, day.start + timedelta(hours=5, minutes=20), day.start + timedelta(hours=5, minutes=30)
    )
    assert part.since == day.start + 5 * HOUR
