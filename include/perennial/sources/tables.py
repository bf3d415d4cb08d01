"""Reads database tables as Arrow through an Airflow connection, in batches and bounded memory.

Names of schemas, tables and columns come from the database's catalog and are quoted by SQLAlchemy; times are bound
parameters. No input becomes part of the SQL itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import types

from perennial._common.suggestions import did_you_mean
from perennial.errors import BadBatch, PerennialError
from perennial.sources import connections, databases
from perennial.sources.connections import Connection
from perennial.sources.spans import Span

#: Rows that are in memory at once.
BATCH = 50_000
#: Any number with this many decimal digits fits into 64 bits.
_DIGITS = 18
#: Decimal digits of which a `float64` keeps each.
_EXACT_DIGITS = 15
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Table:
    """A table or view of a database, and the types of its columns.

    Attributes:
        dialect: SQLAlchemy's name of the kind of database.
        unread: Column -> its type in the database, for columns that cannot be read.
    """

    connection: Connection
    dialect: str
    clause: sa.TableClause
    columns: dict[str, types.TypeEngine[Any]]
    unread: dict[str, str] = field(default_factory=dict)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """The Arrow schema of some columns, as they are read."""
        return pa.schema([pa.field(name, _arrow(self.columns[name], self.dialect)) for name in columns])


@contextmanager
def rows(address: str, columns: Sequence[str], span: Span | None = None) -> Iterator[pa.RecordBatchReader]:
    """Rows of a table, fetched lazily by the reader; to be used inside the block.

    Every row of the span is among them. If the database cannot filter exactly, there are others too, so callers have to
    check the times.

    Args:
        address: `connection://CONNECTION_ID/SCHEMA.TABLE`; without the schema, the database's default schema.
        columns: Their names in the table.
        span: The times to read; None: all.

    Raises:
        BadBatch: The connection, the table or a column does not exist, or may not be read.
        ServiceUnavailable: The database, or Airflow, does not answer.
    """
    with opened(address) as (connection, table):
        missing = [name for name in columns if name not in table.columns]
        if missing:
            kind = table.unread.get(missing[0])
            what = f"is of type {kind}, which is not supported" if kind else "is missing"
            raise BadBatch(
                f"{address}: column {missing[0]!r} {what}.",
                did_you_mean(missing[0], table.columns)
                + (f"It has {', '.join(table.columns)}." if table.columns else "It has no column that can be read."),
            )
        with reading(connection, table, columns, span) as reader:
            yield reader


@contextmanager
def opened(address: str) -> Iterator[tuple[sa.Connection, Table]]:
    """The table that an address names, and an open connection to its database.

    Raises:
        BadBatch: There is no such connection or table, it is not a connection to a database, or may not be read.
        ServiceUnavailable: The database, or Airflow, does not answer.
    """
    connection_id, name = connections.split_address(address)
    found = connections.find(connection_id)
    if found.is_web:
        raise BadBatch(
            f"{address}: Airflow's connection {connection_id!r} is one to a web server, not to a database.",
            "Read it as a file on the web, or name a connection to a database.",
        )
    with databases.opened(found) as connection:
        yield connection, _table(connection, found, name)


@contextmanager
def reading(
    connection: sa.Connection, table: Table, columns: Sequence[str], span: Span | None = None
) -> Iterator[pa.RecordBatchReader]:
    """The rows of a table as Arrow. The block raises an error while reading as it is, whatever library was reading.

    Args:
        connection: An open connection to the database, as `opened` yields it; to be kept open while rows are read.
        table: The table, as `opened` yields it.
        columns: Names of columns that `table` has, in the order of the result.
        span: Rows of other times are left out where the database can filter them; None: all rows.

    Raises:
        BadBatch: The database rejects the query.
        ServiceUnavailable: The database does not answer, or stops answering.
    """
    wanted = {name: table.columns[name] for name in columns}
    query = sa.select(*(_selected(name, kind, table.dialect).label(name) for name, kind in wanted.items()))
    query = query.select_from(table.clause)
    if span is not None:
        query = query.where(*span.conditions(sa.column(span.column), table.columns[span.column], table.dialect))
    schema = table.schema(columns)
    failed: list[PerennialError] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            with databases.explaining(table.connection), connection.execute(query) as result:
                converts = [_convert(kind, table.dialect) for kind in wanted.values()]
                for part in result.partitions(BATCH):
                    yield _batch(part, schema, converts)
        except PerennialError as error:
            failed.append(error)
            raise

    try:
        yield pa.RecordBatchReader.from_batches(schema, batches())
    except Exception as error:
        # A library that reads through Arrow's C interface raises an error of its own instead.
        if failed and error is not failed[0]:
            raise failed[0] from error
        raise


def _batch(part: Sequence[Any], schema: pa.Schema, converts: Sequence[Convert | None]) -> pa.RecordBatch:
    arrays = []
    for values, column, convert in zip(zip(*part, strict=True), schema, converts, strict=True):
        given = values if convert is None else [None if value is None else convert(value) for value in values]
        try:
            arrays.append(pa.array(given, column.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise BadBatch(
                f"Column {column.name!r} has a value that is not of type {column.type}: {error}",
                "Correct the row, or read the column as another type.",
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _table(connection: sa.Connection, found: Connection, name: str) -> Table:
    """The table as it is in the catalog: `name` may be a table's, or a schema's and a table's, separated by a dot."""
    inspector = sa.inspect(connection)
    schemas = inspector.get_schema_names()
    readings: list[tuple[str | None, str]] = [(None, name)]
    readings += [(name[:at], name[at + 1 :]) for at, letter in enumerate(name) if letter == "."]
    known: list[str] = []
    for schema, table in readings:
        if schema is not None and schema not in schemas:
            continue
        there = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        if inspector.dialect.name == "postgresql":
            there += inspector.get_materialized_view_names(schema)
        if table in there:
            columns, unread = {}, {}
            for column in inspector.get_columns(table, schema):
                kind = getattr(column["type"], "data_type", column["type"])  # Of a domain, what it is a part of.
                if _arrow(kind, inspector.dialect.name) is None:
                    unread[column["name"]] = str(kind)
                else:
                    columns[column["name"]] = kind
            clause = sa.table(table, *map(sa.column, columns), schema=schema)
            return Table(found, inspector.dialect.name, clause, columns, unread)
        known += [each if schema is None else f"{schema}.{each}" for each in there]
    offered = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    raise BadBatch(
        f"{databases.described(found)} has no table or view {name!r}.",
        f"{did_you_mean(name, known)}Name one as SCHEMA.TABLE" + (f"; there are {offered}." if known else "."),
    )


def _arrow(kind: types.TypeEngine[Any], dialect: str) -> pa.DataType | None:
    """The Arrow type of a column; None: the column cannot be read."""
    if dialect == "sqlite":
        # Each value has a type of its own there, whatever is declared, as in a text file.
        return None if isinstance(kind, types.LargeBinary) else pa.string()
    if isinstance(kind, types.Boolean):
        return pa.bool_()
    if _is_whole(kind):
        return pa.int64()
    if _is_long(kind):
        return pa.string()
    if isinstance(kind, types.Numeric | types.Float):
        return pa.float64()
    if isinstance(kind, types.DateTime):
        return pa.timestamp("us", tz="UTC" if kind.timezone else None)
    if isinstance(kind, types.Date):
        return pa.date32()
    if isinstance(kind, types.String | types.Uuid):
        return pa.string()
    return None


def _is_whole(kind: types.TypeEngine[Any]) -> bool:
    """Whether numbers of a type have no decimals, as identifiers often have none, and always fit into 64 bits."""
    if not isinstance(kind, types.Numeric) or kind.scale != 0:
        return isinstance(kind, types.Integer)
    return kind.precision is not None and kind.precision <= _DIGITS


def _is_long(kind: types.TypeEngine[Any]) -> bool:
    """Whether numbers of a type may have more digits than 64 bits keep: they are read as text, and never rounded."""
    if isinstance(kind, types.Float) or not isinstance(kind, types.Numeric) or _is_whole(kind):
        return False
    return kind.scale == 0 or kind.precision is None or kind.precision > _EXACT_DIGITS


def _selected(name: str, kind: types.TypeEngine[Any], dialect: str) -> sa.ColumnElement[Any]:
    column: sa.ColumnElement[Any] = sa.column(name)
    if dialect == "sqlite":
        return sa.type_coerce(column, types.NullType())
    if isinstance(kind, types.Numeric) and _is_whole(kind):
        return sa.cast(column, types.BigInteger())
    if _is_long(kind):
        return sa.cast(column, types.String())
    if isinstance(kind, types.Numeric):
        return sa.cast(column, types.Double())  # Like features; and without a Python object per value.
    if dialect == "postgresql" and isinstance(kind, types.DateTime):
        return _counted(column, sa.cast(sa.extract("epoch", column) * 1_000_000, types.BigInteger()), 2**63 - 1)
    if dialect == "postgresql" and isinstance(kind, types.Date):
        return _counted(column, column - sa.cast("1970-01-01", types.Date()), 2**31 - 1)
    return column


def _counted(column: sa.ColumnElement[Any], since_1970: sa.ColumnElement[Any], infinity: int) -> sa.ColumnElement[Any]:
    """A time as Arrow has it, a number: Python has no name for `infinity`, nor for what is after the year 9999."""
    is_later = column > sa.cast("1970-01-01", types.Date())
    return sa.case(
        (sa.func.isfinite(column), since_1970),
        (is_later, sa.literal(infinity, types.BigInteger(), literal_execute=True)),
        (sa.not_(is_later), sa.literal(-infinity, types.BigInteger(), literal_execute=True)),
    )


def _convert(kind: types.TypeEngine[Any], dialect: str) -> Convert | None:
    if dialect == "sqlite":
        return _text
    return str if isinstance(kind, types.Uuid) else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"  # No number and no time, and not the same as no value.
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)
