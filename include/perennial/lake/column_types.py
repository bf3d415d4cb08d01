"""Types of lake columns: which type values take, what a column may be promoted to, and when rows are equal.

No rule ever turns a value into another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from perennial.lake import _compat

#: Of a decimal, in Iceberg.
_MOST_DIGITS = 38


def canonical(rows: pa.Table) -> pa.Table:
    """The lake's types: microsecond UTC timestamps, plain strings, no dictionaries, no pandas metadata, one chunk.

    Raises:
        pa.ArrowInvalid: a value is not one of these types'; the error names the column.
    """
    columns = []
    for column in rows.schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_timestamp(kind):
            kind = pa.timestamp("us", tz="UTC")
        elif pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            kind = pa.string()
        elif pa.types.is_int8(kind) or pa.types.is_int16(kind):
            kind = pa.int32()
        elif pa.types.is_null(kind):
            kind = pa.string()
        columns.append(pa.field(column.name, kind))
    cast = [_cast(values, column) for values, column in zip(rows.columns, columns, strict=True)]
    return pa.table(cast, schema=pa.schema(columns)).combine_chunks()


def _cast(values: pa.ChunkedArray, column: pa.Field) -> pa.ChunkedArray:
    try:
        return values.cast(column.type)
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(f"column {column.name!r}: {error}") from error


@dataclass(frozen=True)
class ColumnPlan:
    """How the columns of a table can take rows in.

    Attributes:
        empty: Columns without a value yet, which are to take the rows' type.
        promoted: Columns that the rows outgrow -> the wider type that holds both.
        misfits: Columns that cannot, in words: a value would become another one, or the lake has no such type.
    """

    empty: list[str] = field(default_factory=list)
    promoted: dict[str, pa.DataType] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)


def plan_columns(rows: pa.Table, existing: pa.Schema, holds_values: Callable[[pa.Field], bool]) -> ColumnPlan:
    """How columns of the types `existing` can take `rows` in; those that do not exist yet are new ones.

    Args:
        rows: What is to enter.
        existing: The columns that there are.
        holds_values: Whether a row has a value in one of those already.
    """
    plan = ColumnPlan()
    for column in rows.schema:
        name, values = column.name, rows[column.name]
        exists = name in existing.names
        if exists and cast_exactly(values, existing.field(name).type) is not None:
            continue
        if exists and holds_values(existing.field(name)):
            wider = _promoted(existing.field(name).type, values)
            if wider is not None:
                plan.promoted[name] = wider
                continue
            plan.misfits.append(f"{name!r} is {existing.field(name).type} there and {column.type} here")
            continue
        target = _type_given_to(column)
        if target is None:
            plan.misfits.append(f"{name!r} is {column.type} here, a type that the lake does not have")
        elif cast_exactly(values, target) is None:
            plan.misfits.append(f"{name!r} would be {target} there and is {column.type} here")
        elif exists:
            plan.empty.append(name)
    return plan


def _promoted(current: pa.DataType, values: pa.ChunkedArray) -> pa.DataType | None:
    """The type that Iceberg promotes a column of type `current` to, if it takes `values` in as well; None if not.

    In a wider type every value that the column has stays what it is, and its files are not written again.
    """
    if current == pa.int32():
        wider: pa.DataType = pa.int64()
    elif current == pa.float32():
        wider = pa.float64()
    elif pa.types.is_decimal128(current):
        digits = max(current.precision, _whole_digits(values.type) + current.scale)
        wider = pa.decimal128(min(digits, _MOST_DIGITS), current.scale)
    else:
        return None
    return wider if cast_exactly(values, wider) is not None else None


def _whole_digits(kind: pa.DataType) -> int:
    """How many digits before the point numbers of a type may have.

    By the type, not by the values, so that one source makes a column wider once, not batch by batch.
    """
    if pa.types.is_decimal(kind):
        return int(kind.precision - kind.scale)
    return len(str(2**kind.bit_width)) if pa.types.is_integer(kind) else _MOST_DIGITS


def _type_given_to(column: pa.Field) -> pa.DataType | None:
    """The type of a new column for such values; None if the lake has none."""
    stored = _compat.column_type(column)
    return None if stored is None else canonical(pa.schema({column.name: stored}).empty_table()).schema.field(0).type


def cast_exactly(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """`values` as `kind`; None: some of them would become other values.

    Numbers become numbers of another width, and days moments, where each of them can be turned back. Nothing becomes
    text, a number or a truth value that was none. Where there are only nulls, they have any type.

    Args:
        values: A column, of any type.
        kind: The type it is to have.
    """
    if values.type == kind:
        return values
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), kind)])
    if not _comparable(values.type, kind):
        return None
    try:
        converted = values.cast(kind)
        is_exact = columns_equal(converted.cast(values.type), values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return converted if is_exact else None


def conform(schema: pa.Schema, rows: pa.Table) -> pa.Table:
    """`rows` with the columns of another schema; columns that they lack are null, others are left out.

    Args:
        schema: The schema.
        rows: Rows whose values can be cast exactly to its types.
    """
    columns = [
        cast_exactly(rows[column.name], column.type)
        if column.name in rows.column_names
        else pa.nulls(rows.num_rows, column.type)
        for column in schema
    ]
    return pa.table(columns, schema=schema)


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


def tables_equal(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables have the same columns, with the same values in the same order.

    Args:
        one: A table, in the lake's types.
        other: The table it is compared with; its columns in another order make it a different one.
    """
    return one.schema.equals(other.schema) and all(
        columns_equal(mine, its) for mine, its in zip(one.columns, other.columns, strict=True)
    )


def columns_equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns of one type have the same values; NaN is the same as NaN, which Arrow denies.

    Args:
        one: (n,) values.
        other: (m,) values; of another length or type they are never equal.
    """
    if one.equals(other):
        return True
    if one.type != other.type or len(one) != len(other):
        return False
    kind = one.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        are_as_long = pc.list_value_length(one).equals(pc.list_value_length(other))
        return are_as_long and columns_equal(pc.list_flatten(one), pc.list_flatten(other))
    if not pa.types.is_floating(kind):
        return False
    return bool(pc.is_nan(one).equals(pc.is_nan(other)) and _without_nan(one).equals(_without_nan(other)))


def _without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(values), pa.scalar(0, values.type), values)
