"""Drift as effect size against a compressed profile."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import DriftPolicy, drift

USE_CASE = SimpleNamespace(drift=DriftPolicy(ratio=1.5), gate=SimpleNamespace(metric="rmse"), task="regression")


def profile(rows: pd.DataFrame, **reference: float) -> drift.Profile:
    importance = dict.fromkeys(rows, 1 / len(rows.columns))
    return drift.Profile(drift.compress(pl.from_pandas(rows)), dict.fromkeys(rows, 0.05) | reference, importance)


def sample(seed: int, rows: int = 10_000, shift: float = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {"number": random.normal(shift, 1, rows), "letter": random.choice(list("abc"), rows, p=[0.6, 0.3, 0.1])}
    )


def by_column(found: list[drift.ColumnDrift]) -> dict[str, drift.ColumnDrift]:
    return {column.column: column for column in found}


def test_two_samples_of_one_world_do_not_drift() -> None:
    found, page = drift.compare(USE_CASE, profile(sample(1)), sample(2))
    assert not any(column.drifted for column in found)
    assert drift.score(found) == 0
    assert page.lstrip().lower().startswith("<")


def test_a_shifted_mean_drifts_and_only_it() -> None:
    found = by_column(drift.compare(USE_CASE, profile(sample(1)), sample(2, shift=0.3))[0])
    assert found["number"].drifted
    assert not found["letter"].drifted
    assert found["number"].distance == pytest.approx(0.3, abs=0.05)


def test_a_vanished_category_drifts() -> None:
    current = sample(2)
    found = by_column(drift.compare(USE_CASE, profile(sample(1)), current[current["letter"] != "b"])[0])
    assert found["letter"].drifted


def test_a_column_that_goes_null_drifts() -> None:
    found = by_column(drift.compare(USE_CASE, profile(sample(1)), sample(2).assign(number=np.nan))[0])
    assert found["number"].drifted
    assert found["number"].ratio == float("inf")


def test_a_column_that_always_moves_is_held_against_how_much_it_moves() -> None:
    found = by_column(drift.compare(USE_CASE, profile(sample(1), number=0.4), sample(2, shift=0.3))[0])
    assert not found["number"].drifted


def test_the_score_is_the_drifted_share_of_importance() -> None:
    found, _ = drift.compare(USE_CASE, profile(sample(1)), sample(2, shift=1.0))
    assert drift.score(found) == pytest.approx(0.5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=9_000))
def test_compressing_keeps_quantiles_and_the_share_of_nulls(values: list[float | None]) -> None:
    whole = pd.DataFrame({"x": pd.Series(values, dtype=float)})
    small = drift.compress(pl.from_pandas(whole))
    assert len(small) == min(len(whole), drift.PROFILE_ROWS)
    assert small["x"].isna().mean() == pytest.approx(whole["x"].isna().mean(), abs=1 / len(small))
    if whole["x"].notna().any():
        assert whole["x"].min() <= small["x"].median() <= whole["x"].max()


def test_importance_is_what_shuffling_costs() -> None:
    rows = sample(3).assign(noise=np.random.default_rng(4).normal(size=10_000))[["number", "noise"]]
    shares = drift.importances(USE_CASE, lambda frame: frame["number"].to_numpy(), rows, rows["number"])
    assert shares["number"] == pytest.approx(1)
    assert shares["noise"] == 0
