"""Where the current metadata of tables is: one question to the catalog, however many tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from perennial.errors import ServiceUnavailable
from perennial.services import postgres_address
from perennial.settings import settings

#: A server that does not answer in so many seconds is out of reach; a page waits for it.
_PATIENCE = 10


def locations(identifiers: Sequence[str]) -> dict[str, str]:
    """The address of the current metadata file of each table that exists; every commit writes another one.

    Raises:
        ServiceUnavailable: the catalog's database cannot be reached.
    """
    return _of_sql_catalog(identifiers) if "type" not in settings().catalog else _of_other_catalog(identifiers)


def _of_sql_catalog(identifiers: Sequence[str]) -> dict[str, str]:
    """By the SQL catalog on database `lake`, as pyiceberg keeps it."""
    import psycopg2

    try:
        with closing(_connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables"
                " WHERE catalog_name = 'perennial' AND table_namespace || '.' || table_name = ANY(%s)",
                (list(identifiers),),
            )
            return dict(cursor.fetchall())
    except psycopg2.errors.UndefinedTable:
        return {}  # Nothing was ever written to this lake.
    except psycopg2.OperationalError as error:
        raise ServiceUnavailable(f"PostgreSQL does not answer: {str(error).splitlines()[0]}") from error


def _connect() -> Any:
    import psycopg2

    configured, name = settings().database, postgres_address.name_of("lake")
    if configured is None:
        return psycopg2.connect(dbname=name, **postgres_address.address().parameters())
    # The driver is SQLAlchemy's addition to the URL; `dbname` wins over the one in it.
    address = re.sub(r"^(\w+)\+\w+://", r"\1://", configured.get_secret_value())
    return psycopg2.connect(address, dbname=name, connect_timeout=_PATIENCE)


def _of_other_catalog(identifiers: Sequence[str]) -> dict[str, str]:
    """By pyiceberg, which knows Glue, REST and others, a table at a time."""
    from concurrent.futures import ThreadPoolExecutor

    from sqlalchemy.exc import OperationalError

    from perennial import lake

    try:
        lake.catalog()  # Made once, before threads ask for it.
        with ThreadPoolExecutor(16) as threads:
            tables = zip(identifiers, threads.map(lake.table, identifiers), strict=True)
            return {name: table.metadata_location for name, table in tables if table is not None}
    except OperationalError as error:
        raise ServiceUnavailable(f"The catalog does not answer: {str(error).splitlines()[0]}") from error
