"""Reads the rows of one partition from any table that DuckDB can scan, each column as its declared type.

This is the one place where a value of a source becomes a value of a type, or turns out not to be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import duckdb
import pyarrow as pa

from perennial._common.duckdb_session import fetch_table
from perennial._common.sql_quoting import quote_ident
from perennial.errors import BadBatch
from perennial.partitions import Partition
from perennial.sources.columns import Column, Schema, columns, reading

#: What follows from a value that is not of its column's type: the batch stops, or the value is missing.
Unreadable = Literal["error", "null"]


@dataclass(frozen=True)
class TimeRange:
    """The rows whose `time` is from `start` (included) to `end` (excluded), both UTC."""

    time: str
    start: datetime
    end: datetime

    @classmethod
    def of(cls, partition: Partition, time: str, since: datetime | None, until: datetime | None) -> TimeRange:
        """The rows of a partition that are not before `since`, nor at or after `until`.

        Args:
            partition: Whose rows.
            time: The column of event time.
            since: A bound beside the partition's start; None: no such bound.
            until: A bound beside the partition's end; None: no such bound.
        """
        return cls(time, max(partition.start, since or partition.start), min(partition.end, until or partition.end))


@dataclass(frozen=True)
class Named:
    """What errors call the data: its use case, and its file or table."""

    use_case: str
    place: str

    def __str__(self) -> str:
        return f"Use case {self.use_case!r}: {self.place}"

    @property
    def declaration(self) -> str:
        """The file that says how the data is read."""
        return f"include/use_cases/{self.use_case}/source.py"


def typed(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    schema: Schema,
    named: Named,
    part: TimeRange | None = None,
    unreadable: Unreadable = "error",
) -> pa.Table:
    """The rows of a part in the order of the data, with the columns of a schema in its order.

    Values are read as their types once the part is cut out: what is wrong with other rows does not matter here, except
    that their time must be readable where unreadable values are errors.

    Args:
        connection: A connection of its own, with times in UTC (`_common.duckdb_session.over`).
        relation: What to select from, as SQL. It is scanned once.
        schema: The columns, and how they are read.
        named: For errors.
        part: Which rows; None: all.
        unreadable: What follows from a value that is not of its column's type.

    Raises:
        BadBatch: a column is missing, or a value is not of its column's type.
        duckdb.Error: the data cannot be scanned.
    """
    kinds = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}
    declared = columns(schema)
    _check_columns(declared, kinds, named, part)
    values = {name: reading(each, kinds[each.source]) for name, each in declared.items()}
    values = {name: sql.replace("{c}", quote_ident(declared[name].source)) for name, sql in values.items()}
    raw = ", ".join(dict.fromkeys(quote_ident(each.source) for each in declared.values()))
    if part is None:
        connection.execute(f"CREATE TEMP TABLE part AS SELECT {raw} FROM {relation}")  # noqa: S608
    else:
        moment = "moment"
        while moment in kinds:
            moment += "_"
        bounds = f"{moment} >= $start AND {moment} < $end"
        if unreadable == "error":
            bounds += f" OR {moment} IS NULL"
        timed = f"SELECT *, {values[part.time]} AS {moment} FROM {relation}"  # noqa: S608
        connection.execute(
            f"CREATE TEMP TABLE part AS SELECT {raw} FROM ({timed}) WHERE {bounds}",  # noqa: S608
            {"start": part.start, "end": part.end},
        )
    if unreadable == "error":
        _check_values(connection, declared, values, named, part.time if part else "")
    read = ", ".join(f"{sql} AS {quote_ident(name)}" for name, sql in values.items())
    return fetch_table(connection, f"SELECT {read} FROM part")  # noqa: S608


def _check_columns(declared: dict[str, Column], kinds: dict[str, str], named: Named, part: TimeRange | None) -> None:
    if part is not None and (part.time not in declared or declared[part.time].type != "timestamp"):
        raise BadBatch(
            f"{named}: partitions are cut out by {part.time!r}, which is no timestamp of the declared columns.",
            f"Name one in {named.declaration}; declared: {', '.join(declared)}.",
        )
    missing = [each.source for each in declared.values() if each.source not in kinds]
    if missing:
        raise BadBatch(
            f"{named} lacks column {', '.join(map(repr, missing))}.",
            f"It has {', '.join(kinds)}. If a column was renamed at the source, change {named.declaration}.",
        )


def _check_values(
    connection: duckdb.DuckDBPyConnection, declared: dict[str, Column], values: dict[str, str], named: Named, time: str
) -> None:
    """Every value of table `part` must be of its column's type; a time must also be there."""
    asked = {}
    for name, sql in values.items():
        raw = quote_ident(declared[name].source)
        if sql != raw or name == time:
            unread = f"FILTER (WHERE {sql} IS NULL{'' if name == time else f' AND {raw} IS NOT NULL'})"
            asked[name] = f"count(*) {unread}, arg_min(CAST({raw} AS VARCHAR), rowid) {unread}"
    if not asked:
        return
    (found,) = connection.execute(f"SELECT {', '.join(asked.values())} FROM part").fetchall()  # noqa: S608
    for name, count, first in zip(asked, found[::2], found[1::2], strict=True):
        if count:
            column = declared[name]
            written = f" written like {column.format}" if column.format else ""
            raise BadBatch(
                f"{named}, column {column.source!r}: {count} of its values cannot be read as {column.type}{written},"
                f" the first is {first!r}.",
                f"If the source changed its format, change {named.declaration}; else fetch the data again.",
            )
