"""Evaluates all translated expectations of a suite, computed by DuckDB in one pass over the table.

The table stays in Arrow, of which DuckDB sees only the columns that are asked about, some expectations at a time, so
that the work grows with the number of columns and not with its square. One query counts, for each of these, the rows
that break it, and computes all aggregates; only where something is broken another one looks for the rows. Duplicates
are found by 64-bit hashes, which need a fraction of the keys' memory; only keys whose hashes are equal are compared
themselves. Great Expectations' own expectation objects then decide on the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa
from great_expectations.core.expectation_validation_result import ExpectationValidationResult

from perennial._common.duckdb_session import fetch_table, in_parts, open_session
from perennial._common.sql_quoting import quote_ident
from perennial.validation import _compat
from perennial.validation.sql.aggregates import Aggregates
from perennial.validation.sql.columns import source
from perennial.validation.sql.row_conditions import RowCondition
from perennial.validation.sql.translation import SchemaFacts, Translation

#: The row's number, in the queries that look for rows.
ROW = "__row__"

#: So many expectations are evaluated by one query.
_AT_ONCE = 100

#: Number of an expectation in its suite, the expectation, its translation.
Translated = list[tuple[int, gxe.Expectation, Translation]]


def evaluate(
    rows: pa.Table, translated: Translated, locate: Iterable[int]
) -> tuple[dict[int, ExpectationValidationResult], pa.Table]:
    """Evaluate translated expectations.

    Args:
        rows: Any table.
        translated: The expectations with their translations.
        locate: Numbers of the expectations whose failing rows are wanted.

    Returns:
        Number -> result, without expectations that cannot decide on what was computed; and the failing rows, one for
        each expectation that a row breaks: `row`, numbered from 0, and `expectation` (int64).

    Raises:
        duckdb.Error: DuckDB cannot compute something, for instance a deviation of infinite numbers.
    """
    computed: dict[int, dict[str, Any]] = {}
    shown: dict[int, list[dict[str, Any]]] = {}
    failing: dict[int, pa.Array | pa.ChunkedArray] = {}
    wanted = set(locate)
    numbers = pa.array(np.arange(rows.num_rows, dtype=np.int64))
    with open_session() as connection:
        for some in in_parts(translated, _AT_ONCE):
            # A query's cost grows with the columns of the table that it reads from, also those that it does not name.
            named = [name for *_, each in some if not isinstance(each, SchemaFacts) for name in each.columns]
            part = rows.select(list(dict.fromkeys(named))).append_column(ROW, numbers)
            connection.register("rows", part)
            computed |= _compute(connection, part.schema, some)
            broken = {
                number: each
                for number, _, each in some
                if isinstance(each, RowCondition) and computed[number]["unexpected_count"]
            }
            failed = _failing_rows(connection, part.schema, broken, wanted)
            shown |= _shown(connection, part.schema, broken, failed)
            failing |= {number: each for number, each in failed.items() if number in wanted}
    results = {}
    table: dict[str, Any] = {
        "table.row_count": rows.num_rows,
        "table.columns": rows.schema.names,
        "table.column_count": rows.num_columns,
    }
    for number, expectation, translation in translated:
        try:
            metrics = table | _metrics(expectation, translation, computed[number], shown.get(number, []), rows.num_rows)
            results[number] = _compat.evaluate(expectation, metrics)
        except Exception:  # Bounds that do not compare, for instance: Great Expectations itself says what is wrong.
            failing.pop(number, None)
    return results, failing_table(failing)


def failing_table(failing: Mapping[int, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Number of an expectation -> numbers of the rows that break it, as a table of `row` and `expectation` (int64)."""
    empty = pa.table({"row": pa.array([], pa.int64()), "expectation": pa.array([], pa.int64())})
    tables = [
        pa.table({"row": rows, "expectation": pa.array([number] * len(rows), pa.int64())})
        for number, rows in failing.items()
    ]
    return pa.concat_tables([empty, *tables])


def _compute(
    connection: duckdb.DuckDBPyConnection, schema: pa.Schema, translated: Translated
) -> dict[int, dict[str, Any]]:
    """Number of an expectation -> name -> value, for the aggregates of its translation."""
    computed: dict[int, dict[str, Any]] = {number: {} for number, _, _ in translated}
    for ordered in (False, True):
        some = [each for each in translated if _is_ordered(each[2]) == ordered]
        columns = [name for *_, each in some if not isinstance(each, SchemaFacts) for name in each.columns]
        aggregates = {(number, name): sql for number, _, each in some for name, sql in _aggregates(each).items()}
        if not aggregates:
            continue
        # The sum of floating-point numbers must be the same whenever it is taken.
        connection.execute("SET threads = 1" if ordered else "RESET threads")
        terms = ", ".join(f"{sql} AS a{at}" for at, sql in enumerate(aggregates.values()))
        row = fetch_table(connection, f"SELECT {terms} FROM {source(schema, columns)}")  # noqa: S608
        for (number, name), value in zip(aggregates, row.to_pylist()[0].values(), strict=True):
            computed[number][name] = value
    connection.execute("RESET threads")
    for number, _, translation in translated:
        if isinstance(translation, RowCondition) and translation.broken is None:
            duplicates = _duplicates(connection, schema, translation, "count(*) AS rows")
            computed[number]["unexpected_count"] = duplicates["rows"][0].as_py()
    return computed


def _is_ordered(translation: Translation) -> bool:
    return isinstance(translation, Aggregates) and translation.ordered


def _aggregates(translation: Translation) -> dict[str, str]:
    """Name -> SQL aggregate."""
    if isinstance(translation, Aggregates):
        return translation.metrics
    if isinstance(translation, SchemaFacts):
        return {}
    counts = {"checked": f"count(*) FILTER (WHERE {translation.checked})"}
    if len(translation.columns) == 1:
        counts["nonnull"] = f"count({quote_ident(translation.columns[0])})"
    if translation.broken is not None:
        counts["unexpected_count"] = f"count(*) FILTER (WHERE {translation.checked} AND {translation.broken})"
    return counts


def _duplicates(
    connection: duckdb.DuckDBPyConnection, schema: pa.Schema, condition: RowCondition, projection: str, ending: str = ""
) -> pa.Table:
    """Select from the rows whose key another row has too."""
    keys = [
        # Two zeros that differ in their sign are one key.
        f"{quote_ident(name)} + 0.0" if pa.types.is_floating(schema.field(name).type) else quote_ident(name)
        for name in condition.columns
    ]
    key = ", ".join(keys)
    checked = f"{source(schema, condition.columns, ROW)} WHERE {condition.checked}"
    repeated = f"SELECT hash({key}) FROM {checked} GROUP BY 1 HAVING count(*) > 1"  # noqa: S608
    hashes = fetch_table(connection, repeated).rename_columns(["hash"])
    connection.register("repeated", hashes)
    candidates = f"SELECT *, count(*) OVER (PARTITION BY {key}) AS __copies__ FROM {checked}"  # noqa: S608
    candidates += f" AND hash({key}) IN (SELECT hash FROM repeated)"  # noqa: S608
    if not hashes.num_rows:
        candidates += " AND FALSE"
    return fetch_table(connection, f"SELECT {projection} FROM ({candidates}) WHERE __copies__ > 1 {ending}")  # noqa: S608


def _failing_rows(
    connection: duckdb.DuckDBPyConnection, schema: pa.Schema, broken: Mapping[int, RowCondition], locate: set[int]
) -> dict[int, pa.Array | pa.ChunkedArray]:
    """Number of an expectation -> the numbers of the rows that break it, in order; one query for all but duplicates.

    Of those that need not be located only the first ones, as many as are shown.
    """
    failing: dict[int, pa.Array | pa.ChunkedArray] = {}
    tests = {number: f"{each.checked} AND {each.broken}" for number, each in broken.items() if each.broken is not None}
    if tests:
        columns = [name for number in tests for name in broken[number].columns]
        terms = ", ".join(f"coalesce({sql}, FALSE) AS b{number}" for number, sql in tests.items())
        rows = fetch_table(connection, f"SELECT {ROW}, {terms} FROM {source(schema, columns, ROW)}")  # noqa: S608
        for number in tests:
            # The query gives its rows in any order; sorting the failing ones alone is cheaper.
            ordered = np.sort(rows[ROW].filter(rows[f"b{number}"]).to_numpy())
            failing[number] = pa.array(ordered if number in locate else ordered[: _compat.SHOWN].copy())
    for number, each in broken.items():
        if each.broken is None:
            ending = f"ORDER BY {ROW}" if number in locate else f"ORDER BY {ROW} LIMIT {_compat.SHOWN}"
            failing[number] = _duplicates(connection, schema, each, ROW, ending)[ROW]
    return failing


def _shown(
    connection: duckdb.DuckDBPyConnection,
    schema: pa.Schema,
    broken: Mapping[int, RowCondition],
    failing: Mapping[int, pa.Array | pa.ChunkedArray],
) -> dict[int, list[dict[str, Any]]]:
    """The values of the first rows that break each expectation, as many as Great Expectations shows."""
    if not broken:
        return {}
    first = {number: failing[number].slice(0, _compat.SHOWN).to_pylist() for number in broken}
    rows = sorted({row for some in first.values() for row in some})
    connection.register("shown", pa.table({ROW: pa.array(rows, pa.int64())}))
    columns = [name for each in broken.values() for name in each.columns]
    sql = f"SELECT * FROM {source(schema, columns, ROW)} WHERE {ROW} IN (FROM shown)"  # noqa: S608
    values = {row[ROW]: row for row in fetch_table(connection, sql).to_pylist()}
    return {
        number: [{name: values[row][name] for name in broken[number].columns} for row in some]
        for number, some in first.items()
    }


def _metrics(
    expectation: gxe.Expectation,
    translation: Translation,
    computed: dict[str, Any],
    shown: list[dict[str, Any]],
    rows: int,
) -> dict[str, Any]:
    """Great Expectations' names of metrics -> values, of what was computed."""
    if isinstance(translation, SchemaFacts):
        return {}
    if isinstance(translation, Aggregates):
        return {name: _as_pandas(value) for name, value in translation.finish(computed).items()}
    prefix = _compat.metric_prefix(expectation)
    return {
        f"{prefix}.filtered_row_count": computed["checked"],
        "column_values.nonnull.unexpected_count": rows - computed.get("nonnull", 0),
        f"{prefix}.unexpected_count": computed["unexpected_count"],
        f"{prefix}.unexpected_values": _values(expectation, shown),
    }


def _values(expectation: gxe.Expectation, shown: list[dict[str, Any]]) -> list[Any]:
    """Values of one column, pairs of two, dictionaries of more."""
    if hasattr(expectation, "column_list"):
        return shown
    values = [tuple(row.values()) for row in shown]
    return values if hasattr(expectation, "column_A") else [value for (value,) in values]


def _as_pandas(value: Any) -> Any:
    return pd.Timestamp(value) if hasattr(value, "tzinfo") else value
