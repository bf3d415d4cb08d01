"""Values that enter a column of the lake stay what they are: which types become which, and when rows are equal."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def fitted(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """`values` as `kind`; None: some of them would become other values.

    Numbers become numbers of another width, and days moments, where each of them can be turned back. Nothing becomes
    text, a number or a truth value that was none. Where there are only nulls, they have any type.
    """
    if values.type == kind:
        return values
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), kind)])
    if not _comparable(values.type, kind):
        return None
    try:
        converted = values.cast(kind)
        is_exact = same(converted.cast(values.type), values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return converted if is_exact else None


def _comparable(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether a value of one type can be the same as one of the other; of what is nested, part by part."""
    if not pa.types.is_nested(one) or not pa.types.is_nested(other):
        return _family(one) == _family(other)
    return one.num_fields == other.num_fields and all(
        _comparable(one.field(place).type, other.field(place).type) for place in range(one.num_fields)
    )


def _family(kind: pa.DataType) -> str:
    """What values of a type are to people."""
    if pa.types.is_boolean(kind):
        return "truth value"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "moment"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "bytes"
    return str(kind.id)


def equal(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables have the same columns, with the same values in the same order."""
    return one.schema.equals(other.schema) and all(
        same(mine, its) for mine, its in zip(one.columns, other.columns, strict=True)
    )


def same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns of one type have the same values; NaN is the same as NaN, which Arrow denies."""
    if one.equals(other):
        return True
    if one.type != other.type or len(one) != len(other):
        return False
    kind = one.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        are_as_long = pc.list_value_length(one).equals(pc.list_value_length(other))
        return are_as_long and same(pc.list_flatten(one), pc.list_flatten(other))
    if not pa.types.is_floating(kind):
        return False
    return bool(pc.is_nan(one).equals(pc.is_nan(other)) and _without_nan(one).equals(_without_nan(other)))


def _without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(values), pa.scalar(0, values.type), values)
