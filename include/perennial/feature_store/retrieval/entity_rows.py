"""The entity rows that features are joined to, from a frame or table in whatever form and time zone a caller has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from perennial.errors import BadFeatures
from perennial.feature_store.retrieval.join_key_encoding import JoinKeyEncoder
from perennial.feature_store.retrieval.point_in_time import EntityTimes
from perennial.feature_store.storage.arrow_columns import bounds, decoded, is_text, plain_table, utc

TIME_COLUMN = "event_timestamp"


@dataclass(frozen=True)
class EntityRows:
    """n rows to join features to, in memory.

    Attributes:
        rows: As they came; they go into the result untouched.
        time: The name of their timestamp column.
        times: Their timestamps; without a time zone they are UTC.
    """

    rows: pa.Table
    time: str
    times: EntityTimes

    @classmethod
    def of(cls, entities: object) -> EntityRows:
        """From a pandas frame, a Polars frame or an Arrow table.

        Raises:
            BadFeatures: It is anything else, or there is no column of timestamps.
        """
        if isinstance(entities, pd.DataFrame):
            rows = pa.Table.from_pandas(entities, preserve_index=False).replace_schema_metadata(None)
        elif isinstance(entities, pl.LazyFrame):
            rows = plain_table(entities.collect().to_arrow())
        elif isinstance(entities, pl.DataFrame):
            rows = plain_table(entities.to_arrow())
        elif isinstance(entities, pa.Table):
            rows = entities
        else:
            raise BadFeatures(
                f"Entity rows cannot be a {type(entities).__name__}.",
                "Pass a pandas or Polars frame, an Arrow table, a SELECT statement or the path of a Parquet file.",
            )
        time = time_column(rows.schema)
        return cls(rows, time, EntityTimes(_timestamps(rows, time)))

    @property
    def schema(self) -> pa.Schema:
        """The rows' columns."""
        return self.rows.schema

    def whole(self) -> EntityRows:
        """All of them, in their own order."""
        return self

    def by_time(self, rows: int) -> Iterator[EntityRows]:
        """At most `rows` at a time, oldest first; those without a timestamp come before all others."""
        order, whole = self.time_order(), self.rows.combine_chunks()
        for start in range(0, max(len(order), 1), rows):
            numbers = order.slice(start, rows)
            times = EntityTimes(self.times.values.take(numbers))
            yield EntityRows(whole.take(numbers).combine_chunks(), self.time, times)

    def time_order(self) -> pa.Array:
        """The rows' numbers (uint32), those without a timestamp first, then oldest first."""
        without = np.flatnonzero(self.times.values.is_null()).astype(np.uint32)
        order = self.times.order
        present = np.arange(self.rows.num_rows, dtype=np.uint32) if order is None else order.to_numpy()
        return pa.array(np.concatenate([without, present]))

    def count(self) -> int:
        """How many rows there are."""
        return self.rows.num_rows

    def width(self) -> int:
        """About how many bytes a row takes."""
        return self.rows.nbytes // max(1, self.rows.num_rows)

    def between(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last timestamp, UTC; None when there is none."""
        return bounds(self.times.values)

    def encoded_keys(self, types: Mapping[str, pa.DataType], view: str) -> JoinKeyEncoder:
        """The rows' join keys for a feature view; encoded once for all views with the same keys.

        Args:
            types: Key column -> the type it has in the view's table.
            view: The view's name, for errors.

        Raises:
            BadFeatures: There is no such column, or its type cannot be compared with the view's.
        """
        signature = tuple((name, str(kind)) for name, kind in types.items())
        if signature not in self._encoders:
            parts = [self.key(name, kind, view) for name, kind in types.items()]
            self._encoders[signature] = JoinKeyEncoder(parts, self.rows.num_rows)
        return self._encoders[signature]

    @cached_property
    def _encoders(self) -> dict[tuple[tuple[str, str], ...], JoinKeyEncoder]:
        return {}

    def key(self, name: str, kind: pa.DataType, view: str) -> pa.Array:
        """One join key as the type that it has in a view's table; a value that does not fit becomes null.

        Args:
            name: The key column.
            kind: The type in the view's table.
            view: The view's name, for errors.

        Returns:
            n values of type `kind`.

        Raises:
            BadFeatures: There is no such column, or its type cannot be compared with the view's.
        """
        if name not in self.rows.column_names:
            raise BadFeatures(
                f"The entity rows lack {name!r}, a join key of feature view {view!r}.",
                f"They have {', '.join(self.rows.column_names)}.",
            )
        values = decoded(self.rows[name])
        if values.type == kind or pa.types.is_null(values.type):
            return values.cast(kind)
        if pa.types.is_integer(kind) and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            return _whole_numbers(values, kind)
        try:
            if is_text(kind) != is_text(values.type):
                raise pa.ArrowInvalid("text is not a number")
            return values.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadFeatures(
                f"Join key {name!r} is {values.type} in the entity rows but {kind} in feature view {view!r}.",
                f"Cast it to {kind} before asking for features.",
            ) from error


def time_column(schema: pa.Schema) -> str:
    """The column of entity timestamps: `event_timestamp`, or else the only column of timestamps.

    Raises:
        BadFeatures: There is neither.
    """
    if TIME_COLUMN in schema.names:
        return TIME_COLUMN
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        raise BadFeatures(
            f"The entity rows have no column {TIME_COLUMN!r} and {len(times) or 'no'} other columns of timestamps.",
            f"Call the timestamp of each row {TIME_COLUMN!r}.",
        )
    return times[0]


def _timestamps(rows: pa.Table, name: str) -> pa.Array:
    values = decoded(rows[name])
    try:
        if is_text(values.type):
            parsed = pd.to_datetime(values.to_pandas(), utc=True, format="ISO8601")
            values = pa.array(parsed, type=pa.timestamp("ns", tz="UTC"))
        return utc(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise BadFeatures(
            f"Column {name!r} of the entity rows is {values.type}, not a timestamp.",
            "Pass UTC timestamps, or ISO 8601 text.",
        ) from error


def _whole_numbers(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """`values` as whole numbers; null where they are none or too large."""
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        whole = [
            value if value is not None and value == value and float(value).is_integer() else None
            for value in values.to_pylist()
        ]
        low, high = -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
        return pa.array([int(v) if v is not None and low <= v <= high else None for v in whole], kind)
