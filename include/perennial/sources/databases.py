"""Opens the database of an Airflow connection, and explains its errors."""

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

#: Extras of a PostgreSQL connection that Airflow's hook uses itself; the others are libpq's.
_OF_THE_HOOK = {
    *("iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "sqlalchemy"),
    *("aws_conn_id", "azure_conn_id", "region_name", "sqlalchemy_query"),
}
#: Parts of a database's error messages for which waiting does not help.
_LASTING = ("authentication failed", "no password supplied", "does not exist", "permission denied", "not permitted")


@contextmanager
def opened(connection: Connection) -> Iterator[sa.Connection]:
    """An open, read-only connection to the database, which streams rows.

    Raises:
        BadBatch: No installed driver reads a database of that kind, or it rejects the login.
        ServiceUnavailable: It does not answer.
    """
    engine = _engine(connection)
    try:
        with explaining(connection), engine.connect() as opened_connection:
            readonly = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
            yield opened_connection.execution_options(stream_results=True, **readonly)
    finally:
        engine.dispose()


@contextmanager
def explaining(connection: Connection) -> Iterator[None]:
    """Turns SQLAlchemy's errors into errors with a fix, which show only the driver's own message.

    Raises:
        BadBatch: The database rejects the login or the query, for instance.
        ServiceUnavailable: It does not answer.
    """
    try:
        yield
    except exc.DBAPIError as error:
        message = " ".join(str(error.orig).split())
        lasts = any(word in message for word in _LASTING)
        if isinstance(error, exc.OperationalError | exc.InterfaceError) and not lasts:
            raise ServiceUnavailable(
                f"The database of {described(connection)} does not answer: {message}",
                "Check that it is running and can be reached from here; then run the same command again.",
            ) from error
        raise BadBatch(
            f"The database of {described(connection)} returned an error: {message}",
            "Correct the connection in Airflow (Admin, Connections), or have its login granted SELECT.",
        ) from error


def described(connection: Connection) -> str:
    """The connection's name and type for messages, without secrets."""
    return f"Airflow's connection {connection.id!r} ({connection.kind})"


def _engine(connection: Connection) -> sa.Engine:
    if connection.kind == "sqlite":
        return sa.create_engine("sqlite://", creator=partial(_sqlite, _file(connection)), poolclass=NullPool)
    arguments: dict[str, Any] = {}
    if connection.kind in ("postgres", "postgresql"):
        if connection.extra.get("iam"):
            raise BadBatch(
                f"{described(connection)} logs in by IAM, which only Airflow's own hook supports.",
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
        # The URL from its provider's hook; without one, a dialect of that name, if SQLAlchemy has one.
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
            f"{described(connection)}: no installed driver reads a database of that type{lacks}.",
            f"Install {provider} here and where tasks run, or export the table to Parquet.",
        ) from error


def _file(connection: Connection) -> Path:
    """The file of an SQLite connection: its host, or what follows three slashes in AIRFLOW_CONN_*."""
    file = Path(connection.host or connection.schema)
    if not file.is_absolute() or not file.is_file():
        raise BadBatch(
            f"{described(connection)}: there is no file {str(file)!r}.",
            "Set its host to the absolute path of the SQLite file (AIRFLOW_CONN_*: sqlite:////absolute/path).",
        )
    return file


def _sqlite(file: Path) -> sqlite3.Connection:
    """Opens an existing file read-only; never creates one."""
    return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, check_same_thread=False)
