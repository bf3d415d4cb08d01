"""Connections to the PostgreSQL server with its four databases, which is embedded unless settings name another.

A SQLAlchemy URL with `?plugin=perennial` (entry point `sqlalchemy.plugins`) is resolved to that server when an engine
is created, so Feast's YAML can name its registry without knowing where the server runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import URL, CreateEnginePlugin, Engine, create_engine, make_url, text

from perennial._common.storage import explaining_database
from perennial.services import postgres_address
from perennial.services.postgres_address import DATABASES as DATABASES
from perennial.services.postgres_address import name_of
from perennial.settings import settings


def url(database: str, driver: str = "psycopg2") -> URL:
    """The URL of `database` on the configured server.

    Args:
        database: One of `DATABASES`.
        driver: The Python driver that SQLAlchemy connects with.

    Raises:
        ServiceUnavailable: The embedded server is not running.
    """
    configured = settings().database
    where = make_url(configured.get_secret_value()) if configured else _embedded()
    return where.set(drivername=f"postgresql+{driver}", database=name_of(database))


def _embedded() -> URL:
    query = postgres_address.address().parameters()
    return URL.create("postgresql", username=query.pop("user"), query=query)


class EmbeddedPostgres(CreateEnginePlugin):
    """Replaces host, port and login of a `?plugin=perennial` URL with the configured server's."""

    def update_url(self, url_: URL) -> URL:
        """Point the URL at Perennial's own server, keeping database and driver."""
        return url(url_.database or "feast", driver=url_.get_driver_name())


@cache
def engine(database: str) -> Engine:
    """This process's engine for `database`. Do not call it before a fork: engines do not survive one."""
    return create_engine(url(database), pool_pre_ping=True, pool_size=2)


@contextmanager
def advisory_lock(*parts: object) -> Iterator[None]:
    """Lock `parts` across all processes and machines that use this database.

    A PostgreSQL session-level advisory lock: it ends with its connection, so a killed owner never blocks the next.

    Raises:
        ServiceUnavailable: PostgreSQL does not answer, or the connection was lost.
    """
    name = ":".join(map(str, parts))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
    with (
        explaining_database(f"The lock {name!r}"),
        engine("lake").connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
