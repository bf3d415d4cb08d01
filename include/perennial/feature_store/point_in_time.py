"""Which feature row an example may see: the newest one known at its moment, by an as-of join over keys and times.

Only keys and times go through Polars. The result is row numbers, so feature values are gathered by Arrow and keep
their exact type, nulls included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa

from perennial.feature_store.keys import KeyNumbers


@dataclass(frozen=True)
class Moments:
    """The moments of n examples.

    Args:
        times: n timestamps (us or ns, UTC).
    """

    times: pa.Array

    @cached_property
    def order(self) -> pl.Series | None:
        """The examples' numbers, oldest first, without those that have no moment; None if that is all, as it is."""
        ticks = pl.Series(self.times.cast(pa.int64()))
        if ticks.null_count() == 0 and ticks.is_sorted():
            return None
        return ticks.arg_sort(nulls_last=False)[ticks.null_count() :]

    @cached_property
    def places(self) -> pl.Series:
        """The place of each example in that order; null for those without a moment. Only where there is an order."""
        assert self.order is not None  # noqa: S101
        places = np.empty(len(self.times), dtype=np.uint32)
        places[self.order.to_numpy()] = np.arange(len(self.order), dtype=np.uint32)
        if not self.times.null_count:
            return pl.Series(places)
        return pl.Series(pa.array(places, mask=self.times.is_null().to_numpy(zero_copy_only=False)))

    def ticks(self, unit: str) -> pl.Series:
        """The moments as whole numbers of `unit` in that order; worked out once for all views."""
        if unit not in self._ticks:
            ticks = _ticks(self.times, unit)
            self._ticks[unit] = ticks if self.order is None else ticks.gather(self.order)
        return self._ticks[unit]

    @cached_property
    def _ticks(self) -> dict[str, pl.Series]:
        return {}


@dataclass(frozen=True)
class FeatureRows:
    """The m rows of a feature table, as far as a join must know them.

    Rows with one key and one event time are ordered by `created`, then by `values`: which one wins never depends on how
    they are stored. A row whose key or event time is null is never seen.

    Args:
        keys: The join keys, one array of m values each. Without keys there is one entity.
        event_times: When the values became known, m timestamps (us or ns, UTC).
        created: When the rows were written, m timestamps (us or ns, UTC).
        values: The feature values, m rows.
    """

    keys: Sequence[pa.Array]
    event_times: pa.Array
    values: pa.Table
    created: pa.Array | None = None

    @property
    def unit(self) -> str:
        """The finest unit that any of its times is counted in."""
        return _finest(self.event_times, *([] if self.created is None else [self.created]))

    def oldest_first(self, entities: pa.Array, unit: str) -> tuple[pl.DataFrame, list[str]]:
        """`entity`, `event`, `created` (int64) and `row` (number), sorted; and what they are sorted by.

        Args:
            entities: m numbers that say which rows have one key; null for rows of no interest.
            unit: What `event` and `created` are counted in, `us` or `ns`.
        """
        columns = {"entity": pl.Series(entities), "event": _ticks(self.event_times, unit)}
        order = ["event"]
        if self.created is not None:
            columns["created"] = _ticks(self.created, unit)
            order.append("created")
        rows = pl.DataFrame(columns).with_row_index("row")
        if rows["entity"].null_count() or rows["event"].null_count():
            rows = rows.drop_nulls(["entity", "event"])
        if len(order) > 1 or not rows["event"].is_sorted():
            rows = rows.sort(order, nulls_last=False)
        # Rows of one key and time are rare: look for them only where times repeat, and order only those by value.
        repeats = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in order)
        suspects = rows.filter(repeats | repeats.shift(-1))
        tied = suspects.filter(_duplicated(suspects, ["entity", *order]))["row"]
        if len(tied):
            ranks = np.zeros(len(self.event_times), dtype=np.int64)
            ranks[tied.to_numpy()] = _ranks(self.values.take(tied.to_arrow()))
            rows = rows.with_columns(rank=pl.Series(ranks).gather(rows["row"]))
            order.append("rank")
            rows = rows.sort(order, nulls_last=False)
        return rows, order


def newest_known(
    keys: KeyNumbers,
    moments: Moments,
    features: FeatureRows,
    *,
    ttl: timedelta | None = None,
    only_known: bool = False,
) -> pa.Array:
    """For each of n examples, the number of the feature row it sees: the newest of its key at or before its moment.

    Args:
        keys: The examples' join keys, n of them. Null matches nothing.
        moments: The examples' moments.
        features: What may be seen; its keys have the types of the examples'.
        ttl: Rows older than this at the example's moment are not seen; exactly this old is. None: no limit.
        only_known: See only rows that were also written (`created`) at or before the moment.

    Returns:
        n row numbers (uint32), null where there is none to see.
    """
    unit = "ns" if "ns" in (_finest(moments.times), features.unit) else "us"
    entities = pl.Series(keys.numbers)
    examples = pl.DataFrame(
        {
            "entity": entities if moments.order is None else entities.gather(moments.order),
            "at": moments.ticks(unit),
        }
    )
    rows, order = features.oldest_first(keys.of(features.keys, len(features.event_times)), unit)
    longest = None
    if ttl:
        longest = min(ttl // timedelta(microseconds=1) * (1000 if unit == "ns" else 1), np.iinfo(np.int64).max)
    if only_known and features.created is not None:
        matches = _newest_written(examples, _as_they_became_known(rows.drop_nulls("created"), order), longest)
    else:
        matches = examples.join_asof(
            rows.select("entity", at="event", match="row"),
            on="at",
            by="entity",
            tolerance=longest,
            check_sortedness=False,
        )["match"]
    # Back to the examples' own order; those without a moment see nothing.
    return (matches if moments.order is None else matches.gather(moments.places)).to_arrow()


def _newest_written(examples: pl.DataFrame, rows: pl.DataFrame, longest: int | None) -> pl.Series:
    """The row that each example sees of those that came to be known at `available`; its age is that of its `event`."""
    found = examples.join_asof(
        rows.select("entity", "event", at="available", match="row"), on="at", by="entity", check_sortedness=False
    )
    if longest is None:
        return found["match"]
    is_fresh = pl.col("at") - pl.col("event") <= longest
    return found.select(pl.when(is_fresh).then("match"))["match"]


def newest_of_each(features: FeatureRows) -> pa.Array:
    """The number (uint32) of each key's newest row."""
    rows, _ = features.oldest_first(KeyNumbers(features.keys, len(features.event_times)).numbers, features.unit)
    return rows.unique(subset="entity", keep="last", maintain_order=True)["row"].to_arrow()


def _as_they_became_known(rows: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """The rows that were the newest of their key when they became known, sorted by when that was (`available`)."""
    rows = rows.with_columns(available=pl.max_horizontal("event", "created")).sort("available", *order)
    return rows.filter(pl.col("event") == pl.col("event").cum_max().over("entity"))


def _duplicated(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Which rows have the same whole numbers in these columns as another: as one number, where 63 bits are enough."""
    low = [rows[name].min() for name in columns]
    high = [rows[name].max() for name in columns]
    spans = [int(top) - int(bottom) + 1 for bottom, top in zip(low, high, strict=True) if top is not None]  # type: ignore[arg-type]
    if len(spans) < len(columns) or any(rows[name].null_count() for name in columns) or math.prod(spans) >= 2**63:
        return rows.select(columns).is_duplicated()
    number = pl.lit(0, dtype=pl.Int64)
    for name, bottom, span in zip(columns, low, spans, strict=True):
        number = number * span + (pl.col(name) - bottom)
    return rows.select(number.is_duplicated()).to_series()


def _ranks(values: pa.Table) -> np.ndarray:
    """Each row's place in the order of the rows' values; nested values do not take part."""
    ranks = np.arange(values.num_rows)
    flat = sorted(field.name for field in values.schema if not pa.types.is_nested(field.type))
    if flat:
        frame = pl.DataFrame(values.select(flat)).with_row_index("__row")
        ranks[frame.sort(flat, nulls_last=False)["__row"].to_numpy()] = np.arange(values.num_rows)
    return ranks


def _finest(*times: pa.Array) -> str:
    return "ns" if any(values.type.unit == "ns" for values in times) else "us"


def _ticks(times: pa.Array, unit: str) -> pl.Series:
    """Timestamps as whole numbers (int64) of `unit`. Nanoseconds reach from 1677 to 2262: what lies outside counts as
    the nearest of these."""
    if times.type.unit == unit:
        return pl.Series(times.cast(pa.int64()))
    micros = pl.Series(times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64()))
    bound = np.iinfo(np.int64).max // 1000
    return micros.clip(-bound, bound) * 1000 if unit == "ns" else micros
