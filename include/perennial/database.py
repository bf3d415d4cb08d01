"""The PostgreSQL behind everything: four databases on one server, embedded unless settings name another.

A SQLAlchemy URL with `?plugin=perennial` (entry point `sqlalchemy.plugins`) is pointed at that server when an engine is
created. Feast's own YAML can so name its registry without knowing where the server runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import URL, CreateEnginePlugin, Engine, create_engine, make_url, text

from perennial.errors import ServiceUnavailable
from perennial.settings import settings

DATABASES = ("airflow", "mlflow", "lake", "feast")


def url(database: str, driver: str = "psycopg2") -> URL:
    """The URL of `database` on the configured server.

    Raises:
        ServiceUnavailable: the embedded server is not running.
    """
    configured = settings().database
    server = make_url(configured.get_secret_value()) if configured else _embedded(settings().home / "postgres")
    return server.set(drivername=f"postgresql+{driver}", database=database)


def _embedded(folder: Path) -> URL:
    """The address of the running embedded server, from the file PostgreSQL itself keeps."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        port, socket, status = lines[3], lines[4], lines[7].strip()
    except (FileNotFoundError, IndexError):
        status = "stopped"
    if status != "ready":
        raise ServiceUnavailable(
            f"The embedded PostgreSQL in {folder} is not running.",
            "Start it with `perennial up`, or set PERENNIAL_DATABASE to another server.",
        )
    return URL.create("postgresql", username="postgres", query={"host": socket, "port": port})


class EmbeddedPostgres(CreateEnginePlugin):
    """Replaces host, port and login of a `?plugin=perennial` URL by the configured server's."""

    def update_url(self, url_: URL) -> URL:
        return url(url_.database or "feast", driver=url_.get_driver_name())


@cache
def engine(database: str) -> Engine:
    """This process's engine on `database`. Never created before a fork: engines do not survive one."""
    return create_engine(url(database), pool_pre_ping=True, pool_size=2)


@contextmanager
def exclusive(*what: object) -> Iterator[None]:
    """Hold the lock named `what` across all processes and machines on this database.

    A PostgreSQL session-level advisory lock: it ends with its connection, so a killed holder never blocks the next.
    """
    name = ":".join(map(str, what))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
    with engine("lake").connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
