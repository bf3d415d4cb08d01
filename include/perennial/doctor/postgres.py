"""Checks of PostgreSQL: the server, its login, version, databases and clock, and the lake's catalog on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.embedded.status import running
from perennial.services import postgres_address
from perennial.services.postgres_address import DATABASES, name_of
from perennial.settings import settings

#: How long to wait for a store, in seconds.
PATIENCE = 4
#: The oldest PostgreSQL that Airflow still supports.
_OLDEST_VERSION = 140000
_CLOCK_WARNING, _CLOCK_FAILED = 5.0, 60.0
_UP = "Start it with `perennial up`."
_DATABASE = "Check PERENNIAL_DATABASE: host, port, user, password, and whether the server lets this machine in."


@dataclass(frozen=True)
class _Server:
    """What a server said of itself.

    Attributes:
        version: As in `140005` for 14.5.
        databases: The names of its databases.
        clock: Its time; between `before` and `after` by this machine's clock.
    """

    version: int
    databases: frozenset[str]
    before: datetime
    clock: datetime
    after: datetime


def server() -> Iterator[Finding]:
    """Whether it can be reached, accepts the login, is of a supported version, has its databases and the right time."""
    if (not_running := embedded_not_running("PostgreSQL")) is not None:
        yield not_running
        return
    import psycopg2

    try:
        state = _ask()
    except psycopg2.Error as error:
        yield failed("PostgreSQL", f"does not answer: {first_line(error)}", _DATABASE if settings().database else _UP)
        return
    yield _version(state)
    yield _databases(state)
    yield _clock(state)


def _ask() -> _Server:
    with closing(connect("postgres")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        databases = frozenset(name for (name,) in cursor.fetchall())
        before = datetime.now(UTC)
        cursor.execute("SELECT clock_timestamp()")
        clock = cursor.fetchone()[0]
        return _Server(connection.server_version, databases, before, clock, datetime.now(UTC))


def _version(state: _Server) -> Finding:
    version = f"{state.version // 10000}.{state.version % 10000}"
    if state.version < _OLDEST_VERSION:
        return failed("PostgreSQL", f"is {version}; Airflow needs 14 or later", "Upgrade the server.")
    return passed("PostgreSQL", f"{version} answers, and the login works")


def _databases(state: _Server) -> Finding:
    names = list(map(name_of, DATABASES))
    missing = [name for name in names if name not in state.databases]
    if missing:
        return warning("Databases", f"{', '.join(missing)} do not exist yet", "`perennial up` creates them.")
    return passed("Databases", ", ".join(names))


def _clock(state: _Server) -> Finding:
    apart = max((state.before - state.clock).total_seconds(), (state.clock - state.after).total_seconds(), 0.0)
    if apart > _CLOCK_WARNING:
        finding = failed if apart > _CLOCK_FAILED else warning
        return finding("Clock", f"{apart:.0f} s apart from the database's", "Let both machines set their clock by NTP.")
    margin = (state.after - state.before).total_seconds()
    return passed("Clock", f"agrees with the database's within {apart + margin:.1f} s")


def catalog() -> Iterator[Finding]:
    """Whether the catalog lists the lake's tables."""
    if "type" in settings().catalog:
        yield _other_catalog()
        return
    if (not_running := embedded_not_running("Catalog")) is not None:
        yield not_running
        return
    import psycopg2

    try:
        with closing(connect("lake")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('iceberg_tables')")
            (exists,) = cursor.fetchone()
            if not exists:
                yield not_applicable("Catalog", "is empty: the first ingestion creates its tables")
                return
            cursor.execute("SELECT count(*) FROM iceberg_tables WHERE catalog_name = 'perennial'")
            (count,) = cursor.fetchone()
    except psycopg2.Error as error:
        yield failed("Catalog", f"database lake: {first_line(error)}", "`perennial up` creates the databases.")
        return
    yield passed("Catalog", f"on PostgreSQL, {count} tables")


def _other_catalog() -> Finding:
    """The check of a catalog that is not on PostgreSQL."""
    from pyiceberg.catalog import load_catalog

    properties = settings().catalog
    try:
        loaded = load_catalog("perennial", **({"warehouse": settings().warehouse} | properties))
        namespaces = loaded.list_namespaces()
    except Exception as error:
        fix = "Check PERENNIAL_CATALOG, and the rights of this user or machine."
        return failed("Catalog", f"of type {properties['type']} does not answer: {first_line(error)}", fix)
    return passed("Catalog", f"of type {properties['type']}, {len(namespaces)} namespaces")


def connect(database: str) -> Any:
    """A connection of psycopg2 to one of the configured server's databases."""
    import psycopg2

    configured = settings().database
    if configured is None:
        parameters = postgres_address.address().parameters()
        return psycopg2.connect(dbname=name_of(database), connect_timeout=PATIENCE, **parameters)
    scheme, _, rest = configured.get_secret_value().partition("://")  # Without SQLAlchemy's name of a driver.
    return psycopg2.connect(f"{scheme.partition('+')[0]}://{rest}", dbname=name_of(database), connect_timeout=PATIENCE)


def embedded_not_running(name: str) -> Finding | None:
    """The finding `name` if the embedded PostgreSQL is used and does not run; else None."""
    if settings().database is not None or postgres_address.is_ready():
        return None
    others = [each for each in running() if each != "postgresql"]
    if others:
        return failed(
            name,
            f"the embedded PostgreSQL does not run, but {', '.join(others)} do, and need it",
            "Run `perennial up`.",
        )
    if not postgres_address.folder().exists():
        return not_applicable(name, "nothing was started yet", _UP)
    return not_applicable(name, "the embedded PostgreSQL is stopped", _UP)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
