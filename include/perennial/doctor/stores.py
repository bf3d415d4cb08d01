"""Do the stores answer: the database, the catalog on it, the lake, the training sets, the online store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.embedded.status import running
from perennial.services import postgres_address
from perennial.settings import settings

#: How long an answer is waited for, in seconds.
PATIENCE = 4
#: The databases on the server, as `perennial.services.postgres` names them.
_DATABASES = ("airflow", "mlflow", "lake", "feast")
#: The oldest PostgreSQL that Airflow still supports.
_OLDEST_POSTGRES = 140000
_CLOCK_WARNING, _CLOCK_FAILED = 5.0, 60.0
_UP = "Start it with `perennial up`."
_DATABASE = "Check PERENNIAL_DATABASE: host, port, user, password, and whether the server lets this machine in."


def postgres() -> Iterator[Finding]:
    """The server: reachable, login accepted, of a version that is supported, with its databases; and its clock."""
    if (absent := _stopped("PostgreSQL")) is not None:
        yield absent
        return
    import psycopg2

    before = datetime.now(UTC)
    try:
        with closing(connect("postgres")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            present = {name for (name,) in cursor.fetchall()}
            before = datetime.now(UTC)
            cursor.execute("SELECT clock_timestamp()")
            theirs = cursor.fetchone()[0]
            after = datetime.now(UTC)
            version = connection.server_version
    except psycopg2.Error as error:
        yield failed("PostgreSQL", f"does not answer: {_line(error)}", _DATABASE if settings().database else _UP)
        return
    told = f"{version // 10000}.{version % 10000}"
    if version < _OLDEST_POSTGRES:
        yield failed("PostgreSQL", f"is {told}; Airflow needs 14 or later", "Upgrade the server.")
    else:
        yield passed("PostgreSQL", f"{told} answers, and the login works")
    missing = [name for name in _DATABASES if name not in present]
    if missing:
        yield warning("Databases", f"{', '.join(missing)} do not exist yet", "`perennial up` creates them.")
    else:
        yield passed("Databases", ", ".join(_DATABASES))
    # Between the two is when the server looked at its clock.
    apart = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if apart > _CLOCK_WARNING:
        say = failed if apart > _CLOCK_FAILED else warning
        yield say("Clock", f"{apart:.0f} s apart from the database's", "Let both machines set their clock by NTP.")
    else:
        yield passed("Clock", f"agrees with the database's within {apart + (after - before).total_seconds():.1f} s")


def catalog() -> Iterator[Finding]:
    """Whether the catalog lists the lake's tables."""
    properties = settings().catalog
    if "type" in properties:
        from pyiceberg.catalog import load_catalog

        try:
            held = load_catalog("perennial", **({"warehouse": settings().warehouse} | properties)).list_namespaces()
        except Exception as error:
            fix = "Check PERENNIAL_CATALOG, and the rights of this user or machine."
            yield failed("Catalog", f"of type {properties['type']} does not answer: {_line(error)}", fix)
        else:
            yield passed("Catalog", f"of type {properties['type']}, {len(held)} namespaces")
        return
    if (absent := _stopped("Catalog")) is not None:
        yield absent
        return
    import psycopg2

    try:
        with closing(connect("lake")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('iceberg_tables')")
            (exists,) = cursor.fetchone()
            if not exists:
                yield not_applicable("Catalog", "holds nothing yet: the first ingestion makes it")
                return
            cursor.execute("SELECT count(*) FROM iceberg_tables WHERE catalog_name = 'perennial'")
            (count,) = cursor.fetchone()
    except psycopg2.Error as error:
        yield failed("Catalog", f"database lake: {_line(error)}", "`perennial up` creates the databases.")
        return
    yield passed("Catalog", f"on PostgreSQL, {count} tables")


def lake() -> Iterator[Finding]:
    """Whether the lake's files and the training sets can be written where settings say."""
    yield _root("Lake", settings().warehouse, "PERENNIAL_WAREHOUSE", _by_catalog)
    yield _root("Training sets", settings().training_sets, "PERENNIAL_TRAINING_SETS", _by_environment)


def online_store() -> Iterator[Finding]:
    """Whether the online store of the setting answers."""
    name = "Online store"
    configured = settings().online_store
    url = urlsplit(configured.get_secret_value() if configured else "sqlite://")
    asks = {"sqlite": _sqlite, "redis": _redis, "rediss": _redis, "postgresql": _postgresql, "dynamodb": _dynamodb}
    if url.scheme not in asks:
        known = ", ".join(f"{scheme}://" for scheme in asks)
        yield failed(
            name, f"there is none for {url.scheme or 'no scheme'}://", f"PERENNIAL_ONLINE_STORE takes {known}."
        )
        return
    if url.scheme == "postgresql" and not url.hostname and (absent := _stopped(name)) is not None:
        yield absent
        return
    try:
        yield asks[url.scheme](name, url)
    except Exception as error:
        yield failed(name, f"{url.scheme} does not answer: {_line(error)}", "Check PERENNIAL_ONLINE_STORE.")


def connect(database: str) -> Any:
    """A connection of psycopg2 to one of the configured server's databases."""
    import psycopg2

    configured = settings().database
    if configured is None:
        found = postgres_address.address()
        return psycopg2.connect(
            dbname=database, user=found.user, host=found.socket, port=found.port, connect_timeout=PATIENCE
        )
    scheme, _, rest = configured.get_secret_value().partition("://")  # Without SQLAlchemy's name of a driver.
    return psycopg2.connect(f"{scheme.partition('+')[0]}://{rest}", dbname=database, connect_timeout=PATIENCE)


def _stopped(name: str) -> Finding | None:
    """What there is to say if the embedded PostgreSQL does not run; None if it does, or if another is configured."""
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


def _by_catalog(where: str) -> tuple[Any, str]:
    """The file system of an address and the path on it, as the lake opens it: by the catalog's properties."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    scheme, host, path = PyArrowFileIO.parse_location(where, settings().catalog)
    return PyArrowFileIO(settings().catalog).fs_by_scheme(scheme, host), path


def _by_environment(where: str) -> tuple[Any, str]:
    """The same as the training sets are opened: by the environment."""
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(where)
    return system, str(path)


def _root(name: str, where: str, setting: str, opened: Callable[[str], tuple[Any, str]]) -> Finding:
    scheme, separator, _ = where.partition("://")
    if separator and scheme != "file":
        try:
            system, path = opened(where)
            bucket = path.split("/")[0]
            kind = system.get_file_info(bucket).type.name
        except Exception as error:
            return failed(name, f"{where} does not answer: {_line(error)}", f"Check {setting}, and the credentials.")
        if kind == "NotFound":
            return failed(name, f"{where}: there is no {bucket}", f"Create it, or correct {setting}.")
        return passed(name, f"{where} answers")
    folder = Path(where.removeprefix("file://"))
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return failed(name, f"{folder} cannot be written by this user", f"Change its owner, or {setting}.")
    return passed(name, f"{folder}{'' if there == folder else ' (made when it is first needed)'}")


def _sqlite(name: str, url: Any) -> Finding:
    file = settings().home / "online.db" if not url.path[1:] else Path(unquote(url.path[1:]))
    if not file.exists():
        return not_applicable(name, f"{file} is made by the first partition that goes online")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
    if not os.access(file, os.W_OK):
        return failed(name, f"{file} cannot be written by this user", "Change its owner or mode.")
    return passed(name, f"SQLite, {file}, {tables} tables")


def _redis(name: str, url: Any) -> Finding:
    import redis

    client = redis.Redis.from_url(
        url._replace(query="").geturl(), socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
    )
    with closing(client):
        about: Any = client.info("server")
        return passed(name, f"Redis {about['redis_version']} answers at {url.hostname}")


def _postgresql(name: str, url: Any) -> Finding:
    import psycopg2

    if url.hostname:
        connection = psycopg2.connect(url._replace(query="").geturl(), connect_timeout=PATIENCE)
    else:
        connection = connect(unquote(url.path.lstrip("/")) or "feast")
    with closing(connection):
        return passed(name, f"PostgreSQL answers at {url.hostname or 'the server behind everything else'}")


def _dynamodb(name: str, url: Any) -> Finding:
    import boto3
    from botocore.config import Config

    patience = Config(connect_timeout=PATIENCE, read_timeout=PATIENCE, retries={"total_max_attempts": 1})
    client = boto3.client("dynamodb", region_name=url.netloc, config=patience)
    client.list_tables(Limit=1)
    return passed(name, f"DynamoDB answers in {url.netloc}")


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__
