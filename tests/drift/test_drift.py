"""Drift as effect size against a profile of counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from evidently.legacy.calculations.stattests import (
    hellinger_stat_test,
    jensenshannon_stat_test,
    psi_stat_test,
    wasserstein_stat_test,
)
from evidently.legacy.core import ColumnType
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Cadence, ColumnPolicy, DriftPolicy, drift
from perennial.drift.bins import CATEGORIES, Bins, count_by_block
from perennial.drift.distances import column_distances
from perennial.drift.report import DRAWN_ROWS, sample_rows
from perennial.drift.windows import BLOCKS, Blocks
from perennial.errors import PerennialError

START = datetime(2024, 1, 1, tzinfo=UTC)
PARTITION = Cadence.DAILY.partition("2024-03-01")


def use_case(cadence: Cadence = Cadence.DAILY, **policy: Any) -> SimpleNamespace:
    return SimpleNamespace(
        name="case",
        drift=DriftPolicy(**policy),
        gate=SimpleNamespace(metric="rmse"),
        task="regression",
        cadence=cadence,
        retired_features=(),
    )


def sample(seed: int, count: int = 20_000, shift: float = 0, days: int = 20) -> pd.DataFrame:
    """A world that does not move, `count` rows over `days` days."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "event_timestamp": [START + timedelta(days=days * i / count) for i in range(count)],
            "number": random.normal(shift, 1, count),
            "letter": random.choice(list("abc"), count, p=[0.6, 0.3, 0.1]),
            "whole": random.integers(0, 7, count),
        }
    )


def profile(frame: pd.DataFrame, case: SimpleNamespace | None = None, **importance: float) -> drift.Profile:
    made = drift.Profile.of(case or use_case(), pa.Table.from_pandas(frame, preserve_index=False))
    return drift.Profile(made.columns, made.blocks, importance)


def compare(
    reference: drift.Profile, current: pd.DataFrame, case: SimpleNamespace | None = None, partition=PARTITION
) -> dict[str, drift.ColumnDrift]:
    table = pa.Table.from_pandas(current, preserve_index=False)
    counted = drift.ColumnCounts.of(reference, table.to_batches(max_chunksize=777))
    return {c.column: c for c in drift.compare(case or use_case(), reference, partition, counted)}


def drifted(found: dict[str, drift.ColumnDrift]) -> set[str]:
    return {name for name, column in found.items() if column.drifted}


@pytest.fixture(scope="module")
def world() -> drift.Profile:
    return profile(sample(1))


@pytest.mark.parametrize("count", [60, 300, 1_000, 5_000])
def test_windows_of_one_world_do_not_drift_however_small(world, count: int) -> None:
    for seed in range(100, 120):
        assert not drifted(compare(world, sample(seed, count))), seed


def test_a_shifted_mean_drifts_and_only_it(world) -> None:
    found = compare(world, sample(2, 1_000, shift=0.3))
    assert drifted(found) == {"number"}
    assert found["number"].distance == pytest.approx(0.3, abs=0.05)
    assert "wasserstein" in found["number"].explanation


def test_a_vanished_category_is_named(world) -> None:
    current = sample(2, 1_000)
    found = compare(world, current[current["letter"] != "c"])
    assert drifted(found) == {"letter"}
    assert found["letter"].why == "vanished"
    assert "'c'" in found["letter"].explanation


def test_a_category_that_was_not_always_there_may_be_missing() -> None:
    frame = sample(1)
    weekend = pd.DatetimeIndex(frame["event_timestamp"]).weekday >= 5
    reference = profile(frame.assign(letter=np.where(weekend, frame["letter"], "a")))
    assert not drifted(compare(reference, sample(2, 1_000).assign(letter="a")))


@pytest.mark.parametrize("column", ["letter", "whole"])
def test_a_new_category_drifts(world, column: str) -> None:
    current = sample(2, 1_000)
    current.loc[:50, column] = "z" if column == "letter" else 99
    found = compare(world, current)
    assert drifted(found) == {column}
    assert found[column].why == "new"


@pytest.mark.parametrize("column", ["number", "letter", "whole"])
def test_a_column_that_goes_null_drifts(world, column: str) -> None:
    found = compare(world, sample(2, 1_000).assign(**{column: None}))
    assert drifted(found) == {column}
    assert found[column].why == "nulls"
    assert found[column].explanation == "100.0% nulls, 0.0% in training"


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
    found = compare(reference, sample(2, 1_000).assign(number=lambda f: f["number"] / 60))
    assert found["number"].drifted
    assert found["number"].why == "scale"
    assert "unit" in found["number"].explanation


def test_column_that_always_moves_is_compared_with_its_moves() -> None:
    frame = sample(1)
    level = np.linspace(-1, 1, 20)[pd.DatetimeIndex(frame["event_timestamp"]).dayofyear - 1]
    reference = profile(frame.assign(number=frame["number"] + level))
    assert not drifted(compare(reference, sample(2, 1_000, shift=0.6)))
    assert drifted(compare(reference, sample(2, 1_000, shift=4))) == {"number"}


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


def test_history_without_windows_uses_default_baselines() -> None:
    frame = sample(1)
    at_once = profile(frame.assign(event_timestamp=START))
    assert not drifted(compare(at_once, sample(2, 1_000, shift=0.1)))
    assert drifted(compare(at_once, sample(2, 1_000, shift=1.0))) == {"number"}
    seldom = profile(frame.assign(number=frame["number"].where(frame.index % 1_000 == 0)))
    assert not seldom.columns["number"].counts[:, :-1].sum(axis=1).max() >= 30
    assert "values" not in {c.why for c in compare(seldom, sample(2, 1_000)).values() if c.drifted}


def test_the_policy_of_a_column_wins(world) -> None:
    current = sample(2, 1_000, shift=0.3)
    assert not drifted(compare(world, current, use_case(columns={"number": ColumnPolicy(ratio=50)})))
    assert "number" not in compare(world, current, use_case(columns={"number": ColumnPolicy(ignore=True)}))
    assert compare(world, current, use_case(columns={"number": ColumnPolicy(method="psi")}))["number"].method == "psi"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"nmber": ColumnPolicy(ignore=True)}, "'nmber'"),
        ({"letter": ColumnPolicy(method="wasserstein")}, "category"),
    ],
)
def test_a_policy_that_fits_no_column_is_an_error_that_names_it(columns: dict, told: str) -> None:
    sample_rows = pa.Table.from_pandas(sample(1), preserve_index=False)
    with pytest.raises(PerennialError, match=told):
        drift.Profile.of_features(use_case(columns=columns), sample_rows, ["number", "letter"])


def test_the_score_is_the_drifted_share_of_importance() -> None:
    reference = profile(sample(1), number=0.75, letter=0.25)
    assert drift.score(list(compare(reference, sample(2, 1_000, shift=1.0)).values())) == pytest.approx(0.75)


def test_fewer_rows_are_allowed_to_be_farther(world) -> None:
    case = use_case()
    small, large = (drift.limits(case, world, count).most["number"]["values"] for count in (100, 1_000))
    assert small > 1.5 * large


def test_counting_in_batches_and_at_once_is_the_same(world) -> None:
    table = pa.Table.from_pandas(sample(3), preserve_index=False)
    once = drift.ColumnCounts.of(world, [table])
    many = drift.ColumnCounts.of(world, table.to_batches(max_chunksize=123))
    assert once.rows == many.rows == table.num_rows
    assert all((once.columns[name] == many.columns[name]).all() for name in world.columns)


@settings(max_examples=examples(50), deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=300),
    st.lists(st.one_of(st.none(), st.floats()), max_size=300),
)
def test_every_number_is_counted_once_in_its_bin(trained: list, now: list) -> None:
    values = pa.chunked_array([pa.array(now, pa.float64())])
    bins = Bins.of(pa.chunked_array([pa.array(trained, pa.float64())]))
    counts = bins.count(values)
    assert counts.sum() == len(now)
    assert counts[-1] == sum(value is None or np.isnan(value) for value in now)
    assert (counts == np.bincount(bins.codes(values), minlength=bins.size)).all()


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from("abcdef")), max_size=100), st.sampled_from(["abc", "", "a"]))
def test_every_category_is_counted_once(now: list, known: str) -> None:
    bins = Bins.of(pa.chunked_array([pa.array(list(known), pa.string())]))
    counts = bins.count(pa.array(now, pa.string()))
    assert counts.sum() == len(now)
    assert counts[-1] == now.count(None)
    assert counts[-2] == sum(value is not None and value not in known for value in now)


def test_rare_categories_share_a_bin_and_none_of_them_is_new() -> None:
    names = [f"id-{number:05}" for number in range(3 * CATEGORIES)]
    bins = Bins.of(pa.chunked_array([names]))
    assert not bins.complete
    assert bins.size == CATEGORIES + 2
    assert "new" not in column_distances(bins, "jensenshannon", np.ones((1, bins.size)), np.ones((1, bins.size)))


@pytest.mark.parametrize("kind", [pa.bool_(), pa.decimal128(30, 2), pa.int32(), pa.float32(), pa.large_string()])
def test_a_column_of_any_type_is_counted(kind: pa.DataType) -> None:
    values = pa.chunked_array([pa.array([0, 1, None, 1]).cast(pa.bool_() if pa.types.is_boolean(kind) else kind)])
    counts = Bins.of(values).count(values)
    assert counts.sum() == 4
    assert counts[-1] == 1


def test_numbers_that_became_text_are_nulls(world) -> None:
    assert compare(world, sample(2, 1_000).assign(number="n/a"))["number"].why == "nulls"


@pytest.mark.parametrize(
    ("method", "stock"),
    [
        ("jensenshannon", jensenshannon_stat_test),
        ("hellinger", hellinger_stat_test),
        ("psi", psi_stat_test),
    ],
)
def test_distances_of_categories_are_evidentlys(method: str, stock: Any) -> None:
    one, two = sample(1)["letter"], sample(2).replace({"letter": {"b": "a"}})["letter"]
    bins = Bins.of(pa.chunked_array([pa.array(one)]))
    ours = column_distances(bins, method, *(bins.count(pa.array(x))[None, :] for x in (two, one)))["values"][0]
    # Evidently's PSI takes another small number for an empty share only where all shares are tiny.
    theirs = stock(one.copy(), two.copy(), ColumnType.Categorical, None).drift_score
    assert ours == pytest.approx(theirs, rel=1e-6)


@settings(max_examples=examples(15), deadline=None)
@given(st.floats(-3, 3), st.floats(0.2, 4), st.integers(0, 1000))
def test_distance_of_numbers_is_evidentlys_within_a_bin(shift: float, times: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    one, two = random.gamma(2, 1, 5_000), random.gamma(2, times, 5_000) + shift
    bins = Bins.of(pa.chunked_array([one]))
    ours = column_distances(bins, "wasserstein", bins.count(pa.array(two))[None, :], bins.count(pa.array(one))[None, :])
    theirs = wasserstein_stat_test(pd.Series(one), pd.Series(two), ColumnType.Numerical, None).drift_score
    # In a bin, a value counts as the bin's centre: by how much all are moved so, the distance can differ.
    centres = np.asarray(bins.centres)
    moves = sum(np.abs(values - centres[bins.codes(pa.array(values))]).mean() for values in (one, two))
    assert ours["values"][0] == pytest.approx(theirs, rel=0.02, abs=moves / one.std() + 0.005)


@settings(max_examples=examples(15), deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_bins_are_fine_where_the_training_values_are(share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    one = random.gamma(2, 1, 5_000)
    two = np.where(random.random(5_000) < share, random.permutation(one) / 2 + one.min() / 2, one)
    bins = Bins.of(pa.chunked_array([one]))
    ours = column_distances(bins, "wasserstein", bins.count(pa.array(two))[None, :], bins.count(pa.array(one))[None, :])
    theirs = wasserstein_stat_test(pd.Series(one), pd.Series(two), ColumnType.Numerical, None).drift_score
    assert ours["values"][0] == pytest.approx(theirs, rel=0.08, abs=0.02)


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


def test_counts_by_block_are_the_counts() -> None:
    values = pa.chunked_array([[1.0, 2.0, None, 2.0]])
    bins = Bins.of(values)
    by_block = count_by_block(bins, values, np.array([0, 0, 1, 1]), 2)
    assert (by_block.sum(axis=0) == bins.count(values)).all()
    assert by_block.sum(axis=1).tolist() == [2, 2]


def test_the_page_says_of_how_many_rows_it_is(world) -> None:
    counted = drift.ColumnCounts.of(world, [pa.Table.from_pandas(sample(2, 1_000), preserve_index=False)])
    page = drift.html_report(world, counted, drift.compare(use_case(), world, PARTITION, counted))
    assert "all 1,000 rows" in page
    assert "20,000 training rows" in page
    assert "https://" not in page.split("<body>")[1][:2_000]


def test_a_page_of_nothing_but_nulls_is_a_page(world) -> None:
    empty = sample(2, 100).assign(number=None, letter=None, whole=None)
    counted = drift.ColumnCounts.of(world, [pa.Table.from_pandas(empty, preserve_index=False)])
    assert "all 100 rows" in drift.html_report(world, counted, drift.compare(use_case(), world, PARTITION, counted))


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=2_000))
def test_drawn_rows_keep_the_range_and_the_share_of_nulls(values: list[float | None]) -> None:
    column = pa.chunked_array([pa.array(values, pa.float64())])
    bins = Bins.of(column)
    drawn = sample_rows(bins, bins.count(column))
    assert len(drawn) == DRAWN_ROWS
    assert drawn.isna().mean() == pytest.approx(column.null_count / len(values), abs=1 / DRAWN_ROWS)
    present = [value for value in values if value is not None]
    if present and drawn.notna().any():
        assert min(present) - 1e-6 <= drawn.min() <= drawn.max() <= np.nextafter(max(present), np.inf) + 1e-6


def test_importance_is_what_shuffling_costs() -> None:
    frame = sample(3).assign(noise=np.random.default_rng(4).normal(size=20_000))[["number", "noise"]]
    shares = drift.importances(use_case(), lambda f: f["number"].to_numpy(), frame, frame["number"])
    assert shares["number"] == pytest.approx(1)
    assert shares["noise"] == 0
