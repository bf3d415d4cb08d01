"""DuckDB over Arrow tables: times in UTC, in bounded memory, spilling to a folder that goes with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb
import pyarrow as pa

from perennial._common.sql_quoting import quote_literal

#: How much of its own a connection may hold beside the tables that it reads; beyond that it spills.
MEMORY = "1GB"
_Item = TypeVar("_Item")


@contextmanager
def open_session(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that knows Arrow tables by name; it reads them in place."""
    with tempfile.TemporaryDirectory(prefix="perennial-") as folder, duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET temp_directory = {quote_literal(folder)}")
        for name, table in tables.items():
            connection.register(name, table)
        yield connection


def fetch_table(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """What a query gives.

    Args:
        connection: Knows the tables that the query names; see `open_session`.
        sql: One SELECT.
    """
    table = connection.sql(sql).to_arrow_table()
    assert table is not None, "a SELECT gives a table"  # noqa: S101
    return table


def in_parts(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Items some at a time, such as the columns that a query asks for.

    The time that DuckDB plans a query for grows faster than the number of its expressions.

    Args:
        items: The items, in order.
        size: How many at most are in a part.
    """
    listed = list(items)
    for first in range(0, len(listed), size):
        yield listed[first : first + size]
