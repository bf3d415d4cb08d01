"""All translated expectations of a suite, computed by DuckDB in one pass over the table.

The table stays in Arrow, of which DuckDB reads only the columns that are asked about. One query counts, for each
expectation, the rows that break it, and computes all aggregates; only where something is broken another one looks for
the rows. What is unique is told from 64-bit hashes, which need a fraction of the keys' memory; the few keys whose
hashes meet are compared themselves. Great Expectations' own expectation objects then judge the numbers.
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
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation_configuration import parse_result_format

from perennial._common.duckdb_session import over, selected
from perennial.validation.conditions import Known, Numbers, Rows, Translation, quoted, source

#: The row's number, in the queries that look for rows.
ROW = "__row__"
#: As many values as Great Expectations shows of those that break an expectation.
_SHOWN = 20
#: Without lists of all broken rows: those are kept apart, as numbers.
FORMAT = {"result_format": "BASIC", "partial_unexpected_count": _SHOWN}

Translated = list[tuple[int, gxe.Expectation, Translation]]


def judge(
    rows: pa.Table, translated: Translated, look_for: Iterable[int]
) -> tuple[dict[int, ExpectationValidationResult], pa.Table]:
    """Judge `rows` by translated expectations.

    Args:
        rows: Any table.
        translated: Number of the expectation in its suite, the expectation, its translation.
        look_for: Numbers of the expectations whose broken rows are wanted.

    Returns:
        Number -> result, but for expectations that cannot judge what was computed; and the broken rows, one for each
        expectation that it breaks: `row` and `expectation` (int64).

    Raises:
        duckdb.Error: it cannot compute something, for instance a deviation of infinite numbers.
    """
    numbers = pa.array(np.arange(rows.num_rows, dtype=np.int64))
    with over(rows=rows.append_column(ROW, numbers)) as connection:
        computed = _compute(connection, rows, translated)
        asked = {number: question for number, _, question in translated if isinstance(question, Rows)}
        shown, found = {}, {}
        for number, question in asked.items():
            if computed[number]["unexpected_count"]:
                shown[number] = _shown(connection, rows, question)
        for number in look_for:
            if number in asked and computed[number]["unexpected_count"]:
                found[number] = _where_broken(connection, rows, asked[number], ROW)[ROW]
    results = {}
    for number, expectation, translation in translated:
        try:
            values = shown.get(number, [])
            results[number] = _result(expectation, translation, computed[number], values, rows.num_rows)
        except Exception:  # Bounds that do not compare, for instance: Great Expectations itself tells what is wrong.
            found.pop(number, None)
    return results, pairs(found)


def pairs(found: Mapping[int, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Number of an expectation -> numbers of the rows that break it, as a table of `row` and `expectation`."""
    empty = pa.table({"row": pa.array([], pa.int64()), "expectation": pa.array([], pa.int64())})
    tables = [
        pa.table({"row": broken, "expectation": pa.array([number] * len(broken), pa.int64())})
        for number, broken in found.items()
    ]
    return pa.concat_tables([empty, *tables])


def _compute(
    connection: duckdb.DuckDBPyConnection, rows: pa.Table, translated: Translated
) -> dict[int, dict[str, Any]]:
    """Number of the expectation -> name -> number, for what its translation asks."""
    passes: tuple[dict[str, str], dict[str, str]] = ({}, {})
    columns: tuple[list[str], list[str]] = ([], [])
    for number, _, question in translated:
        ordered = isinstance(question, Numbers) and question.ordered
        columns[ordered].extend([] if isinstance(question, Known) else question.columns)
        for name, sql in _asked(question).items():
            passes[ordered][f"{number} {name}"] = sql
    answers: dict[str, Any] = {}
    for ordered in (False, True):
        if passes[ordered]:
            # The sum of floating-point numbers must be the same whenever it is taken.
            connection.execute("SET threads = 1" if ordered else "RESET threads")
            asked = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in passes[ordered].items())
            found = selected(connection, f"SELECT {asked} FROM {source(rows.schema, columns[ordered])}")  # noqa: S608
            answers |= found.to_pylist()[0]
    connection.execute("RESET threads")
    computed: dict[int, dict[str, Any]] = {number: {} for number, _, _ in translated}
    for name, value in answers.items():
        asker, _, what = name.partition(" ")
        computed[int(asker)][what] = value
    for number, _, question in translated:
        if isinstance(question, Rows) and question.bad is None:
            repeated = _repeated(connection, rows, question, "count(*) AS rows")
            computed[number]["unexpected_count"] = repeated["rows"][0].as_py()
    return computed


def _asked(question: Translation) -> dict[str, str]:
    """Name -> SQL aggregate."""
    if isinstance(question, Numbers):
        return question.metrics
    if isinstance(question, Known):
        return {}
    counts = {"about": f"count(*) FILTER (WHERE {question.about})"}
    if len(question.columns) == 1:
        counts["nonnull"] = f"count({quoted(question.columns[0])})"
    if question.bad is not None:
        counts["unexpected_count"] = f"count(*) FILTER (WHERE {question.about} AND {question.bad})"
    return counts


def _repeated(
    connection: duckdb.DuckDBPyConnection, rows: pa.Table, question: Rows, what: str, more: str = ""
) -> pa.Table:
    """Select from the rows whose key another row has too."""
    keys = [
        # Two zeros that differ in their sign are one key.
        f"{quoted(name)} + 0.0" if pa.types.is_floating(rows.schema.field(name).type) else quoted(name)
        for name in question.columns
    ]
    key = ", ".join(keys)
    asked = f"{source(rows.schema, question.columns, ROW)} WHERE {question.about}"
    meeting = f"SELECT hash({key}) FROM {asked} GROUP BY 1 HAVING count(*) > 1"  # noqa: S608
    hashes = selected(connection, meeting).rename_columns(["hash"])
    connection.register("meeting", hashes)
    few = f"SELECT *, count(*) OVER (PARTITION BY {key}) AS __copies__ FROM {asked}"  # noqa: S608
    few += f" AND hash({key}) IN (SELECT hash FROM meeting)"  # noqa: S608
    if not hashes.num_rows:
        few += " AND FALSE"
    return selected(connection, f"SELECT {what} FROM ({few}) WHERE __copies__ > 1 {more}")  # noqa: S608


def _shown(connection: duckdb.DuckDBPyConnection, rows: pa.Table, question: Rows) -> list[Any]:
    """The values of the first rows that break an expectation, as Great Expectations shows them."""
    values = ", ".join(quoted(name) for name in question.columns)
    return _where_broken(connection, rows, question, values, f"ORDER BY {ROW} LIMIT {_SHOWN}").to_pylist()


def _where_broken(
    connection: duckdb.DuckDBPyConnection, rows: pa.Table, question: Rows, what: str, more: str = ""
) -> pa.Table:
    """Select from the rows that break an expectation."""
    if question.bad is None:
        return _repeated(connection, rows, question, what, more)
    table = source(rows.schema, question.columns, ROW)
    return selected(connection, f"SELECT {what} FROM {table} WHERE {question.about} AND {question.bad} {more}")  # noqa: S608


def _result(
    expectation: gxe.Expectation,
    question: Translation,
    computed: dict[str, Any],
    shown: list[dict[str, Any]],
    rows: int,
) -> ExpectationValidationResult:
    """What Great Expectations makes of the numbers."""
    metrics: dict[str, Any] = {"table.row_count": rows}
    if isinstance(question, Known):
        metrics |= question.metrics
    elif isinstance(question, Numbers):
        metrics |= {name: _as_pandas(value) for name, value in question.finish(computed).items()}
    else:
        prefix = getattr(expectation, "map_metric", None)
        metrics[f"{prefix}.filtered_row_count"] = computed["about"]
        metrics["column_values.nonnull.unexpected_count"] = rows - computed.get("nonnull", 0)
        metrics[f"{prefix}.unexpected_count"] = computed["unexpected_count"]
        metrics[f"{prefix}.unexpected_values"] = _values(expectation, shown)
    # What it would ask an engine for is here by name; which values it then needs is its own business.
    judged = expectation._validate(metrics, {"result_format": _FORMAT}, _ENGINE)
    return ExpectationValidationResult(**judged, expectation_config=expectation.configuration)


def _values(expectation: gxe.Expectation, shown: list[dict[str, Any]]) -> list[Any]:
    """Values of one column, pairs of two, dictionaries of more."""
    if hasattr(expectation, "column_list"):
        return shown
    values = [tuple(row.values()) for row in shown]
    return values if hasattr(expectation, "column_A") else [value for (value,) in values]


def _as_pandas(value: Any) -> Any:
    return pd.Timestamp(value) if hasattr(value, "tzinfo") else value


#: Some expectations ask what kind of engine it was.
_ENGINE = PandasExecutionEngine()
_FORMAT = parse_result_format(FORMAT)
