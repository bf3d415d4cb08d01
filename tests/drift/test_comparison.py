"""Columns are compared with the training profile, by the size of the effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from drift_cases import compare, drifted, profile, sample, use_case

from perennial import Cadence, ColumnPolicy, drift


@pytest.mark.parametrize("count", [60, 300, 1_000, 5_000])
def test_windows_of_one_world_do_not_drift_however_small(world, count: int) -> None:
    for seed in range(100, 120):
        assert not drifted(compare(world, sample(seed, count))), seed


def test_a_shifted_mean_drifts_and_only_it(world) -> None:
    columns = compare(world, sample(2, 1_000, shift=0.3))
    assert drifted(columns) == {"number"}
    assert columns["number"].distance == pytest.approx(0.3, abs=0.05)
    assert "wasserstein" in columns["number"].explanation


def test_a_vanished_category_is_named(world) -> None:
    current = sample(2, 1_000)
    columns = compare(world, current[current["letter"] != "c"])
    assert drifted(columns) == {"letter"}
    assert columns["letter"].why == "vanished"
    assert "'c'" in columns["letter"].explanation


def test_a_category_that_was_not_always_there_may_be_missing() -> None:
    frame = sample(1)
    weekend = pd.DatetimeIndex(frame["event_timestamp"]).weekday >= 5
    reference = profile(frame.assign(letter=np.where(weekend, frame["letter"], "a")))
    assert not drifted(compare(reference, sample(2, 1_000).assign(letter="a")))


def test_the_probability_of_a_removed_class_is_not_looked_at() -> None:
    chance = np.linspace(0, 1, 1_000)
    reference = profile(sample(1, 1_000).assign(probability_red=chance, probability_gone=chance))
    case = use_case()
    case.task, case.classes = "multiclass", ("red", "green", "blue")
    current = sample(2, 1_000).assign(probability_red=chance)
    assert drifted(compare(reference, current)) == {"probability_gone"}, "of another task it is an input"
    columns = compare(reference, current, case)
    assert "probability_gone" not in columns
    assert not drifted(columns)


@pytest.mark.parametrize("column", ["letter", "whole"])
def test_a_new_category_drifts(world, column: str) -> None:
    current = sample(2, 1_000)
    current.loc[:50, column] = "z" if column == "letter" else 99
    columns = compare(world, current)
    assert drifted(columns) == {column}
    assert columns[column].why == "new"


@pytest.mark.parametrize("column", ["number", "letter", "whole"])
def test_a_column_that_goes_null_drifts(world, column: str) -> None:
    columns = compare(world, sample(2, 1_000).assign(**{column: None}))
    assert drifted(columns) == {column}
    assert columns[column].why == "nulls"
    assert columns[column].explanation == "100.0% nulls, 0.0% in training"


def test_a_column_that_is_not_there_is_one_of_nulls(world) -> None:
    assert drifted(compare(world, sample(2, 1_000).drop(columns="letter"))) == {"letter"}


def test_some_nulls_more_than_ever_drift(world) -> None:
    current = sample(2, 1_000)
    current.loc[:80, "number"] = np.nan
    assert drifted(compare(world, current)) == {"number"}


def test_a_change_of_unit_is_seen_where_the_values_move_little() -> None:
    frame = sample(1)
    # Its level differs from day to day by more than the change of unit moves it.
    level = np.random.default_rng(5).normal(0, 3, 20)[pd.DatetimeIndex(frame["event_timestamp"]).dayofyear - 1]
    reference = profile(frame.assign(number=frame["number"] + level))
    columns = compare(reference, sample(2, 1_000).assign(number=lambda f: f["number"] / 60))
    assert columns["number"].drifted
    assert columns["number"].why == "scale"
    assert "unit" in columns["number"].explanation


def test_the_same_season_a_year_ago_is_no_drift_and_another_is() -> None:
    case = use_case(Cadence.MONTHLY)
    frame = sample(1, days=360)
    # Hot in the second half of the year, for so short that no other window is like it.
    month = pd.DatetimeIndex(frame["event_timestamp"]).month
    reference = profile(frame.assign(number=frame["number"] + np.where(month == 7, 3.0, 0.0)), case)
    hot = sample(2, 2_000, shift=3.0)
    quick = use_case(Cadence.MONTHLY, ratio=0.5)
    july, january = (Cadence.MONTHLY.partition(key) for key in ("2025-07", "2025-01"))
    assert not drifted(compare(reference, hot, quick, july))
    assert drifted(compare(reference, hot, quick, january)) == {"number"}


def test_the_policy_of_a_column_wins(world) -> None:
    current = sample(2, 1_000, shift=0.3)
    assert not drifted(compare(world, current, use_case(columns={"number": ColumnPolicy(ratio=50)})))
    assert "number" not in compare(world, current, use_case(columns={"number": ColumnPolicy(ignore=True)}))
    assert compare(world, current, use_case(columns={"number": ColumnPolicy(method="psi")}))["number"].method == "psi"


def test_the_score_is_the_drifted_share_of_importance() -> None:
    reference = profile(sample(1), number=0.75, letter=0.25)
    assert drift.score(list(compare(reference, sample(2, 1_000, shift=1.0)).values())) == pytest.approx(0.75)


def test_counting_in_batches_and_at_once_is_the_same(world) -> None:
    table = pa.Table.from_pandas(sample(3), preserve_index=False)
    once = drift.ColumnCounts.of(world, [table])
    many = drift.ColumnCounts.of(world, table.to_batches(max_chunksize=123))
    assert once.rows == many.rows == table.num_rows
    assert all((once.columns[name] == many.columns[name]).all() for name in world.columns)


def test_numbers_that_became_text_are_nulls(world) -> None:
    assert compare(world, sample(2, 1_000).assign(number="n/a"))["number"].why == "nulls"
