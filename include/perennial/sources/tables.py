"""Tables of a database, read as Arrow by an Airflow connection: a part of them, in batches, in bounded memory.

Names of schemas, tables and columns are those of the database's catalog, quoted by SQLAlchemy; moments are bound
parameters. Nothing that is given becomes a part of the SQL itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard

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
#: Decimal digits that 64 bits hold, whatever they are.
_DIGITS = 18
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Table:
    """A table or view of a database, and how each of its columns comes as Arrow.

    Attributes:
        dialect: SQLAlchemy's name of the kind of database.
        unread: Column -> its type in the database, of those that are not read.
    """

    connection: Connection
    dialect: str
    clause: sa.TableClause
    columns: dict[str, types.TypeEngine[Any]]
    unread: dict[str, str] = field(default_factory=dict)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """Of some columns, as they come."""
        return pa.schema([pa.field(name, _arrow(self.columns[name], self.dialect)) for name in columns])


@contextmanager
def rows(address: str, columns: Sequence[str], span: Span | None = None) -> Iterator[pa.RecordBatchReader]:
    """Rows of a table, read as the reader is asked for them; to be used inside the block.

    Every row of the span is among them. Where the database cannot tell, others are as well: whoever reads them looks at
    their moments.

    Args:
        address: `connection://CONNECTION_ID/SCHEMA.TABLE`, or without the schema the database's default one.
        columns: Their names in the table.
        span: Which moments are asked for; None: all.

    Raises:
        BadBatch: the connection, the table or a column is not there, or may not be read.
        ServiceUnavailable: the database, or Airflow, does not answer.
    """
    with opened(address) as (connection, table):
        missing = [name for name in columns if name not in table.columns]
        if missing:
            kind = table.unread.get(missing[0])
            what = f"is of type {kind}, which is not read" if kind else "is missing"
            raise BadBatch(
                f"{address}: column {missing[0]!r} {what}.",
                f"{did_you_mean(missing[0], table.columns)}It has {', '.join(table.columns)}.",
            )
        with reading(connection, table, columns, span) as reader:
            yield reader


@contextmanager
def opened(address: str) -> Iterator[tuple[sa.Connection, Table]]:
    """The table that an address names, and an open connection to its database.

    Raises:
        BadBatch: there is no such connection or table, it is no connection to a database, or may not be read.
        ServiceUnavailable: the database, or Airflow, does not answer.
    """
    connection_id, name = connections.parted(address)
    found = connections.find(connection_id)
    if found.is_web:
        raise BadBatch(
            f"{address}: Airflow's connection {connection_id!r} is one to a web server, no database.",
            "Read it as a file of the web, or name a connection to a database.",
        )
    with databases.opened(found) as connection:
        yield connection, _table(connection, found, name)


@contextmanager
def reading(
    connection: sa.Connection, table: Table, columns: Sequence[str], span: Span | None = None
) -> Iterator[pa.RecordBatchReader]:
    """The rows of a table as Arrow. What goes wrong in the middle is what the block raises, whoever was reading.

    Args:
        connection: To the table's database, as `opened` yields it; it has to stay open while rows are read.
        table: As `opened` yields it.
        columns: Names of columns that `table` has, in the order of the result.
        span: Leaves out rows of other moments where the database can tell; None: all rows.

    Raises:
        BadBatch: the database refuses the query.
        ServiceUnavailable: the database does not answer, or stops to.
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
            with databases.saying(table.connection), connection.execute(query) as result:
                converts = [_convert(kind, table.dialect) for kind in wanted.values()]
                for part in result.partitions(BATCH):
                    yield _batch(part, schema, converts)
        except PerennialError as error:
            failed.append(error)
            raise

    try:
        yield pa.RecordBatchReader.from_batches(schema, batches())
    except Exception as error:
        # What reads from Arrow's C interface tells of an error as of its own.
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
                f"Column {column.name!r} holds a value that is no {column.type}: {error}",
                "Mend the row, or read the column as something else.",
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _table(connection: sa.Connection, found: Connection, name: str) -> Table:
    """The table as the catalog knows it: `name` may be one table's, or a schema's and a table's, parted by a dot."""
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
        f"{databases.told(found)} reaches no table or view {name!r}.",
        f"{did_you_mean(name, known)}Name one as SCHEMA.TABLE" + (f"; there are {offered}." if known else "."),
    )


def _arrow(kind: types.TypeEngine[Any], dialect: str) -> pa.DataType | None:
    """The type under which a column comes; None: it is not read."""
    if dialect == "sqlite":
        # Whatever is declared, each value has a type of its own there: like in a file of text.
        return None if isinstance(kind, types.LargeBinary) else pa.string()
    if isinstance(kind, types.Boolean):
        return pa.bool_()
    if isinstance(kind, types.Integer) or _is_whole(kind):
        return pa.int64()
    if isinstance(kind, types.Numeric | types.Float):
        return pa.float64()
    if isinstance(kind, types.DateTime):
        return pa.timestamp("us", tz="UTC" if kind.timezone else None)
    if isinstance(kind, types.Date):
        return pa.date32()
    if isinstance(kind, types.String | types.Uuid):
        return pa.string()
    return None


def _is_whole(kind: types.TypeEngine[Any]) -> TypeGuard[types.Numeric[Any]]:
    """Whether numbers of a type are declared without decimals, as identifiers often are: none of them is rounded."""
    return isinstance(kind, types.Numeric) and kind.scale == 0


def _always_fits(kind: types.Numeric[Any]) -> bool:
    """Whether 64 bits hold every such number. Others come as they are, since a database might round them."""
    return kind.precision is not None and kind.precision <= _DIGITS


def _selected(name: str, kind: types.TypeEngine[Any], dialect: str) -> sa.ColumnElement[Any]:
    column: sa.ColumnElement[Any] = sa.column(name)
    if dialect == "sqlite":
        return sa.type_coerce(column, types.NullType())
    if _is_whole(kind):
        return sa.cast(column, types.BigInteger()) if _always_fits(kind) else column
    if isinstance(kind, types.Numeric):
        return sa.cast(column, types.Double())  # As the features are; and not a Python object a value.
    if dialect == "postgresql" and isinstance(kind, types.DateTime | types.Date):
        # 'infinity' is no moment that Python could name.
        return sa.case((sa.func.isfinite(column), column))
    return column


def _convert(kind: types.TypeEngine[Any], dialect: str) -> Convert | None:
    if dialect == "sqlite":
        return _text
    if _is_whole(kind) and not _always_fits(kind):
        return int
    return str if isinstance(kind, types.Uuid) else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return None
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)
