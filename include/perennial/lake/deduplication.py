"""Which of the findings differ from the newest ones on record, and which rows are not stored yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from perennial._common.duckdb_session import fetch_table, open_session

_QUERY = "SELECT * FROM given EXCEPT ALL SELECT * FROM stored"
#: The values that identify a finding.
Name = tuple[Any, ...]


def find_changed(rows: pa.Table, records: pa.Table, per: Sequence[str], recorded_at: str) -> pa.BooleanArray:
    """(rows,) whether the finding that a row belongs to differs from the newest one on record.

    Args:
        rows: Findings: the rows with one value of `per` are one, and count as a whole.
        records: The findings on record, with the columns of `rows`, any number of each.
        per: The columns that identify a finding.
        recorded_at: The column of processing time, equal in all rows of a finding, which is not compared.
    """
    recorded, contents = (_findings(each.select(rows.column_names), per, recorded_at) for each in (records, rows))
    changed = {name for name, content in contents.items() if recorded.get(name) != content}
    return pa.array([name in changed for name in _names(rows, per)], pa.bool_())


def rows_not_among(rows: pa.Table, stored: pa.Table) -> pa.Table:
    """The rows that are not among the stored ones, column by column equal; in any order.

    Args:
        rows: Rows; one that is there twice and stored once remains once.
        stored: Rows with the same columns, in any order of columns.
    """
    if not rows.num_rows or not stored.num_rows:
        return rows
    with open_session(given=rows, stored=stored.select(rows.column_names)) as connection:
        return fetch_table(connection, _QUERY).cast(rows.schema)


def _findings(rows: pa.Table, per: Sequence[str], recorded_at: str) -> dict[Name, Counter[str]]:
    """The rows of each newest finding; as text, in which NaN is equal to itself."""
    named = list(zip(_names(rows, per), rows.to_pylist(), strict=True))
    newest: dict[Name, datetime] = {}
    for name, row in named:
        newest[name] = max(row[recorded_at], newest.get(name, row[recorded_at]))
    contents: dict[Name, Counter[str]] = {}
    for name, row in named:
        if row.pop(recorded_at) == newest[name]:
            contents.setdefault(name, Counter())[repr(row)] += 1
    return contents


def _names(rows: pa.Table, per: Sequence[str]) -> list[Name]:
    return list(zip(*(rows[column].to_pylist() for column in per), strict=True))
