"""Columns and literals in the SQL of expectations: their types, and NaN read as null, as pandas does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa
from dateutil.parser import ParserError, parse

from perennial._common.sql_quoting import quote_ident, quote_literal

_EPOCH = datetime.fromtimestamp(0, UTC)


class NoTranslation(Exception):
    """Great Expectations must evaluate the expectation itself."""


class ColumnKind(StrEnum):
    """The kinds of columns whose values DuckDB and pandas compare alike, and the others."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TIME = "time"  #: microseconds, UTC
    TEXT = "text"
    OTHER = "other"


SCALAR = (ColumnKind.INT, ColumnKind.FLOAT, ColumnKind.BOOL, ColumnKind.TIME, ColumnKind.TEXT)
ORDERED = (ColumnKind.INT, ColumnKind.FLOAT, ColumnKind.TIME)
NUMERIC = (ColumnKind.INT, ColumnKind.FLOAT)


def source(schema: pa.Schema, columns: Iterable[str], *others: str) -> str:
    """SQL that selects columns of the table `rows`, NaN as null.

    Args:
        schema: The table's schema.
        columns: The columns to select.
        *others: What else to select, as it is.
    """
    selected = [*others]
    for name in dict.fromkeys(columns):
        column = quote_ident(name)
        if pa.types.is_floating(schema.field(name).type):
            column = f"CASE WHEN isnan({column}) THEN NULL ELSE {column} END AS {column}"
        selected.append(column)
    return f"(SELECT {', '.join(selected) or '1'} FROM rows)"  # noqa: S608


def column_kind(schema: pa.Schema, name: str, *allowed: ColumnKind) -> ColumnKind:
    """The kind of a column.

    Args:
        schema: The table's schema.
        name: The column.
        *allowed: The kinds that have a translation; all, if none are given.

    Raises:
        NoTranslation: the table has no such column, or several, or the column is of another kind.
    """
    if len(schema.get_all_field_indices(name)) != 1:
        raise NoTranslation
    kind = _kind(schema.field(name).type)
    if allowed and kind not in allowed:
        raise NoTranslation
    return kind


def _kind(type_: pa.DataType) -> ColumnKind:
    if pa.types.is_integer(type_):
        return ColumnKind.INT
    if pa.types.is_float64(type_):
        return ColumnKind.FLOAT
    if pa.types.is_boolean(type_):
        return ColumnKind.BOOL
    if type_ == pa.timestamp("us", tz="UTC"):
        return ColumnKind.TIME
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return ColumnKind.TEXT
    return ColumnKind.OTHER


def literal(value: Any, kind: ColumnKind) -> str:
    """A value in SQL, to be compared with a column.

    Args:
        value: A number, a string or a time.
        kind: The kind of the column.

    Raises:
        NoTranslation: the value is of another kind than the column.
    """
    if kind in NUMERIC and isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, int):
            return f"({value})"
        if not math.isnan(value):
            return f"'{value!r}'::DOUBLE"
    if kind == ColumnKind.TEXT and isinstance(value, str) and "\0" not in value:
        return quote_literal(value)
    if kind == ColumnKind.TIME:
        return f"TIMESTAMPTZ '{_moment(value).isoformat(sep=' ')}'"
    raise NoTranslation


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = parse(value)
        except (ParserError, OverflowError):
            raise NoTranslation from None
    if not isinstance(value, datetime) or value.tzinfo is None or getattr(value, "nanosecond", False):
        raise NoTranslation
    return _EPOCH + (value - _EPOCH)


def members(values: Any, kind: ColumnKind) -> str:
    """A set of values in SQL, as what stands between the parentheses of `IN ()`; empty for an empty set.

    Args:
        values: The set.
        kind: The kind of the column that they are compared with.

    Raises:
        NoTranslation: it is no set, or a value is of another kind than the column.
    """
    if not isinstance(values, list | tuple | set | frozenset):
        raise NoTranslation
    return ", ".join(literal(value, kind) for value in values)
