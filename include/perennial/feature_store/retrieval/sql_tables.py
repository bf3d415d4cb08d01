"""Finds the tables that a SELECT statement reads, and rejects statements that read anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from perennial.errors import BadFeatures

#: A table as a query names it: schema, or nothing, and name.
TableName = tuple[str, str]
#: Table functions that read nothing.
_HARMLESS = {"generate_series", "range", "unnest"}


def tables_of(sql: str) -> set[TableName]:
    """The tables that a SELECT statement names, without its own common table expressions.

    Raises:
        BadFeatures: it is anything but one SELECT statement, or calls a function that reads from elsewhere.
    """
    tables: set[TableName] = set()
    expressions: set[str] = set()
    for node in _nodes(_parse(sql)):
        match node.get("type"):
            case "BASE_TABLE":
                tables.add(_table(node))
            case "TABLE_FUNCTION":
                _check_function(node.get("function"))
        expressions |= {entry["key"] for entry in (node.get("cte_map") or {}).get("map", ())}
    return {(schema, name) for schema, name in tables if schema or name not in expressions}


def _parse(sql: str) -> dict[str, Any]:
    with duckdb.connect() as parser:
        row = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    parsed = json.loads(row[0]) if row else {}
    if parsed.get("error"):
        raise BadFeatures(
            f"Entity rows cannot be read by {sql[:80]!r}: {parsed.get('error_message')}",
            "Pass one SELECT statement over tables of the lake, such as SELECT ... FROM flights.examples.",
        )
    if len(parsed.get("statements", ())) != 1:
        raise BadFeatures("Entity rows are given by one SELECT statement, not several.", "Pass only one.")
    return parsed


def _nodes(parsed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object of a parsed statement."""
    pending: list[Any] = [parsed]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def _table(node: dict[str, Any]) -> TableName:
    if node.get("catalog_name"):
        raise BadFeatures(
            f"The query names a table of another database, {node['catalog_name']!r}.",
            "Name tables of the lake as <use case>.<table>.",
        )
    return node.get("schema_name") or "", node["table_name"]


def _check_function(function: Any) -> None:
    name = function.get("function_name") if isinstance(function, dict) else None
    if name not in _HARMLESS and isinstance(function, dict):
        raise BadFeatures(
            f"The query calls {name}(), which reads from outside the lake.",
            "Write the rows into a table of the lake, or pass the Parquet file's path alone.",
        )
