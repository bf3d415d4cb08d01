"""A table of a database, by an Airflow connection: the rows of one partition, typed as declared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from perennial._common.duckdb_session import open_session
from perennial.errors import BadBatch
from perennial.partitions import Partition
from perennial.sources import tables
from perennial.sources.columns import Schema, columns
from perennial.sources.spans import Span, Written
from perennial.sources.typed import Named, TimeRange, Unreadable, typed


@dataclass(frozen=True)
class DatabaseTable:
    """Where the rows of a use case are in a database.

    Attributes:
        use_case: Its name, for errors.
        default: `connection://CONNECTION_ID/SCHEMA.TABLE`, or without the schema the database's default one.
        variable: Environment variable that names another table with the same columns.
        written: How moments are written in the column of time, so that the database gives the rows of a partition only.
            Empty: in a way that is not ordered like time, and everything is read.
        unreadable: What follows from a value that is not of its column's type.
    """

    use_case: str
    default: str
    variable: str = ""
    written: Written = "type"
    unreadable: Unreadable = "error"

    def read(
        self,
        schema: Schema,
        partition: Partition,
        time: str,
        *,
        data: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pa.Table:
        """The rows of a partition.

        Args:
            schema: The columns, and how they are read.
            partition: Whose rows.
            time: The column of the schema that says which partition a row is of.
            data: Another table, before the one that the environment names, and the default.
            since: Rows before it are left out; None: no such bound.
            until: Rows from it on are left out; None: no such bound.

        Raises:
            BadBatch: the connection, the table or a column is not there or may not be read, or a value is not of its
                column's type.
            ServiceUnavailable: the database does not answer.
        """
        address = data or os.environ.get(self.variable) or self.default
        named = Named(self.use_case, address)
        part = TimeRange.of(partition, time, since, until)
        sources = {name: each.source for name, each in columns(schema).items()}
        span = Span(sources[time], part.start, part.end, self.written) if self.written else None
        try:
            with (
                tables.rows(address, list(dict.fromkeys(sources.values())), span) as arrived,
                open_session() as connection,
            ):
                connection.register("arrived", arrived)
                return typed(connection, "arrived", schema, named, part, self.unreadable)
        except duckdb.Error as error:
            raise BadBatch(
                f"{named} cannot be read ({str(error).splitlines()[0]}).",
                f"If the table's columns changed, change {named.declaration}.",
            ) from error
