"""Reads one partition of a database table through an Airflow connection, with declared types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from perennial._common.duckdb_session import open_session
from perennial.batches import Batch
from perennial.errors import BadBatch
from perennial.ingestion import places
from perennial.partitions import Partition
from perennial.sources import tables
from perennial.sources.columns import Schema, columns
from perennial.sources.files import handed_over
from perennial.sources.part_reading import TimeRange
from perennial.sources.record_sources import ReaderRecords, one_line
from perennial.sources.spans import Span, Written
from perennial.sources.typed import Named, Unreadable, typed


@dataclass(frozen=True)
class DatabaseTable:
    """A database table with the rows of a use case.

    Attributes:
        use_case: Its name, for errors.
        default: `connection://CONNECTION_ID/SCHEMA.TABLE`; without the schema, the database's default schema.
        variable: Environment variable that names another table with the same columns.
        written: How times are stored in the time column, so that the database returns only the rows of a partition.
            Empty: in a format that does not sort like time, so everything is read.
        unreadable: What to do with a value that is not of its column's type; see `sources.typed.Unreadable`.
    """

    use_case: str
    default: str
    variable: str = ""
    written: Written = "type"
    unreadable: Unreadable = "quarantine"

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

        Rows that cannot be read go past it to quarantine; where nobody collects them, they are an error.

        Args:
            schema: The columns, and how they are read.
            partition: The partition to read.
            time: The column of the schema that determines the partition of a row.
            data: Another table; takes precedence over the one that the environment names, and over the default.
            since: Rows before it are left out; None: no such bound.
            until: Rows from it on are left out; None: no such bound.

        Raises:
            BadBatch: The connection, the table or a column does not exist or may not be read; or a row cannot be read,
                and nobody collects it.
            ServiceUnavailable: The database does not answer.
        """
        batch = self.read_batch(schema, partition, time, data=data, since=since, until=until)
        return handed_over(batch, self.use_case, self.unreadable)

    def read_batch(
        self,
        schema: Schema,
        partition: Partition,
        time: str,
        *,
        data: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Batch:
        """The rows of a partition with those that cannot be read. Rows without a readable time are asked for as well.

        Args:
            schema: The columns, and how they are read.
            partition: The partition to read.
            time: The column of the schema that determines the partition of a row.
            data: Another table; takes precedence over the one that the environment names, and over the default.
            since: Rows before it are left out; None: no such bound.
            until: Rows from it on are left out; None: no such bound.

        Raises:
            BadBatch: The connection, the table or a column does not exist or may not be read.
            ServiceUnavailable: The database does not answer.
        """
        address = places.find(self.variable, self.default, data)
        named = Named(self.use_case, address)
        part = TimeRange.of(partition, time, since, until)
        sources = {name: each.source for name, each in columns(schema).items()}
        span = Span(sources[time], part.start, part.end, self.written) if self.written else None
        try:
            with (
                tables.rows(address, list(dict.fromkeys(sources.values())), span) as arrived,
                open_session() as connection,
            ):
                connection.register("described", arrived.schema.empty_table())
                kinds = {name: kind for name, kind, *_ in connection.execute("DESCRIBE FROM described").fetchall()}
                return typed(connection, ReaderRecords(arrived, kinds), schema, named, part, self.unreadable)
        except duckdb.Error as error:
            raise BadBatch(
                f"{named} cannot be read ({one_line(error)}).",
                f"If the table's columns changed, change {named.declaration}.",
            ) from error
