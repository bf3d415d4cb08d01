"""Rolling means are what their definition says, and nothing in them was known later than their moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.transforms import at_horizons, known_after, rolling_means

START = datetime(2024, 1, 1, tzinfo=UTC)
SPANS = {"now": timedelta(0), "5s": timedelta(seconds=5), "1h": timedelta(hours=1)}
SCHEMA = {
    "key": pl.String,
    "other": pl.Int64,
    "known": pl.Datetime("us", "UTC"),
    "number": pl.Int64,
    "real": pl.Float64,
}

row = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "b", None]),
        "other": st.sampled_from([1, 2]),
        # Within a microsecond of one another, of a span's end, and far apart.
        "known": st.none() | st.sampled_from([0, 1, 999_999, 1_000_000, 5_000_000, 5_000_001, 3_600_000_000, 10**10]),
        "number": st.none() | st.integers(-1000, 1000),
        "real": st.none() | st.floats(-100, 100),
    }
)


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    moments = [
        each["known"] if each["known"] is None else START + timedelta(microseconds=each["known"]) for each in rows
    ]
    return pl.DataFrame([each | {"known": at} for each, at in zip(rows, moments, strict=True)], schema=SCHEMA)


def computed(rows: pl.DataFrame) -> pl.DataFrame:
    happened = ibis.memtable(rows.to_arrow())
    values = {"number": happened.number, "share": happened.number > 0, "real": happened.real}
    means = rolling_means(happened, ("key", "other"), "known", SPANS, values)
    engine = ibis.duckdb.connect()
    engine.raw_sql("SET threads = 1; SET TimeZone = 'UTC'")
    return pl.DataFrame(engine.to_pyarrow(means)).sort("key", "other", "event_timestamp")


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(row, min_size=1, max_size=25))
def test_rolling_means_equal_a_naive_computation(rows: list[dict[str, Any]]) -> None:
    frame = table(rows)
    means = computed(frame)
    usable = frame.drop_nulls(["key", "known"])
    assert means.height == usable.select("key", "other", "known").n_unique()
    for mean in means.iter_rows(named=True):
        at, same = mean["event_timestamp"], (pl.col("key") == mean["key"]) & (pl.col("other") == mean["other"])
        for span, length in SPANS.items():
            seen = usable.filter(same & pl.col("known").is_between(at - length, at, closed="both"))
            numbers = seen["number"].drop_nulls()
            # Of whole numbers to the last bit.
            assert mean[f"number_{span}"] == (sum(numbers) / len(numbers) if len(numbers) else None)
            assert mean[f"share_{span}"] == (sum(numbers > 0) / len(numbers) if len(numbers) else None)
            assert mean[f"real_{span}"] == pytest.approx(seen["real"].mean(), abs=1e-9)


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(row, min_size=1, max_size=25), st.integers(0, 24), st.integers(-1000, 1000))
def test_no_row_sees_one_known_later(rows: list[dict[str, Any]], which: int, other: int) -> None:
    """Changing, or leaving out, what became known after a moment changes no feature of that moment or before."""
    frame = table(rows)
    moments = frame["known"].drop_nulls().sort()
    if not len(moments):
        return
    now = moments[which % len(moments)]
    later = (pl.col("known") > now).fill_null(False)
    changed = frame.with_columns(
        pl.when(later).then(pl.lit(other)).otherwise("number").alias("number"),
        pl.when(later).then(pl.lit(float(other))).otherwise("real").alias("real"),
    )
    past = computed(frame).filter(pl.col("event_timestamp") <= now)
    for without in (changed, frame.filter(~later)):
        assert computed(without).filter(pl.col("event_timestamp") <= now).equals(past)


def test_columns_are_key_moment_and_each_value_by_span() -> None:
    names = computed(table([{"key": "a", "other": 1, "known": 0, "number": 1, "real": 2.0}])).columns
    features = [f"{value}_{span}" for span in SPANS for value in ("number", "share", "real")]
    assert names == ["key", "other", "event_timestamp", *features]


def test_a_value_is_known_after_its_delay_in_utc() -> None:
    rows = ibis.memtable(pl.DataFrame({"zoned": [START], "plain": [START.replace(tzinfo=None)]}).to_arrow())
    delay = timedelta(hours=1, microseconds=5)
    engine = ibis.duckdb.connect()
    engine.raw_sql("SET TimeZone = 'UTC'")
    result = engine.to_pyarrow(rows.select(a=known_after(rows.zoned, delay), b=known_after(rows.plain, delay)))
    assert result.to_pylist() == [{"a": START + delay, "b": START + delay}]


HORIZONS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "90s": timedelta(seconds=90)}


@given(st.lists(row, max_size=10))
@settings(max_examples=examples(20), deadline=None)
def test_each_row_is_forecast_once_at_each_horizon(rows: list[dict[str, Any]]) -> None:
    rows = [each | {"known": each["known"] or 0} for each in rows]
    happened = table(rows)
    forecast = pl.DataFrame(ibis.duckdb.connect().to_pyarrow(at_horizons(ibis.memtable(happened), "known", HORIZONS)))
    assert forecast.height == len(HORIZONS) * happened.height
    for name, length in HORIZONS.items():
        part = forecast.filter(horizon=name)
        assert part.select(happened.columns).sort(happened.columns).equals(happened.sort(happened.columns))
        assert (part["known"] - part["event_timestamp"] == length).all()
        assert (part["horizon_hours"] == length / timedelta(hours=1)).all()


@pytest.mark.parametrize(
    "horizons", [{}, {"now": timedelta(0)}, {"1h": timedelta(hours=1), "past": timedelta(hours=-1)}]
)
def test_a_horizon_lies_before_what_is_forecast(horizons: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="each longer than 0"):
        at_horizons(ibis.memtable(table([])), "known", horizons)
