"""Drift limits, from the distances within training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drift_cases import START, compare, drifted, profile, sample, use_case

from perennial import Cadence, ColumnPolicy, DriftPolicy, drift


def test_column_that_always_moves_is_compared_with_its_moves() -> None:
    frame = sample(1)
    level = np.linspace(-1, 1, 20)[pd.DatetimeIndex(frame["event_timestamp"]).dayofyear - 1]
    reference = profile(frame.assign(number=frame["number"] + level))
    assert not drifted(compare(reference, sample(2, 1_000, shift=0.6)))
    assert drifted(compare(reference, sample(2, 1_000, shift=4))) == {"number"}


def test_history_without_windows_uses_default_baselines() -> None:
    frame = sample(1)
    at_once = profile(frame.assign(event_timestamp=START))
    assert not drifted(compare(at_once, sample(2, 1_000, shift=0.1)))
    assert drifted(compare(at_once, sample(2, 1_000, shift=1.0))) == {"number"}
    seldom = profile(frame.assign(number=frame["number"].where(frame.index % 1_000 == 0)))
    assert not seldom.columns["number"].counts[:, :-1].sum(axis=1).max() >= 30
    assert "values" not in {c.why for c in compare(seldom, sample(2, 1_000)).values() if c.drifted}


def test_fewer_rows_are_allowed_to_be_farther(world) -> None:
    case = use_case()
    small, large = (drift.limits(case, world, count).most["number"]["values"] for count in (100, 1_000))
    assert small > 1.5 * large


def moving(seed: int, days: int, shift: float = 0.0) -> pd.DataFrame:
    """Days that differ by half a standard deviation, 200 rows each."""
    level = np.random.default_rng(seed).normal(0, 0.5, days).repeat(200)
    frame = sample(seed, 200 * days, shift, days)
    return frame.assign(number=frame["number"] + level)


def test_the_detectable_shift_is_found_and_half_of_it_seldom() -> None:
    case = use_case(Cadence.WEEKLY)
    reference = profile(moving(0, 140), case)
    sd = float(moving(0, 140)["number"].std())
    smallest = compare(reference, moving(1, 7), case)["number"].detectable
    assert smallest is not None

    def found(shift: float) -> float:
        weeks = (compare(reference, moving(seed, 7, shift * sd), case) for seed in range(100, 120))
        return float(np.mean(["number" in drifted(week) for week in weeks]))

    assert found(smallest) >= 0.8
    assert found(-smallest) >= 0.8
    assert found(smallest / 2) <= 0.5
    assert found(0) == 0


def test_a_season_of_its_own_hides_a_larger_shift() -> None:
    case = use_case(Cadence.MONTHLY)
    frame = sample(1, 60_000, days=800)
    times = pd.DatetimeIndex(frame["event_timestamp"])
    reference = profile(frame.assign(number=frame["number"] + 2.0 * (times.month == 3)), case)
    march, june = (
        compare(reference, sample(2, 2_000), case, Cadence.MONTHLY.partition(key))["number"].detectable
        for key in ("2026-03", "2026-06")
    )
    assert march > june + 1


def test_a_season_that_varies_more_hides_a_larger_shift() -> None:
    case = use_case(Cadence.MONTHLY)
    frame = sample(1, 60_000, days=800)
    is_march = pd.DatetimeIndex(frame["event_timestamp"]).month == 3
    frame["number"] *= np.where(is_march, 4.0, 1.0)
    reference = profile(frame, case)
    march, june = (Cadence.MONTHLY.partition(key) for key in ("2026-03", "2026-06"))
    usual = sample(2, 2_000)
    stated = compare(reference, usual.assign(number=4 * usual["number"]), case, march)["number"].detectable
    assert stated > 1.5 * compare(reference, usual, case, june)["number"].detectable


def test_no_detectable_shift_is_stated_where_none_is_known(world) -> None:
    columns = compare(world, sample(2, 1_000))
    assert columns["letter"].detectable is None
    at_once = profile(sample(1).assign(event_timestamp=START))
    assert compare(at_once, sample(2, 1_000))["number"].detectable is None


def test_chance_is_not_multiplied_by_the_room_for_seasons(world) -> None:
    """Of a column whose bound of chance is far beyond its baseline, the limit does not grow with the policy's ratio."""
    narrow, even, wide = (
        drift.limits(use_case(ratio=ratio, false_alarms=1e-12), world, 100).most["number"]["values"] * ratio
        for ratio in (0.6, 1.2, 1.8)
    )
    assert wide == pytest.approx(even)
    assert narrow == pytest.approx(even / 2), "who allows less than chance is taken at their word"


def test_a_ratio_of_its_own_multiplies_the_room_for_chance(world) -> None:
    wide = use_case(false_alarms=1e-12, columns={"number": ColumnPolicy(ratio=2 * DriftPolicy().ratio)})
    usual, own = (compare(world, sample(2, 100), case)["number"].limit for case in (use_case(false_alarms=1e-12), wide))
    assert own == pytest.approx(2 * usual)
