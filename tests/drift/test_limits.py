"""Drift limits, from the distances within training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from drift_cases import START, compare, drifted, profile, sample, use_case

from perennial import drift


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
