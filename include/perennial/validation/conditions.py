"""Expectations as SQL: what DuckDB has to compute of a table so that Great Expectations can judge it.

Only where the answer is the one that Great Expectations gives of the same rows on pandas: the column's type is one
whose comparisons DuckDB and pandas make alike, the bounds are of that type, the pattern means the same to Python and to
RE2. Everything else has no translation and stays with Great Expectations.

Conditions see NaN as null, as pandas does; see `source`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa
from dateutil.parser import ParserError, parse
from great_expectations.constants import MAX_DISTINCT_VALUES

from perennial.validation.patterns import as_re2


@dataclass(frozen=True)
class Rows:
    """A question to each row.

    Attributes:
        columns: Whose values are shown of a row that breaks it.
        about: SQL: the rows that are asked.
        bad: SQL: of these, the ones that break it. None: those whose `columns` another row has too.
    """

    columns: tuple[str, ...]
    about: str
    bad: str | None


@dataclass(frozen=True)
class Numbers:
    """A question to the table: metric of Great Expectations -> SQL aggregate over `columns`.

    Attributes:
        ordered: A sum of floating-point numbers, which depends on their order.
        finish: Makes Great Expectations' metrics of what was computed.
    """

    columns: tuple[str, ...]
    metrics: dict[str, str]
    ordered: bool = False
    finish: Callable[[dict[str, Any]], dict[str, Any]] = dict


@dataclass(frozen=True)
class Known:
    """A question that the schema and the number of rows answer: metric of Great Expectations -> its value."""

    metrics: dict[str, Any] = field(default_factory=dict)


Translation = Rows | Numbers | Known
#: Where a condition names its column; no column, number or string that is translated holds it.
_COLUMN = "\0"


class _Untranslatable(Exception):
    """Great Expectations has to do it itself."""


def translate(expectation: gxe.Expectation, schema: pa.Schema) -> Translation | None:
    """What to compute for `expectation` on a table of `schema`; None where Great Expectations has to do it itself."""
    # Not of subclasses: they may judge otherwise.
    translation = _TRANSLATIONS.get(type(expectation))
    if translation is None or getattr(expectation, "row_condition", None):
        return None
    try:
        return translation(expectation, schema)
    except _Untranslatable:
        return None


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string in SQL."""
    return "'" + value.replace("'", "''") + "'"


def source(schema: pa.Schema, columns: Iterable[str], *more: str) -> str:
    """SQL that selects `columns` of the table `rows`, NaN as null, and whatever `more` names as it is."""
    selected = [*more]
    for name in dict.fromkeys(columns):
        column = quoted(name)
        if pa.types.is_floating(schema.field(name).type):
            column = f"CASE WHEN isnan({column}) THEN NULL ELSE {column} END AS {column}"
        selected.append(column)
    return f"(SELECT {', '.join(selected) or '1'} FROM rows)"  # noqa: S608


def _kind(schema: pa.Schema, name: str, *allowed: str) -> str:
    """The kind of a column: int, float, bool, time (microseconds, UTC) or text; one of `allowed`, if any are given."""
    if schema.names.count(name) != 1:
        raise _Untranslatable
    kind = schema.field(name).type
    if pa.types.is_integer(kind):
        found = "int"
    elif pa.types.is_float64(kind):
        found = "float"
    elif pa.types.is_boolean(kind):
        found = "bool"
    elif kind == pa.timestamp("us", tz="UTC"):
        found = "time"
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = "text"
    else:
        found = "other"
    if allowed and found not in allowed:
        raise _Untranslatable
    return found


def _literal(value: Any, kind: str) -> str:
    """`value` in SQL, to be compared with a column of `kind`."""
    if kind in ("int", "float") and isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, int):
            return f"({value})"
        if not math.isnan(value):
            return f"'{value!r}'::DOUBLE"
    if kind == "text" and isinstance(value, str) and "\0" not in value:
        return text(value)
    if kind == "time":
        return f"TIMESTAMPTZ '{_moment(value).isoformat(sep=' ')}'"
    raise _Untranslatable


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = parse(value)
        except (ParserError, OverflowError):
            raise _Untranslatable from None
    if not isinstance(value, datetime) or value.tzinfo is None or getattr(value, "nanosecond", False):
        raise _Untranslatable
    return datetime.fromtimestamp(0, UTC) + (value - datetime.fromtimestamp(0, UTC))


def _of_column(name: str, bad: str) -> Rows:
    column = quoted(name)
    return Rows((name,), f"{column} IS NOT NULL", bad.replace(_COLUMN, column))


def _not_null(expectation: gxe.ExpectColumnValuesToNotBeNull, schema: pa.Schema) -> Rows:
    _kind(schema, expectation.column, *_SCALAR)
    return Rows((expectation.column,), "TRUE", f"{quoted(expectation.column)} IS NULL")


def _null(expectation: gxe.ExpectColumnValuesToBeNull, schema: pa.Schema) -> Rows:
    _kind(schema, expectation.column, *_SCALAR)
    return Rows((expectation.column,), "TRUE", f"{quoted(expectation.column)} IS NOT NULL")


def _unique(expectation: gxe.ExpectColumnValuesToBeUnique, schema: pa.Schema) -> Rows:
    _kind(schema, expectation.column, *_SCALAR)
    return Rows((expectation.column,), f"{quoted(expectation.column)} IS NOT NULL", None)


def _compound(expectation: gxe.ExpectCompoundColumnsToBeUnique, schema: pa.Schema) -> Rows:
    for name in expectation.column_list:
        _kind(schema, name, *_SCALAR)
    return Rows(tuple(expectation.column_list), _about(expectation), None)


def _about(expectation: Any) -> str:
    """The rows that an expectation of several columns is about, by its `ignore_row_if`."""
    columns = getattr(expectation, "column_list", None) or [expectation.column_A, expectation.column_B]
    present = [f"{quoted(name)} IS NOT NULL" for name in columns]
    if expectation.ignore_row_if in ("all_values_are_missing", "both_values_are_missing"):
        return f"({' OR '.join(present)})"
    if expectation.ignore_row_if in ("any_value_is_missing", "either_value_is_missing"):
        return f"({' AND '.join(present)})"
    return "TRUE"


def _between(expectation: gxe.ExpectColumnValuesToBeBetween, schema: pa.Schema) -> Rows:
    kind = _kind(schema, expectation.column, "int", "float", "time")
    low, high = expectation.min_value, expectation.max_value
    inside = []
    if low is not None:
        inside.append(f"{_COLUMN} {'>' if expectation.strict_min else '>='} {_literal(low, kind)}")
    if high is not None:
        inside.append(f"{_COLUMN} {'<' if expectation.strict_max else '<='} {_literal(high, kind)}")
    if not inside or (low is not None and high is not None and _above(low, high)):
        raise _Untranslatable  # Great Expectations says what is wrong with it.
    return _of_column(expectation.column, f"NOT ({' AND '.join(inside)})")


def _above(low: Any, high: Any) -> bool:
    try:
        return bool(low > high)
    except TypeError:
        raise _Untranslatable from None


def _members(expectation: Any, kind: str) -> str:
    values = expectation.value_set
    if not isinstance(values, list | tuple | set | frozenset):
        raise _Untranslatable
    return ", ".join(_literal(value, kind) for value in values)


def _in_set(expectation: gxe.ExpectColumnValuesToBeInSet, schema: pa.Schema) -> Rows:
    members = _members(expectation, _kind(schema, expectation.column, "int", "float", "text"))
    return _of_column(expectation.column, f"{_COLUMN} NOT IN ({members})" if members else "TRUE")


def _not_in_set(expectation: gxe.ExpectColumnValuesToNotBeInSet, schema: pa.Schema) -> Rows:
    members = _members(expectation, _kind(schema, expectation.column, "int", "float", "text"))
    return _of_column(expectation.column, f"{_COLUMN} IN ({members})" if members else "FALSE")


def _matches(expectation: Any, schema: pa.Schema) -> str:
    _kind(schema, expectation.column, "text")
    pattern = as_re2(expectation.regex) if isinstance(expectation.regex, str) else None
    if pattern is None:
        raise _Untranslatable
    return f"regexp_matches({_COLUMN}, {text(pattern)})"


def _match(expectation: gxe.ExpectColumnValuesToMatchRegex, schema: pa.Schema) -> Rows:
    return _of_column(expectation.column, f"NOT {_matches(expectation, schema)}")


def _not_match(expectation: gxe.ExpectColumnValuesToNotMatchRegex, schema: pa.Schema) -> Rows:
    return _of_column(expectation.column, _matches(expectation, schema))


def _length(expectation: Any, schema: pa.Schema) -> Rows:
    _kind(schema, expectation.column, "text")
    if isinstance(expectation, gxe.ExpectColumnValueLengthsToEqual):
        return _of_column(expectation.column, f"length({_COLUMN}) <> {_literal(expectation.value, 'int')}")
    inside = []
    if expectation.min_value is not None:
        sign = ">" if expectation.strict_min else ">="
        inside.append(f"length({_COLUMN}) {sign} {_literal(expectation.min_value, 'int')}")
    if expectation.max_value is not None:
        sign = "<" if expectation.strict_max else "<="
        inside.append(f"length({_COLUMN}) {sign} {_literal(expectation.max_value, 'int')}")
    if not inside:
        raise _Untranslatable
    return _of_column(expectation.column, f"NOT ({' AND '.join(inside)})")


def _pair(expectation: Any, schema: pa.Schema) -> Rows:
    equal = isinstance(expectation, gxe.ExpectColumnPairValuesToBeEqual)
    kinds = {_kind(schema, name) for name in (expectation.column_A, expectation.column_B)}
    comparable = kinds <= {"int", "float"} or kinds == {"time"} or (equal and kinds == {"text"})
    if not comparable or (equal and expectation.ignore_row_if == "neither"):
        raise _Untranslatable
    sign = "=" if equal else ">=" if expectation.or_equal else ">"
    holds = f"{quoted(expectation.column_A)} {sign} {quoted(expectation.column_B)}"
    # A comparison with a value that is missing does not hold.
    return Rows((expectation.column_A, expectation.column_B), _about(expectation), f"({holds}) IS NOT TRUE")


def _total(expectation: gxe.ExpectMulticolumnSumToEqual, schema: pa.Schema) -> Rows:
    kinds = {_kind(schema, name, "int", "float") for name in expectation.column_list}
    cast = "HUGEINT" if kinds == {"int"} else "DOUBLE"
    total = " + ".join(f"{quoted(name)}::{cast}" for name in expectation.column_list)
    bad = f"({total} = {_literal(expectation.sum_total, 'float')}) IS NOT TRUE"
    return Rows(tuple(expectation.column_list), _about(expectation), bad)


def _aggregate(metric: str, sql: str, *kinds: str, ordered: bool = False) -> Callable[[Any, pa.Schema], Numbers]:
    def translation(expectation: Any, schema: pa.Schema) -> Numbers:
        kind = _kind(schema, expectation.column, *kinds)
        column = quoted(expectation.column)
        number = f"{column}::INTEGER" if kind == "bool" else column
        return Numbers(
            (expectation.column,),
            {metric: sql.format(column=column, number=number)},
            ordered=ordered and kind == "float",
        )

    return translation


def _distinct(expectation: Any, schema: pa.Schema) -> Numbers:
    """Values outside the set, and members of the set that do not occur."""
    kind = _kind(schema, expectation.column, "text", "int")
    members = _members(expectation, kind)
    if not members:
        raise _Untranslatable
    column = quoted(expectation.column)
    outside = f"FILTER (WHERE {column} NOT IN ({members}))"
    wanted = set(expectation.value_set)

    def finish(numbers: dict[str, Any]) -> dict[str, Any]:
        missing = sorted(wanted - set(numbers.pop("present")))
        name = "column.distinct_values.missing_from_column"
        return numbers | {name: missing[:MAX_DISTINCT_VALUES], f"{name}.count": len(missing)}

    name = "column.distinct_values.not_in_set"
    return Numbers(
        (expectation.column,),
        {
            f"{name}.count": f"count(DISTINCT {column}) {outside}",
            name: f"list_sort(coalesce(list(DISTINCT {column}) {outside}, []))[:{MAX_DISTINCT_VALUES}]",
            "present": f"coalesce(list(DISTINCT {column}) FILTER (WHERE {column} IN ({members})), [])",
        },
        finish=finish,
    )


def _columns(_expectation: Any, schema: pa.Schema) -> Known:
    return Known({"table.columns": list(schema.names), "table.column_count": len(schema.names)})


def _row_count(_expectation: Any, _schema: pa.Schema) -> Known:
    return Known()


_SCALAR = ("int", "float", "bool", "time", "text")
_ORDERED = ("int", "float", "time")
_TRANSLATIONS: dict[type[gxe.Expectation], Callable[[Any, pa.Schema], Translation]] = {
    gxe.ExpectColumnValuesToNotBeNull: _not_null,
    gxe.ExpectColumnValuesToBeNull: _null,
    gxe.ExpectColumnValuesToBeUnique: _unique,
    gxe.ExpectCompoundColumnsToBeUnique: _compound,
    gxe.ExpectColumnValuesToBeBetween: _between,
    gxe.ExpectColumnValuesToBeInSet: _in_set,
    gxe.ExpectColumnValuesToNotBeInSet: _not_in_set,
    gxe.ExpectColumnValuesToMatchRegex: _match,
    gxe.ExpectColumnValuesToNotMatchRegex: _not_match,
    gxe.ExpectColumnValueLengthsToBeBetween: _length,
    gxe.ExpectColumnValueLengthsToEqual: _length,
    gxe.ExpectColumnPairValuesAToBeGreaterThanB: _pair,
    gxe.ExpectColumnPairValuesToBeEqual: _pair,
    gxe.ExpectMulticolumnSumToEqual: _total,
    gxe.ExpectColumnMinToBeBetween: _aggregate("column.min", "min({column})", *_ORDERED),
    gxe.ExpectColumnMaxToBeBetween: _aggregate("column.max", "max({column})", *_ORDERED),
    gxe.ExpectColumnMeanToBeBetween: _aggregate("column.mean", "avg({number})", "int", "float", "bool", ordered=True),
    gxe.ExpectColumnMedianToBeBetween: _aggregate("column.median", "median({column})", "int", "float"),
    gxe.ExpectColumnStdevToBeBetween: _aggregate(
        "column.standard_deviation", "stddev_samp({column})", "int", "float", ordered=True
    ),
    gxe.ExpectColumnSumToBeBetween: _aggregate(
        "column.sum", "coalesce(sum({column}), 0)", "int", "float", ordered=True
    ),
    gxe.ExpectColumnUniqueValueCountToBeBetween: _aggregate(
        "column.distinct_values.count", "count(DISTINCT {column})", *_SCALAR
    ),
    gxe.ExpectColumnProportionOfUniqueValuesToBeBetween: _aggregate(
        "column.unique_proportion", "coalesce(count(DISTINCT {column}) / nullif(count({column}), 0), 0)", *_SCALAR
    ),
    gxe.ExpectColumnProportionOfNonNullValuesToBeBetween: _aggregate(
        "column.non_null_proportion", "coalesce(count({column}) / nullif(count(*), 0), 0)", *_SCALAR
    ),
    gxe.ExpectColumnDistinctValuesToBeInSet: _distinct,
    gxe.ExpectColumnDistinctValuesToContainSet: _distinct,
    gxe.ExpectColumnDistinctValuesToEqualSet: _distinct,
    gxe.ExpectColumnToExist: _columns,
    gxe.ExpectTableColumnCountToEqual: _columns,
    gxe.ExpectTableColumnCountToBeBetween: _columns,
    gxe.ExpectTableColumnsToMatchSet: _columns,
    gxe.ExpectTableColumnsToMatchOrderedList: _columns,
    gxe.ExpectTableRowCountToBeBetween: _row_count,
    gxe.ExpectTableRowCountToEqual: _row_count,
}
