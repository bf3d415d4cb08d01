"""The rows features are joined to, in whatever form and time zone a caller has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from perennial.errors import BadFeatures
from perennial.feature_store.keys import KeyNumbers
from perennial.feature_store.point_in_time import Moments

TIME_COLUMN = "event_timestamp"


@dataclass(frozen=True)
class EntityRows:
    """n rows to join features to.

    Args:
        rows: As they came; they go into the result untouched.
        time: The name of their timestamp column.
        moments: Their timestamps; without a time zone they are UTC.
    """

    rows: pa.Table
    time: str
    moments: Moments

    @classmethod
    def of(cls, entities: object) -> EntityRows:
        """From a pandas frame, a Polars frame or an Arrow table.

        Raises:
            BadFeatures: anything else, or there is no column of timestamps.
        """
        if isinstance(entities, pd.DataFrame):
            rows = pa.Table.from_pandas(entities, preserve_index=False).replace_schema_metadata(None)
        elif isinstance(entities, pl.LazyFrame):
            rows = plain(entities.collect().to_arrow())
        elif isinstance(entities, pl.DataFrame):
            rows = plain(entities.to_arrow())
        elif isinstance(entities, pa.Table):
            rows = entities
        else:
            raise BadFeatures(
                f"Entity rows cannot be a {type(entities).__name__}.",
                "Pass a pandas or Polars frame, an Arrow table, a SELECT statement or the path of a Parquet file.",
            )
        time = time_column(rows.schema)
        return cls(rows, time, Moments(_moments(rows, time)))

    @property
    def schema(self) -> pa.Schema:
        return self.rows.schema

    def whole(self) -> EntityRows:
        return self

    def by_time(self, rows: int) -> Iterator[EntityRows]:
        order, whole = self.time_order(), self.rows.combine_chunks()
        for start in range(0, max(len(order), 1), rows):
            numbers = order.slice(start, rows)
            yield EntityRows(whole.take(numbers).combine_chunks(), self.time, Moments(self.moments.times.take(numbers)))

    def time_order(self) -> pa.Array:
        """The rows' numbers (uint32), those without a moment first, then oldest first."""
        nothing = np.flatnonzero(self.moments.times.is_null()).astype(np.uint32)
        order = self.moments.order
        present = np.arange(self.rows.num_rows, dtype=np.uint32) if order is None else order.to_numpy()
        return pa.array(np.concatenate([nothing, present]))

    def count(self) -> int:
        return self.rows.num_rows

    def width(self) -> int:
        return self.rows.nbytes // max(1, self.rows.num_rows)

    def keys(self, wanted: Mapping[str, pa.DataType], view: str) -> KeyNumbers:
        """The join key of feature view `view`, made of these columns as these types; worked out once for all views.

        Raises:
            BadFeatures: there is no such column, or it is of another kind altogether.
        """
        named = tuple((name, str(kind)) for name, kind in wanted.items())
        if named not in self._numbered:
            parts = [self.key(name, kind, view) for name, kind in wanted.items()]
            self._numbered[named] = KeyNumbers(parts, self.rows.num_rows)
        return self._numbered[named]

    @cached_property
    def _numbered(self) -> dict[tuple[tuple[str, str], ...], KeyNumbers]:
        return {}

    def key(self, name: str, kind: pa.DataType, view: str) -> pa.Array:
        """Join key `name` as type `kind`, that of feature view `view`. A value that does not fit becomes null.

        Raises:
            BadFeatures: there is no such column, or it is of another kind altogether.
        """
        if name not in self.rows.column_names:
            raise BadFeatures(
                f"The entity rows lack {name!r}, a join key of feature view {view!r}.",
                f"They have {', '.join(self.rows.column_names)}.",
            )
        values = _plain(self.rows[name])
        if values.type == kind or pa.types.is_null(values.type):
            return values.cast(kind)
        whole = pa.types.is_integer(kind) and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type))
        if whole:
            return _whole_numbers(values, kind)
        try:
            if _is_text(kind) != _is_text(values.type):
                raise pa.ArrowInvalid("text is not a number")
            return values.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadFeatures(
                f"Join key {name!r} is {values.type} in the entity rows but {kind} in feature view {view!r}.",
                f"Cast it to {kind} before asking for features.",
            ) from error

    def between(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last moment; None when there is none."""
        return bounds_of(self.moments.times)


def bounds_of(times: pa.Array) -> tuple[datetime | None, datetime | None]:
    """The first and the last of timestamps, to the microsecond and never too narrow; None when there is none."""
    micros = pa.timestamp("us", "UTC")
    bounds = pc.min_max(times)
    first, last = (bounds[name].cast(micros, safe=False).as_py() for name in ("min", "max"))
    if times.type.unit == "ns" and last is not None:
        # A cast cuts towards 1970, whichever side of it the moment is on.
        first, last = first - timedelta(microseconds=1), last + timedelta(microseconds=1)
    return first, last


def plain(rows: pa.Table) -> pa.Table:
    """Polars' own kinds of text and lists as the plain ones."""
    return rows.cast(pa.schema([pa.field(field.name, plain_type(field.type)) for field in rows.schema]))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Large text and lists, views and dictionaries as the plain types."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return pa.string() if _is_text(kind) else kind


def time_column(schema: pa.Schema) -> str:
    """`event_timestamp`, or else the only column of timestamps.

    Raises:
        BadFeatures: there is neither.
    """
    if TIME_COLUMN in schema.names:
        return TIME_COLUMN
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        raise BadFeatures(
            f"The entity rows have no column {TIME_COLUMN!r} and {len(times) or 'no'} other columns of timestamps.",
            f"Call the moment of each row {TIME_COLUMN!r}.",
        )
    return times[0]


def utc(times: pa.Array) -> pa.Array:
    """Times as timestamps (us, or ns where they are) in UTC; without a time zone they are taken to be that."""
    zone = times.type.tz if pa.types.is_timestamp(times.type) else None
    unit = "ns" if pa.types.is_timestamp(times.type) and times.type.unit == "ns" else "us"
    return times.cast(pa.timestamp(unit, zone)).cast(pa.timestamp(unit, "UTC"))


def _moments(rows: pa.Table, name: str) -> pa.Array:
    values = _plain(rows[name])
    try:
        if _is_text(values.type):
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
        kept = [
            value if value is not None and value == value and float(value).is_integer() else None
            for value in values.to_pylist()
        ]
        low, high = -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
        return pa.array([int(v) if v is not None and low <= v <= high else None for v in kept], kind)


def in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """The column's values, copied only if they are in pieces."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    values = in_one_piece(column)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
