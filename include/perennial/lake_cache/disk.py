"""What was read of the lake's small tables, for the next process: a server that starts, the next `perennial status`.

An SQLite file under home, `lake_cache.db`. It only saves time: where it cannot be written or read, nothing is missing.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.settings import settings

if TYPE_CHECKING:
    from perennial.lake_cache.kept import Held, Key

log = logging.getLogger(__name__)

#: Another number makes what was kept before unknown.
_VERSION = 1
_PATIENCE = 0.5  #: Seconds to wait for another process that writes.


def load(keys: Iterable[Key]) -> dict[Key, Held]:
    """What is kept of these tables, of whatever snapshot."""
    found: dict[Key, Held] = {}
    with _dispensable(), closing(_opened(create=False)) as kept:
        for key in keys:
            row = kept.execute("SELECT location, content FROM kept WHERE name = ? AND columns = ?", _named(key))
            for location, content in row:
                found[key] = _decoded(location, content)
    return found


def save(tables: Mapping[Key, Held]) -> None:
    """Keep these tables, each instead of what was kept of it."""
    rows = [
        (*_named(key), held.location, content)
        for key, held in tables.items()
        if (content := _encoded(held)) is not None
    ]
    if rows:
        with _dispensable(), closing(_opened(create=True)) as kept, kept:
            kept.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", rows)


def _named(key: Key) -> tuple[str, str]:
    return key[0], ",".join(key[1])


def _path() -> Path:
    return settings().home / "lake_cache.db"


def _opened(*, create: bool) -> sqlite3.Connection:
    """The open file; FileNotFoundError if there is none, nor a home to make it in."""
    path = _path()
    if not (path.exists() or (create and path.parent.is_dir())):
        raise FileNotFoundError(path)
    # What people decided is among the rows: like the rest of home, it is its owner's.
    path.touch(mode=0o600)
    kept = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        if kept.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            kept.executescript(
                "BEGIN IMMEDIATE;"
                "DROP TABLE IF EXISTS kept;"
                "CREATE TABLE kept (name TEXT, columns TEXT, location TEXT, content TEXT, PRIMARY KEY (name, columns));"
                f"PRAGMA user_version = {_VERSION};"
                "COMMIT;"
            )
    except BaseException:
        kept.close()
        raise
    return kept


@contextmanager
def _dispensable() -> Iterator[None]:
    """Whatever is wrong with the file, nobody has to know; a damaged one is made anew the next time."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        log.debug("%s is of no use now: %s", _path(), error)
    except (sqlite3.DatabaseError, ValueError, KeyError) as error:
        log.debug("%s is damaged: %s", _path(), error)
        _path().unlink(missing_ok=True)


def _encoded(held: Held) -> str | None:
    """As JSON; None if a column holds what JSON does not."""
    moments = sorted({name for row in held.rows() for name, value in row.items() if isinstance(value, datetime)})
    files = {
        file: [[value.isoformat() if isinstance(value, datetime) else value for value in row.values()] for row in rows]
        for file, rows in held.files.items()
    }
    try:
        return json.dumps(
            {"columns": held.columns, "moments": moments, "manifests": held.manifests, "files": files},
            ensure_ascii=False,
        )
    except TypeError:
        return None


def _decoded(location: str, content: str) -> Held:
    from perennial.lake_cache.kept import Held

    told: dict[str, Any] = json.loads(content)
    columns = tuple(told["columns"])
    files = {file: [dict(zip(columns, row, strict=True)) for row in rows] for file, rows in told["files"].items()}
    for name in told["moments"]:
        for rows in files.values():
            for row in rows:
                if row[name] is not None:
                    row[name] = datetime.fromisoformat(row[name])
    return Held(location, columns, told["manifests"], files)
