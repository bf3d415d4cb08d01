"""The rows features are joined to, in whatever form and time zone a caller has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from perennial.errors import BadFeatures

MOMENT = pa.timestamp("us", tz="UTC")
TIME_COLUMN = "event_timestamp"


@dataclass(frozen=True)
class EntityRows:
    """n rows to join features to.

    Args:
        rows: As they came; they go into the result untouched.
        time: The name of their timestamp column.
        moments: Their timestamps (us, UTC); without a time zone they are UTC, nanoseconds are cut off.
    """

    rows: pa.Table
    time: str
    moments: pa.Array

    @classmethod
    def of(cls, entities: object) -> EntityRows:
        """From a pandas frame or an Arrow table.

        Raises:
            BadFeatures: anything else, or there is no column of timestamps.
        """
        if isinstance(entities, pd.DataFrame):
            rows = pa.Table.from_pandas(entities, preserve_index=False).replace_schema_metadata(None)
        elif isinstance(entities, pa.Table):
            rows = entities.combine_chunks()
        else:
            what = "An SQL query" if isinstance(entities, str) else "A time range" if entities is None else "This"
            raise BadFeatures(
                f"{what} as entity rows is not supported by the lake's offline store.",
                "Pass a pandas.DataFrame or a pyarrow.Table with the join keys and a timestamp column.",
            )
        time = _time_column(rows)
        return cls(rows, time, _moments(rows, time))

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
            if pa.types.is_string(kind) != _is_text(values.type):
                raise pa.ArrowInvalid("text is not a number")
            return values.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadFeatures(
                f"Join key {name!r} is {values.type} in the entity rows but {kind} in feature view {view!r}.",
                f"Cast it to {kind} before asking for features.",
            ) from error

    def between(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last moment; None when there is none."""
        bounds = pc.min_max(self.moments)
        return bounds["min"].as_py(), bounds["max"].as_py()

    def names_but_time(self) -> list[str]:
        return [name for name in self.rows.column_names if name != self.time]


def _time_column(rows: pa.Table) -> str:
    """`event_timestamp`, or else the only column of timestamps."""
    if TIME_COLUMN in rows.column_names:
        return TIME_COLUMN
    times = [field.name for field in rows.schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        raise BadFeatures(
            f"The entity rows have no column {TIME_COLUMN!r} and {len(times) or 'no'} other columns of timestamps.",
            f"Call the moment of each row {TIME_COLUMN!r}.",
        )
    return times[0]


def _moments(rows: pa.Table, name: str) -> pa.Array:
    values = _plain(rows[name])
    try:
        if _is_text(values.type):
            parsed = pd.to_datetime(values.to_pandas(), utc=True, format="ISO8601")
            values = pa.array(parsed, type=pa.timestamp("ns", tz="UTC"))
        if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
            # The lake counts microseconds: cut down, so that nothing later than the moment is seen.
            values = pc.floor_temporal(values.cast(pa.timestamp("ns")), unit="microsecond")
        return values.cast(pa.timestamp("us", values.type.tz if pa.types.is_timestamp(values.type) else None)).cast(
            MOMENT
        )
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


def _plain(column: pa.ChunkedArray) -> pa.Array:
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], column.type)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
