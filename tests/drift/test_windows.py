"""Blocks of time, and the windows that are made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from drift_cases import START
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Cadence
from perennial.drift.windows import BLOCKS, Blocks


@settings(max_examples=examples(40), deadline=None)
@given(
    st.sampled_from(list(Cadence)),
    st.lists(st.integers(0, 4 * 365 * 24 * 60), min_size=1, max_size=200),
)
def test_rows_are_in_their_block_and_runs_inside_history(cadence: Cadence, minutes: list[int]) -> None:
    times = pl.Series([START + timedelta(minutes=m) for m in sorted(minutes)], dtype=pl.Datetime("us", "UTC"))
    blocks, block = Blocks.of(cadence, times)
    assert 1 <= len(blocks) <= BLOCKS
    stamps = times.dt.epoch("us").to_numpy()
    assert (block == blocks.place(stamps)).all()
    inside = block >= 0
    assert (blocks.starts[block[inside]] <= stamps[inside]).all()
    runs = blocks.runs(cadence)
    assert (runs[:, 0] < runs[:, 1]).all()
    assert (runs[:, 1] <= len(blocks)).all()
    choices = blocks.choices(runs)
    assert (2 * choices.sum(axis=1) <= len(blocks)).all()


def test_a_long_history_of_many_rows_is_kept_in_few_blocks() -> None:
    times = pl.datetime_range(START, START + timedelta(days=2_000), "1h", eager=True, time_zone="UTC")
    for cadence in Cadence:
        blocks, block = Blocks.of(cadence, times)
        assert len(blocks) <= BLOCKS
        assert len(blocks.runs(cadence)) > 0
        assert (block >= 0).any()


@pytest.mark.parametrize(
    ("cadence", "key", "inside", "outside"),
    [
        (Cadence.MONTHLY, "2025-07", "2024-07-31T12", "2024-08-01T12"),
        (Cadence.WEEKLY, "2025-07-07", "2024-07-20T12", "2024-08-20T12"),
        (Cadence.DAILY, "2025-07-10", "2024-07-11T12", "2024-07-10T12"),  # both days, one of them a Thursday
        (Cadence.HOURLY, "2025-07-10T03", "2024-07-05T03", "2024-07-05T04"),
    ],
)
def test_a_season_is_the_same_time_of_an_earlier_year(cadence: Cadence, key: str, inside: str, outside: str) -> None:
    times = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (inside, outside)]
    blocks, block = Blocks.of(cadence, pl.Series(sorted(times), dtype=pl.Datetime("us", "UTC")))
    seasonal = blocks.season(cadence.partition(key))[block]
    assert dict(zip(sorted(times), seasonal.tolist(), strict=True)) == {times[0]: True, times[1]: False}


def test_a_leap_day_has_a_season_too() -> None:
    blocks, _ = Blocks.of(Cadence.DAILY, pl.Series([datetime(2023, 3, 2, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC")))
    assert blocks.season(Cadence.DAILY.partition("2024-02-29")).tolist() == [True]
