"""Caches small lake tables in an SQLite file under home, `lake_cache.db`, for the next process.

It only saves time: it may be deleted at any time, and where it cannot be written or read, nothing is missing.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.lake_cache.cached_table import CachedTable, Key
from perennial.settings import settings

log = logging.getLogger(__name__)

#: Of the file's format; a file of another version is emptied.
_VERSION = 1
#: What the file was called in homes of earlier versions.
_FORMER = "glance.db"
_PATIENCE = 0.5  #: Seconds to wait for another process that writes.


def load(keys: Iterable[Key]) -> dict[Key, CachedTable]:
    """Those of the tables that are in the file, of whatever snapshot."""
    tables: dict[Key, CachedTable] = {}
    with _ignoring_errors(), closing(_opened(create=False)) as database:
        for key in keys:
            row = database.execute("SELECT location, content FROM tables WHERE name = ? AND columns = ?", _named(key))
            for location, content in row:
                tables[key] = _decoded(location, content)
    return tables


def save(tables: Mapping[Key, CachedTable]) -> None:
    """Write the tables to the file, each in place of its earlier snapshot."""
    rows = [
        (*_named(key), table.location, content)
        for key, table in tables.items()
        if (content := _encoded(table)) is not None
    ]
    if rows:
        with _ignoring_errors(), closing(_opened(create=True)) as database, database:
            database.executemany("INSERT OR REPLACE INTO tables VALUES (?, ?, ?, ?)", rows)


def _named(key: Key) -> tuple[str, str]:
    return key[0], ",".join(key[1])


def _path() -> Path:
    return settings().home / "lake_cache.db"


def _opened(*, create: bool) -> sqlite3.Connection:
    """The open file; FileNotFoundError if there is none, nor a home to make it in."""
    path = _path()
    if not (path.exists() or (create and path.parent.is_dir())):
        raise FileNotFoundError(path)
    (path.parent / _FORMER).unlink(missing_ok=True)
    # People's decisions are among the rows: like the rest of home, only its owner may read it.
    path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            database.executescript(
                "BEGIN IMMEDIATE;"
                "DROP TABLE IF EXISTS tables;"
                "CREATE TABLE tables"
                " (name TEXT, columns TEXT, location TEXT, content TEXT, PRIMARY KEY (name, columns));"
                f"PRAGMA user_version = {_VERSION};"
                "COMMIT;"
            )
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _ignoring_errors() -> Iterator[None]:
    """Log what is wrong with the file at debug level; delete it if it is damaged, so that it is written again."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        log.debug("%s cannot be used now: %s", _path(), error)
    except (sqlite3.DatabaseError, ValueError, KeyError) as error:
        log.debug("%s is damaged: %s", _path(), error)
        _path().unlink(missing_ok=True)


def _encoded(table: CachedTable) -> str | None:
    """The table as JSON; None if a column has a type that JSON does not have."""
    moments = sorted({name for row in table.rows() for name, value in row.items() if isinstance(value, datetime)})
    files = {
        file: [[value.isoformat() if isinstance(value, datetime) else value for value in row.values()] for row in rows]
        for file, rows in table.files.items()
    }
    try:
        return json.dumps(
            {"columns": table.columns, "moments": moments, "manifests": table.manifests, "files": files},
            ensure_ascii=False,
        )
    except TypeError:
        return None


def _decoded(location: str, content: str) -> CachedTable:
    decoded: dict[str, Any] = json.loads(content)
    columns = tuple(decoded["columns"])
    files = {file: [dict(zip(columns, row, strict=True)) for row in rows] for file, rows in decoded["files"].items()}
    for name in decoded["moments"]:
        for rows in files.values():
            for row in rows:
                if row[name] is not None:
                    row[name] = datetime.fromisoformat(row[name])
    return CachedTable(location, columns, decoded["manifests"], files)
