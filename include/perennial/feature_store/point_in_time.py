"""Which feature row an example may see: the newest one known at its moment, by an as-of join over keys and times.

Only keys and times go through Polars. The result is row numbers, so feature values are gathered by Arrow and keep
their exact type, nulls included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class FeatureRows:
    """The m rows of a feature table, as far as a join must know them.

    Rows with one key and one event time are ordered by `created`, then by `values`: which one wins never depends on how
    they are stored. A row whose key or event time is null is never seen.

    Args:
        keys: The join keys, one array of m values each. Without keys there is one entity.
        event_times: When the values became known, m timestamps (us, UTC).
        created: When the rows were written, m timestamps (us, UTC).
        values: The feature values, m rows.
    """

    keys: Sequence[pa.Array]
    event_times: pa.Array
    values: pa.Table
    created: pa.Array | None = None

    def oldest_first(self, entities: pa.Array) -> tuple[pl.DataFrame, list[str]]:
        """`entity`, `event`, `created` (int64 microseconds) and `row` (number), sorted; and what they are sorted by.

        Args:
            entities: m numbers that say which rows have one key.
        """
        rows = _frame(entity=entities, event=self.event_times)
        order = ["event"]
        if self.created is not None:
            rows = rows.with_columns(created=_series(self.created).gather(rows["row"]))
            order.append("created")
        rows = rows.sort(order, nulls_last=False)
        # Rows of one key and time are rare: look for them only where times repeat, and order only those by value.
        repeats = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in order)
        suspects = rows.filter(repeats | repeats.shift(-1))
        tied = suspects.filter(suspects.select("entity", *order).is_duplicated())["row"]
        if len(tied):
            ranks = np.zeros(len(self.event_times), dtype=np.int64)
            ranks[tied.to_numpy()] = _ranks(self.values.take(tied.to_arrow()))
            rows = rows.with_columns(rank=pl.Series(ranks).gather(rows["row"]))
            order.append("rank")
            rows = rows.sort(order, nulls_last=False)
        return rows, order


def newest_known(
    keys: Sequence[pa.Array],
    moments: pa.Array,
    features: FeatureRows,
    *,
    ttl: timedelta | None = None,
    only_known: bool = False,
) -> pa.Array:
    """For each of n examples, the number of the feature row it sees: the newest of its key at or before its moment.

    Args:
        keys: The examples' join keys, one array of n values each, of the types of the features'. Null matches nothing.
        moments: The examples' moments, n timestamps (us, UTC).
        features: What may be seen.
        ttl: Rows older than this at the example's moment are not seen; exactly this old is. None: no limit.
        only_known: See only rows that were also written (`created`) at or before the moment.

    Returns:
        n row numbers (int64), null where there is none to see.
    """
    entities, feature_entities = _numbered(keys, features.keys, len(moments), len(features.event_times))
    examples = _frame(entity=entities, at=moments).sort("at")
    rows, order = features.oldest_first(feature_entities)
    if only_known and features.created is not None:
        rows = _as_they_became_known(rows.drop_nulls("created"), order)
    else:
        rows = rows.with_columns(available="event")
    found = examples.join_asof(
        rows.select("entity", "available", "event", match="row"),
        left_on="at",
        right_on="available",
        by="entity",
        strategy="backward",
        check_sortedness=False,
    )
    if ttl:
        is_fresh = pl.col("at") - pl.col("event") <= ttl // timedelta(microseconds=1)
        found = found.with_columns(match=pl.when(is_fresh).then("match"))
    matches = np.full(len(moments), -1, dtype=np.int64)
    matches[found["row"].to_numpy()] = found["match"].fill_null(-1).to_numpy()
    return pa.array(matches, mask=matches < 0)


def newest_of_each(features: FeatureRows) -> pa.Array:
    """The number (int64) of each key's newest row."""
    none = [values.slice(0, 0) for values in features.keys]
    _, entities = _numbered(none, features.keys, 0, len(features.event_times))
    rows, _ = features.oldest_first(entities)
    return rows.unique(subset="entity", keep="last", maintain_order=True)["row"].to_arrow()


def _as_they_became_known(rows: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """The rows that were the newest of their key when they became known, sorted by when that was (`available`)."""
    rows = rows.with_columns(available=pl.max_horizontal("event", "created")).sort("available", *order)
    return rows.filter(pl.col("event") == pl.col("event").cum_max().over("entity"))


def _numbered(
    left: Sequence[pa.Array], right: Sequence[pa.Array], left_length: int, right_length: int
) -> tuple[pa.Array, pa.Array]:
    """A number (int64) for each row's key, the same for equal keys on both sides, null where a part of it is null."""
    numbers = pa.array(np.zeros(left_length + right_length, dtype=np.int64))
    for one, other in zip(left, right, strict=True):
        part = pa.concat_arrays([one, other]).dictionary_encode()
        pair = pc.add(pc.multiply(numbers, len(part.dictionary)), part.indices.cast(pa.int64()))
        numbers = pair.dictionary_encode().indices.cast(pa.int64()) if len(left) > 1 else pair
    return numbers.slice(0, left_length), numbers.slice(left_length)


def _ranks(values: pa.Table) -> np.ndarray:
    """Each row's place in the order of the rows' values; nested values do not take part."""
    ranks = np.arange(values.num_rows)
    flat = sorted(field.name for field in values.schema if not pa.types.is_nested(field.type))
    if flat:
        frame = pl.DataFrame(values.select(flat)).with_row_index("__row")
        ranks[frame.sort(flat, nulls_last=False)["__row"].to_numpy()] = np.arange(values.num_rows)
    return ranks


def _frame(**columns: pa.Array) -> pl.DataFrame:
    """Numbers and times as int64, and row numbers, without the rows that lack one of them."""
    frame = pl.DataFrame({name: _series(values) for name, values in columns.items()})
    return frame.with_columns(row=pl.int_range(frame.height, dtype=pl.Int64)).drop_nulls()


def _series(values: pa.Array) -> pl.Series:
    return pl.Series(values.cast(pa.int64()))
