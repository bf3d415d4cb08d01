"""Checks of the online store: SQLite, Redis, PostgreSQL or DynamoDB, as the setting says."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from perennial.doctor.finding import Finding, failed, not_applicable, passed
from perennial.doctor.postgres import PATIENCE, connect, embedded_not_running, first_line
from perennial.settings import settings


def online_store() -> Iterator[Finding]:
    """Whether the configured online store answers."""
    name = "Online store"
    configured = settings().online_store
    url = urlsplit(configured.get_secret_value() if configured else "sqlite://")
    checks = {"sqlite": _sqlite, "redis": _redis, "rediss": _redis, "postgresql": _postgresql, "dynamodb": _dynamodb}
    if url.scheme not in checks:
        schemes = ", ".join(f"{scheme}://" for scheme in checks)
        message = f"there is none for {url.scheme or 'no scheme'}://"
        yield failed(name, message, f"PERENNIAL_ONLINE_STORE takes {schemes}.")
        return
    uses_server = url.scheme == "postgresql" and not url.hostname
    if uses_server and (not_running := embedded_not_running(name)) is not None:
        yield not_running
        return
    try:
        yield checks[url.scheme](name, url)
    except Exception as error:
        yield failed(name, f"{url.scheme} does not answer: {first_line(error)}", "Check PERENNIAL_ONLINE_STORE.")


def _sqlite(name: str, url: Any) -> Finding:
    file = settings().home / "online.db" if not url.path[1:] else Path(unquote(url.path[1:]))
    if not file.exists():
        return not_applicable(name, f"{file} is created by the first partition that is published")
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
        info: Any = client.info("server")
        return passed(name, f"Redis {info['redis_version']} answers at {url.hostname}")


def _postgresql(name: str, url: Any) -> Finding:
    import psycopg2

    if url.hostname:
        connection = psycopg2.connect(url._replace(query="").geturl(), connect_timeout=PATIENCE)
    else:
        connection = connect(unquote(url.path.lstrip("/")) or "feast")
    with closing(connection):
        return passed(name, f"PostgreSQL answers at {url.hostname or 'the server of the other databases'}")


def _dynamodb(name: str, url: Any) -> Finding:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=PATIENCE, read_timeout=PATIENCE, retries={"total_max_attempts": 1})
    client = boto3.client("dynamodb", region_name=url.netloc, config=config)
    client.list_tables(Limit=1)
    return passed(name, f"DynamoDB answers in {url.netloc}")
