"""A database behind an Airflow connection: its engine, and what is wrong with it in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool

from perennial.errors import BadBatch, ServiceUnavailable
from perennial.sources.connections import Connection

#: What Airflow's hook takes from a PostgreSQL connection's extras for itself; the others are libpq's.
_OF_THE_HOOK = {
    *("iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "sqlalchemy"),
    *("aws_conn_id", "azure_conn_id", "region_name", "sqlalchemy_query"),
}
#: What a database says where waiting does not help.
_LASTING = ("authentication failed", "no password supplied", "does not exist", "permission denied", "not permitted")


@contextmanager
def opened(connection: Connection) -> Iterator[sa.Connection]:
    """An open connection to the database, for reading only and row by row.

    Raises:
        BadBatch: nothing that is installed reads a database of that kind, or it lets nobody in.
        ServiceUnavailable: it does not answer.
    """
    engine = _engine(connection)
    try:
        with saying(connection), engine.connect() as found:
            # Rows come as they are asked for, where the database can do so; a reader needs no more than reading.
            readonly = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
            yield found.execution_options(stream_results=True, **readonly)
    finally:
        engine.dispose()


@contextmanager
def saying(connection: Connection) -> Iterator[None]:
    """Turns what SQLAlchemy says into what a person can do. Of what it says only the driver's own line is shown.

    Raises:
        BadBatch: the database refuses, for instance the login or the query.
        ServiceUnavailable: it does not answer.
    """
    try:
        yield
    except exc.DBAPIError as error:
        said = " ".join(str(error.orig).split())
        lasts = any(word in said for word in _LASTING)
        if isinstance(error, exc.OperationalError | exc.InterfaceError) and not lasts:
            raise ServiceUnavailable(
                f"The database of {told(connection)} does not answer: {said}",
                "Look whether it runs and is reached from here; then run the same again.",
            ) from error
        raise BadBatch(
            f"The database of {told(connection)} refuses: {said}",
            "Mend the connection in Airflow (Admin, Connections), or have its login granted SELECT.",
        ) from error


def told(connection: Connection) -> str:
    """The connection as people know it, without what is secret."""
    return f"Airflow's connection {connection.id!r} ({connection.kind})"


def _engine(connection: Connection) -> sa.Engine:
    if connection.kind == "sqlite":
        return sa.create_engine("sqlite://", creator=partial(_sqlite, _file(connection)), poolclass=NullPool)
    arguments: dict[str, Any] = {}
    if connection.kind in ("postgres", "postgresql"):
        if connection.extra.get("iam"):
            raise BadBatch(
                f"{told(connection)} logs in by IAM, which only Airflow's own hook does.",
                "Install apache-airflow-providers-postgres, or give a login with a password.",
            )
        given = {name: str(value) for name, value in connection.extra.items() if name not in _OF_THE_HOOK}
        arguments = {"connect_args": {"connect_timeout": 10} | given}
        url: sa.URL | str = sa.URL.create(
            "postgresql+psycopg2",
            connection.login or None,
            connection.password or None,
            connection.host or None,
            connection.port,
            connection.schema or None,
        )
    else:
        # What its provider's hook tells; without one, what SQLAlchemy may know under the name.
        url = connection.url or sa.URL.create(
            connection.kind or "unknown",
            connection.login or None,
            connection.password or None,
            connection.host or None,
            connection.port,
            connection.schema or None,
        )
    try:
        return sa.create_engine(url, poolclass=NullPool, **arguments)
    except (exc.ArgumentError, ModuleNotFoundError) as error:
        provider = f"apache-airflow-providers-{connection.kind.replace('_', '-')}"
        lacks = f" (module {error.name!r} is missing)" if isinstance(error, ModuleNotFoundError) else ""
        raise BadBatch(
            f"{told(connection)}: nothing that is installed reads a database of that type{lacks}.",
            f"Install {provider} here and where tasks run, or export the table to Parquet.",
        ) from error


def _file(connection: Connection) -> Path:
    """The file of an SQLite connection: its host, or what follows three slashes in AIRFLOW_CONN_*."""
    file = Path(connection.host or connection.schema)
    if not file.is_absolute() or not file.is_file():
        raise BadBatch(
            f"{told(connection)}: there is no file {str(file)!r}.",
            "Set its host to the absolute path of the SQLite file (AIRFLOW_CONN_*: sqlite:////absolute/path).",
        )
    return file


def _sqlite(file: Path) -> sqlite3.Connection:
    """A file is opened, never made; and never written to."""
    return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, check_same_thread=False)
