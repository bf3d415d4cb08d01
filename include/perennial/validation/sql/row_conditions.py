"""Row-level expectations in SQL: which rows an expectation checks, and which of these break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.validation.sql.columns import (
    NUMERIC,
    ORDERED,
    SCALAR,
    ColumnKind,
    NoTranslation,
    column_kind,
    literal,
    members,
)
from perennial.validation.sql.patterns import as_re2


@dataclass(frozen=True)
class RowCondition:
    """A condition on each row.

    Attributes:
        columns: Whose values are shown of a row that breaks it.
        checked: SQL: the rows that are checked.
        broken: SQL: of these, the ones that break it. None: those whose `columns` another row has too.
    """

    columns: tuple[str, ...]
    checked: str
    broken: str | None


def _not_null(expectation: gxe.ExpectColumnValuesToNotBeNull, schema: pa.Schema) -> RowCondition:
    column_kind(schema, expectation.column, *SCALAR)
    return RowCondition((expectation.column,), "TRUE", f"{quote_ident(expectation.column)} IS NULL")


def _null(expectation: gxe.ExpectColumnValuesToBeNull, schema: pa.Schema) -> RowCondition:
    column_kind(schema, expectation.column, *SCALAR)
    return RowCondition((expectation.column,), "TRUE", f"{quote_ident(expectation.column)} IS NOT NULL")


def _unique(expectation: gxe.ExpectColumnValuesToBeUnique, schema: pa.Schema) -> RowCondition:
    column_kind(schema, expectation.column, *SCALAR)
    return RowCondition((expectation.column,), f"{quote_ident(expectation.column)} IS NOT NULL", None)


def _compound_unique(expectation: gxe.ExpectCompoundColumnsToBeUnique, schema: pa.Schema) -> RowCondition:
    for name in expectation.column_list:
        column_kind(schema, name, *SCALAR)
    return RowCondition(tuple(expectation.column_list), _not_ignored(expectation), None)


def _between(expectation: gxe.ExpectColumnValuesToBeBetween, schema: pa.Schema) -> RowCondition:
    kind = column_kind(schema, expectation.column, *ORDERED)
    low, high = expectation.min_value, expectation.max_value
    if low is not None and high is not None and _is_above(low, high):
        raise NoTranslation  # Great Expectations says what is wrong with it.
    return _of_values(expectation.column, f"NOT ({_inside(expectation, quote_ident(expectation.column), kind)})")


def _in_set(expectation: gxe.ExpectColumnValuesToBeInSet, schema: pa.Schema) -> RowCondition:
    values = members(expectation.value_set, column_kind(schema, expectation.column, *NUMERIC, ColumnKind.TEXT))
    return _of_values(expectation.column, f"{quote_ident(expectation.column)} NOT IN ({values})" if values else "TRUE")


def _not_in_set(expectation: gxe.ExpectColumnValuesToNotBeInSet, schema: pa.Schema) -> RowCondition:
    values = members(expectation.value_set, column_kind(schema, expectation.column, *NUMERIC, ColumnKind.TEXT))
    return _of_values(expectation.column, f"{quote_ident(expectation.column)} IN ({values})" if values else "FALSE")


def _matches_regex(expectation: gxe.ExpectColumnValuesToMatchRegex, schema: pa.Schema) -> RowCondition:
    return _of_values(expectation.column, f"NOT {_matches(expectation, schema)}")


def _matches_no_regex(expectation: gxe.ExpectColumnValuesToNotMatchRegex, schema: pa.Schema) -> RowCondition:
    return _of_values(expectation.column, _matches(expectation, schema))


def _length_equals(expectation: gxe.ExpectColumnValueLengthsToEqual, schema: pa.Schema) -> RowCondition:
    column_kind(schema, expectation.column, ColumnKind.TEXT)
    expected = literal(expectation.value, ColumnKind.INT)
    return _of_values(expectation.column, f"length({quote_ident(expectation.column)}) <> {expected}")


def _length_between(expectation: gxe.ExpectColumnValueLengthsToBeBetween, schema: pa.Schema) -> RowCondition:
    column_kind(schema, expectation.column, ColumnKind.TEXT)
    length = f"length({quote_ident(expectation.column)})"
    return _of_values(expectation.column, f"NOT ({_inside(expectation, length, ColumnKind.INT)})")


def _pair_equal(expectation: gxe.ExpectColumnPairValuesToBeEqual, schema: pa.Schema) -> RowCondition:
    if expectation.ignore_row_if == "neither":
        raise NoTranslation
    return _pair(expectation, schema, "=", frozenset({ColumnKind.TEXT}))


def _pair_greater(expectation: gxe.ExpectColumnPairValuesAToBeGreaterThanB, schema: pa.Schema) -> RowCondition:
    return _pair(expectation, schema, ">=" if expectation.or_equal else ">")


def _sum_equals(expectation: gxe.ExpectMulticolumnSumToEqual, schema: pa.Schema) -> RowCondition:
    kinds = {column_kind(schema, name, *NUMERIC) for name in expectation.column_list}
    cast = "HUGEINT" if kinds == {ColumnKind.INT} else "DOUBLE"
    total = " + ".join(f"{quote_ident(name)}::{cast}" for name in expectation.column_list)
    broken = f"({total} = {literal(expectation.sum_total, ColumnKind.FLOAT)}) IS NOT TRUE"
    return RowCondition(tuple(expectation.column_list), _not_ignored(expectation), broken)


def _of_values(name: str, broken: str) -> RowCondition:
    """A condition on each value of a column that is not null."""
    return RowCondition((name,), f"{quote_ident(name)} IS NOT NULL", broken)


def _inside(expectation: Any, value: str, kind: ColumnKind) -> str:
    """SQL: whether a value is within an expectation's bounds, of which there is at least one."""
    bounds = []
    if expectation.min_value is not None:
        bounds.append(f"{value} {'>' if expectation.strict_min else '>='} {literal(expectation.min_value, kind)}")
    if expectation.max_value is not None:
        bounds.append(f"{value} {'<' if expectation.strict_max else '<='} {literal(expectation.max_value, kind)}")
    if not bounds:
        raise NoTranslation
    return " AND ".join(bounds)


def _is_above(low: Any, high: Any) -> bool:
    try:
        return bool(low > high)
    except TypeError:
        raise NoTranslation from None


def _matches(expectation: Any, schema: pa.Schema) -> str:
    column_kind(schema, expectation.column, ColumnKind.TEXT)
    pattern = as_re2(expectation.regex) if isinstance(expectation.regex, str) else None
    if pattern is None:
        raise NoTranslation
    return f"regexp_matches({quote_ident(expectation.column)}, {quote_literal(pattern)})"


def _pair(expectation: Any, schema: pa.Schema, sign: str, alone: frozenset[ColumnKind] = frozenset()) -> RowCondition:
    """A comparison of two columns of numbers, or of times, or of a kind in `alone`."""
    kinds = {column_kind(schema, name) for name in (expectation.column_A, expectation.column_B)}
    if not (kinds <= set(NUMERIC) or kinds == {ColumnKind.TIME} or (kinds and kinds == alone)):
        raise NoTranslation
    holds = f"{quote_ident(expectation.column_A)} {sign} {quote_ident(expectation.column_B)}"
    # A comparison with a value that is missing does not hold.
    return RowCondition(
        (expectation.column_A, expectation.column_B), _not_ignored(expectation), f"({holds}) IS NOT TRUE"
    )


def _not_ignored(expectation: Any) -> str:
    """SQL: the rows that an expectation of several columns checks, by its `ignore_row_if`."""
    columns = getattr(expectation, "column_list", None) or [expectation.column_A, expectation.column_B]
    present = [f"{quote_ident(name)} IS NOT NULL" for name in columns]
    if expectation.ignore_row_if in ("all_values_are_missing", "both_values_are_missing"):
        return f"({' OR '.join(present)})"
    if expectation.ignore_row_if in ("any_value_is_missing", "either_value_is_missing"):
        return f"({' AND '.join(present)})"
    return "TRUE"


ROW_CONDITIONS: dict[type[gxe.Expectation], Callable[[Any, pa.Schema], RowCondition]] = {
    gxe.ExpectColumnValuesToNotBeNull: _not_null,
    gxe.ExpectColumnValuesToBeNull: _null,
    gxe.ExpectColumnValuesToBeUnique: _unique,
    gxe.ExpectCompoundColumnsToBeUnique: _compound_unique,
    gxe.ExpectColumnValuesToBeBetween: _between,
    gxe.ExpectColumnValuesToBeInSet: _in_set,
    gxe.ExpectColumnValuesToNotBeInSet: _not_in_set,
    gxe.ExpectColumnValuesToMatchRegex: _matches_regex,
    gxe.ExpectColumnValuesToNotMatchRegex: _matches_no_regex,
    gxe.ExpectColumnValueLengthsToBeBetween: _length_between,
    gxe.ExpectColumnValueLengthsToEqual: _length_equals,
    gxe.ExpectColumnPairValuesAToBeGreaterThanB: _pair_greater,
    gxe.ExpectColumnPairValuesToBeEqual: _pair_equal,
    gxe.ExpectMulticolumnSumToEqual: _sum_equals,
}
