"""Batch-level expectations in SQL: the aggregates that an expectation needs of a column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa

from perennial._common.sql_quoting import quote_ident
from perennial.validation._compat import MAX_DISTINCT_VALUES
from perennial.validation.sql.columns import (
    NUMERIC,
    ORDERED,
    SCALAR,
    ColumnKind,
    NoTranslation,
    column_kind,
    members,
)


@dataclass(frozen=True)
class Aggregates:
    """Aggregates of a table.

    Attributes:
        columns: The columns that they read.
        metrics: Great Expectations' name of a metric -> SQL aggregate.
        ordered: Whether they hold a sum of floating-point numbers, which depends on their order.
        finish: Makes Great Expectations' metrics of what was computed.
    """

    columns: tuple[str, ...]
    metrics: dict[str, str]
    ordered: bool = False
    finish: Callable[[dict[str, Any]], dict[str, Any]] = dict


def _aggregate(
    metric: str, sql: str, *kinds: ColumnKind, ordered: bool = False
) -> Callable[[Any, pa.Schema], Aggregates]:
    """A translation to one aggregate; `{column}` in it is the column, `{number}` the same with booleans as 0 and 1."""

    def translation(expectation: Any, schema: pa.Schema) -> Aggregates:
        kind = column_kind(schema, expectation.column, *kinds)
        column = quote_ident(expectation.column)
        number = f"{column}::INTEGER" if kind == ColumnKind.BOOL else column
        return Aggregates(
            (expectation.column,),
            {metric: sql.format(column=column, number=number)},
            ordered=ordered and kind == ColumnKind.FLOAT,
        )

    return translation


def _distinct_values(expectation: Any, schema: pa.Schema) -> Aggregates:
    """Values outside a set, and members of the set that do not occur."""
    kind = column_kind(schema, expectation.column, ColumnKind.TEXT, ColumnKind.INT)
    values = members(expectation.value_set, kind)
    if not values:
        raise NoTranslation
    column = quote_ident(expectation.column)
    outside = f"FILTER (WHERE {column} NOT IN ({values}))"
    expected = set(expectation.value_set)

    def finish(computed: dict[str, Any]) -> dict[str, Any]:
        missing = sorted(expected - set(computed.pop("present")))
        name = "column.distinct_values.missing_from_column"
        return computed | {name: missing[:MAX_DISTINCT_VALUES], f"{name}.count": len(missing)}

    name = "column.distinct_values.not_in_set"
    return Aggregates(
        (expectation.column,),
        {
            f"{name}.count": f"count(DISTINCT {column}) {outside}",
            name: f"list_sort(coalesce(list(DISTINCT {column}) {outside}, []))[:{MAX_DISTINCT_VALUES}]",
            "present": f"coalesce(list(DISTINCT {column}) FILTER (WHERE {column} IN ({values})), [])",
        },
        finish=finish,
    )


AGGREGATES: dict[type[gxe.Expectation], Callable[[Any, pa.Schema], Aggregates]] = {
    gxe.ExpectColumnMinToBeBetween: _aggregate("column.min", "min({column})", *ORDERED),
    gxe.ExpectColumnMaxToBeBetween: _aggregate("column.max", "max({column})", *ORDERED),
    gxe.ExpectColumnMeanToBeBetween: _aggregate(
        "column.mean", "avg({number})", *NUMERIC, ColumnKind.BOOL, ordered=True
    ),
    gxe.ExpectColumnMedianToBeBetween: _aggregate("column.median", "median({column})", *NUMERIC),
    gxe.ExpectColumnStdevToBeBetween: _aggregate(
        "column.standard_deviation", "stddev_samp({column})", *NUMERIC, ordered=True
    ),
    gxe.ExpectColumnSumToBeBetween: _aggregate("column.sum", "coalesce(sum({column}), 0)", *NUMERIC, ordered=True),
    gxe.ExpectColumnUniqueValueCountToBeBetween: _aggregate(
        "column.distinct_values.count", "count(DISTINCT {column})", *SCALAR
    ),
    gxe.ExpectColumnProportionOfUniqueValuesToBeBetween: _aggregate(
        "column.unique_proportion", "coalesce(count(DISTINCT {column}) / nullif(count({column}), 0), 0)", *SCALAR
    ),
    gxe.ExpectColumnProportionOfNonNullValuesToBeBetween: _aggregate(
        "column.non_null_proportion", "coalesce(count({column}) / nullif(count(*), 0), 0)", *SCALAR
    ),
    gxe.ExpectColumnDistinctValuesToBeInSet: _distinct_values,
    gxe.ExpectColumnDistinctValuesToContainSet: _distinct_values,
    gxe.ExpectColumnDistinctValuesToEqualSet: _distinct_values,
}
