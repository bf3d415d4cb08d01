"""Point-in-time join: which feature row each entity row may see, which is the newest one known at its timestamp.

A row is available from when it is published, which is when its values became known unless its source declares more
(`perennial.feature_store.publication`). Its age counts from when they became known.

Only keys and times go through Polars (`join_asof`). The result is row numbers, so feature values are gathered by Arrow
and keep their exact type, nulls included.
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

from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.feature_store.retrieval.join_key_encoding import JoinKeyEncoder


@dataclass(frozen=True)
class EntityTimes:
    """The timestamps of n entity rows.

    Attributes:
        values: n timestamps (us or ns, UTC).
    """

    values: pa.Array

    @cached_property
    def order(self) -> pl.Series | None:
        """The rows' numbers, oldest first, without those that have no timestamp; None if that is all, as it is."""
        ticks = pl.Series(self.values.cast(pa.int64()))
        if ticks.null_count() == 0 and ticks.is_sorted():
            return None
        return ticks.arg_sort(nulls_last=False)[ticks.null_count() :]

    @cached_property
    def ranks(self) -> pl.Series:
        """Each row's position in that order; null for those without a timestamp. Only where there is an order."""
        assert self.order is not None  # noqa: S101
        ranks = np.empty(len(self.values), dtype=np.uint32)
        ranks[self.order.to_numpy()] = np.arange(len(self.order), dtype=np.uint32)
        if not self.values.null_count:
            return pl.Series(ranks)
        return pl.Series(pa.array(ranks, mask=self.values.is_null().to_numpy(zero_copy_only=False)))

    def ticks(self, unit: str) -> pl.Series:
        """The timestamps as whole numbers of `unit`, in that order; computed once for all views."""
        if unit not in self._ticks:
            ticks = _ticks(self.values, unit)
            self._ticks[unit] = ticks if self.order is None else ticks.gather(self.order)
        return self._ticks[unit]

    @cached_property
    def _ticks(self) -> dict[str, pl.Series]:
        return {}


@dataclass(frozen=True)
class FeatureRows:
    """The m rows of a feature table, as far as a join needs them.

    Rows with one key and one event time are ordered by `created`, then by `values`: which one wins never depends on how
    they are stored. A row whose key or event time is null is never seen.

    Attributes:
        keys: The join keys, one array of m values each. Without keys there is one entity.
        event_times: When the values became known, m timestamps (us or ns, UTC).
        values: The feature values, m rows.
        created: When the rows were written, m timestamps (us or ns, UTC).
    """

    keys: Sequence[pa.Array]
    event_times: pa.Array
    values: pa.Table
    created: pa.Array | None = None

    @property
    def unit(self) -> str:
        """The finest unit that any of its times is counted in."""
        return _finest(self.event_times, *([] if self.created is None else [self.created]))

    def oldest_first(self, keys: pa.Array, unit: str) -> tuple[pl.DataFrame, list[str]]:
        """The rows sorted by time.

        Args:
            keys: m codes that say which rows have one key; null for rows that cannot match.
            unit: What `event` and `created` are counted in, `us` or `ns`.

        Returns:
            A frame of `key`, `event`, `created` (int64) and `row` (number), and the columns it is sorted by.
        """
        columns = {"key": pl.Series(keys), "event": _ticks(self.event_times, unit)}
        order = ["event"]
        if self.created is not None:
            columns["created"] = _ticks(self.created, unit)
            order.append("created")
        rows = pl.DataFrame(columns).with_row_index("row")
        if rows["key"].null_count() or rows["event"].null_count():
            rows = rows.drop_nulls(["key", "event"])
        if len(order) > 1 or not rows["event"].is_sorted():
            rows = rows.sort(order, nulls_last=False)
        # Rows of one key and time are rare: look for them only where times repeat, and order only those by value.
        repeats = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in order)
        candidates = rows.filter(repeats | repeats.shift(-1))
        tied = candidates.filter(_duplicated(candidates, ["key", *order]))["row"]
        if len(tied):
            ranks = np.zeros(len(self.event_times), dtype=np.int64)
            ranks[tied.to_numpy()] = _ranks(self.values.take(tied.to_arrow()))
            rows = rows.with_columns(rank=pl.Series(ranks).gather(rows["row"]))
            order.append("rank")
            rows = rows.sort(order, nulls_last=False)
        return rows, order


def newest_known(
    keys: JoinKeyEncoder,
    entities: EntityTimes,
    features: FeatureRows,
    *,
    ttl: timedelta | None = None,
    known_at_the_time: bool = False,
    publication: Publication = AT_ONCE,
) -> pa.Array:
    """For each of n entity rows, the number of the feature row it sees: the newest of its key available at its time.

    Args:
        keys: The entity rows' join keys, n of them. Null matches nothing.
        entities: The entity rows' timestamps.
        features: What may be seen; its keys have the types of the entity rows'.
        ttl: Rows older than this at the entity row's time are not seen; exactly this old is. None: no limit.
        known_at_the_time: A row became known no earlier than it was written (`created`).
        publication: When rows are available that became known: at or before the entity row's time they are seen.

    Returns:
        n row numbers (uint32), null where there is none to see.
    """
    unit = "ns" if "ns" in (_finest(entities.values), features.unit) else "us"
    codes = pl.Series(keys.codes)
    left = pl.DataFrame(
        {"key": codes if entities.order is None else codes.gather(entities.order), "at": entities.ticks(unit)}
    )
    rows, order = features.oldest_first(keys.encode(features.keys, len(features.event_times)), unit)
    longest = None
    if ttl:
        longest = min(ttl // timedelta(microseconds=1) * (1000 if unit == "ns" else 1), np.iinfo(np.int64).max)
    if known_at_the_time and features.created is not None:
        known = pl.max_horizontal("event", "created")
        available = rows.drop_nulls("created").with_columns(available=publication.ticks(known, unit))
        matches = _newest_available(left, _newest_of_their_time(available, order), longest)
    elif not publication.is_at_once:
        # What became known later is not available earlier: the rows are in that order already.
        available = rows.with_columns(available=publication.ticks(pl.col("event"), unit))
        matches = _newest_available(left, available, longest)
    else:
        matches = left.join_asof(
            rows.select("key", at="event", match="row"),
            on="at",
            by="key",
            tolerance=longest,
            check_sortedness=False,
        )["match"]
    # Back to the entity rows' own order; those without a timestamp see nothing.
    return (matches if entities.order is None else matches.gather(entities.ranks)).to_arrow()


def newest_of_each(features: FeatureRows) -> pa.Array:
    """The number (uint32) of each key's newest row."""
    rows, _ = features.oldest_first(JoinKeyEncoder(features.keys, len(features.event_times)).codes, features.unit)
    return rows.unique(subset="key", keep="last", maintain_order=True)["row"].to_arrow()


def _newest_available(entities: pl.DataFrame, rows: pl.DataFrame, longest: int | None) -> pl.Series:
    """The row that each entity row sees of those, sorted by `available`; its age is that of its `event`."""
    joined = entities.join_asof(
        rows.select("key", "event", at="available", match="row"), on="at", by="key", check_sortedness=False
    )
    if longest is None:
        return joined["match"]
    is_fresh = pl.col("at") - pl.col("event") <= longest
    return joined.select(pl.when(is_fresh).then("match"))["match"]


def _newest_of_their_time(rows: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """The rows that were the newest of their key when they became `available`, sorted by when that was."""
    rows = rows.sort("available", *order)
    return rows.filter(pl.col("event") == pl.col("event").cum_max().over("key"))


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
    """Each row's position in the order of the rows' values; nested values do not take part."""
    ranks = np.arange(values.num_rows)
    flat = sorted(field.name for field in values.schema if not pa.types.is_nested(field.type))
    if flat:
        frame = pl.DataFrame(values.select(flat)).with_row_index("__row")
        ranks[frame.sort(flat, nulls_last=False)["__row"].to_numpy()] = np.arange(values.num_rows)
    return ranks


def _finest(*times: pa.Array) -> str:
    return "ns" if any(values.type.unit == "ns" for values in times) else "us"


def _ticks(times: pa.Array, unit: str) -> pl.Series:
    """Timestamps as whole numbers (int64) of `unit`.

    Nanoseconds reach from 1677 to 2262: a time outside counts as the nearest of these.
    """
    if times.type.unit == unit:
        return pl.Series(times.cast(pa.int64()))
    micros = pl.Series(times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64()))
    bound = np.iinfo(np.int64).max // 1000
    return micros.clip(-bound, bound) * 1000 if unit == "ns" else micros
