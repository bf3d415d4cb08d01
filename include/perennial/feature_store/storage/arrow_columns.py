"""Brings Arrow columns into one plain form: one chunk, plain types, timestamps in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc


def plain_table(rows: pa.Table) -> pa.Table:
    """A table with the plain types of text, bytes and lists in place of Polars' own."""
    return rows.cast(pa.schema([pa.field(field.name, plain_type(field.type)) for field in rows.schema]))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The plain type of large text and lists, views and dictionaries."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return pa.string() if is_text(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text in any of Arrow's forms."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The column's values, copied only if they are in several chunks."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def decoded(column: pa.ChunkedArray) -> pa.Array:
    """The column's values in one chunk, and not as a dictionary."""
    values = one_chunk(column)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def utc(times: pa.Array) -> pa.Array:
    """Times as timestamps in UTC, in us, or in ns where they are; without a time zone they are taken to be UTC."""
    zone = times.type.tz if pa.types.is_timestamp(times.type) else None
    unit = "ns" if pa.types.is_timestamp(times.type) and times.type.unit == "ns" else "us"
    return times.cast(pa.timestamp(unit, zone)).cast(pa.timestamp(unit, "UTC"))


def bounds(times: pa.Array) -> tuple[datetime | None, datetime | None]:
    """The first and the last of timestamps, to the microsecond and never too narrow; None when there is none."""
    micros = pa.timestamp("us", "UTC")
    extremes = pc.min_max(times)
    first, last = (extremes[name].cast(micros, safe=False).as_py() for name in ("min", "max"))
    if times.type.unit == "ns" and last is not None:
        # A cast cuts towards 1970, whichever side of it the moment is on.
        first, last = first - timedelta(microseconds=1), last + timedelta(microseconds=1)
    return first, last
