"""Feast's SQLite online store, made safe for several writers and for backfills.

Feast's own lets the last writer win, so filling in an old window overwrites newer values, and two writers meet
"database is locked". Its times are whole seconds of local time; here exact ones stand beside them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from feast.entity import Entity
from feast.feature_view import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import (
    SqliteOnlineStore,
    SqliteOnlineStoreConfig,
    _alter_table_add_column_if_missing,
    _initialize_conn,
)
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from perennial._common.sql_quoting import quote_ident
from perennial.errors import DamagedFile, ServiceUnavailable, StorageFull
from perennial.feature_store.online.newest import NewestOnlineStore, NewestOnlineStoreConfig
from perennial.feature_store.online.rows import UNKNOWN, OnlineRows, moment
from perennial.settings import settings

#: Exact times, in microseconds since 1970 (UTC).
_EXACT = ("event_us", "created_us")
#: Features a statement writes, well below SQLite's limit of bound values.
_WIDTH = 500


class NewestSqliteOnlineStoreConfig(NewestOnlineStoreConfig, SqliteOnlineStoreConfig):
    """`online_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.online.sqlite.NewestSqliteOnlineStore"] = (
        "perennial.feature_store.online.sqlite.NewestSqliteOnlineStore"  # type: ignore[assignment]
    )

    path: str = ""
    """The database file. Empty: `online.db` in Perennial's home, whatever folder Feast runs in."""

    patience: float = 60
    """Seconds that a writer waits for another one."""


class NewestSqliteOnlineStore(NewestOnlineStore, SqliteOnlineStore):
    """SQLite in which the newest row wins; one connection a thread, write-ahead log, patient writers."""

    def __init__(self) -> None:
        self._open = threading.local()

    @staticmethod
    def _get_db_path(config: RepoConfig) -> str:
        return str(Path(config.repo_path or ".") / (config.online_store.path or settings().home / "online.db"))

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        # A connection may not cross into a forked process, nor its transaction into another thread.
        owner = (os.getpid(), self._get_db_path(config))
        if getattr(self._open, "owner", None) != owner:
            self._open.connection, self._open.owner = _connect(owner[1], config.online_store.patience), owner
        return self._open.connection

    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the values that are at least as new as what is there, all in one transaction.

        Raises:
            ServiceUnavailable: another process has held the database for longer than `patience`.
            StorageFull: there is no room on its disk.
            DamagedFile: it is not a database any more.
        """
        with _explained(self._get_db_path(config)):
            try:
                self._write(config, view, rows)
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise
                self.update(config, [], [view], [], [], partial=True)
                self._write(config, view, rows)

    def _write(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        connection = self._get_conn(config)
        times = (
            [event // 1_000_000 for event in rows.events],
            [None if created == UNKNOWN else created // 1_000_000 for created in rows.created],
            rows.events,
            [None if created == UNKNOWN else created for created in rows.created],
        )
        names = list(rows.features)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for start in range(0, len(names), _WIDTH):
                some = names[start : start + _WIDTH]
                columns = (rows.features[name] for name in some)
                connection.executemany(
                    _upsert(_table(config, view), some), zip(rows.keys, *times, *columns, strict=True)
                )

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """The newest values of each entity, and the event time (UTC) of the oldest of them. A file that is new, or was
        deleted, knows none until it is written to."""
        version = config.entity_key_serialization_version
        keys = [serialize_entity_key(key, entity_key_serialization_version=version) for key in entity_keys]
        features = requested_features or [feature.name for feature in table.features]
        query = (
            f"SELECT entity_key, feature_name, value, coalesce(event_us, event_ts * 1000000) FROM"  # noqa: S608
            f" {quote_ident(_table(config, table))} WHERE entity_key IN ({_marks(keys)})"
            f" AND feature_name IN ({_marks(features)})"
        )
        try:
            cursor = self._get_conn(config).execute(query, [*keys, *features])
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return [(None, None)] * len(keys)
        found: dict[bytes, dict[str, Value]] = defaultdict(dict)
        events: dict[bytes, int] = {}
        for key, feature, value, event in cursor:
            found[key][feature] = Value.FromString(value)
            events[key] = min(event, events.get(key, event))
        return [(moment(events[key]), found[key]) if key in events else (None, None) for key in keys]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the views' tables: Feast's columns and exact times, clustered by key."""
        with _explained(self._get_db_path(config)):
            connection = self._get_conn(config)
            for view in tables_to_keep:
                connection.execute(_CREATE.format(table=quote_ident(_table(config, view))))
                for column in _EXACT:
                    _alter_table_add_column_if_missing(connection, _table(config, view), column, "INTEGER")
            for view in tables_to_delete:
                connection.execute(f"DROP TABLE IF EXISTS {quote_ident(_table(config, view))}")

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete the database, its log included."""
        if getattr(self._open, "owner", None) is not None:
            self._open.connection.close()
            self._open.owner = None
        for suffix in ("", "-wal", "-shm"):
            Path(self._get_db_path(config) + suffix).unlink(missing_ok=True)


_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
  entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, vector_value BLOB,
  event_ts timestamp, created_ts timestamp, event_us INTEGER, created_us INTEGER,
  PRIMARY KEY (entity_key, feature_name)
) WITHOUT ROWID
"""


def _upsert(table: str, features: Sequence[str]) -> str:
    """A statement that writes a whole row: key, four times, and the values of `features`."""
    rows = ", ".join(
        f"(?1, '{feature.replace(chr(39), chr(39) * 2)}', ?{number}, ?2, ?3, ?4, ?5)"
        for number, feature in enumerate(features, start=6)
    )
    return f"""
        INSERT INTO {quote_ident(table)} (entity_key, feature_name, value, event_ts, created_ts, event_us, created_us)
        VALUES {rows}
        ON CONFLICT (entity_key, feature_name) DO UPDATE SET
          value = excluded.value, event_ts = excluded.event_ts, created_ts = excluded.created_ts,
          event_us = excluded.event_us, created_us = excluded.created_us
        WHERE event_us IS NULL OR excluded.event_us > event_us OR (
          excluded.event_us = event_us
          AND (created_us IS NULL OR excluded.created_us >= created_us)
        )
    """  # noqa: S608


def _table(config: RepoConfig, view: FeatureView) -> str:
    return compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _connect(path: str, patience: float) -> sqlite3.Connection:
    """Open the database. The first switch to a write-ahead log needs it alone, and does not wait by itself."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    patiently = Retrying(
        retry=retry_if_exception_type(sqlite3.OperationalError),
        stop=stop_after_delay(patience),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    )
    return patiently(_opened, path, patience)


def _opened(path: str, patience: float) -> sqlite3.Connection:
    connection = _initialize_conn(path)
    connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn what SQLite says of its file into an error that teaches."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        said = str(error)
        if "locked" in said or "busy" in said:
            raise ServiceUnavailable(
                f"The online store {path} is held by another process: {said}.",
                "See who holds it (`fuser`); then clear the task, nothing needs undoing. For several writers at a time"
                " use Redis or PostgreSQL: PERENNIAL_ONLINE_STORE.",
            ) from error
        if "full" in said or "disk I/O error" in said:
            raise StorageFull(
                f"The online store {path} cannot be written to: {said}.",
                "Free some room on its disk, then clear the task: the store is as it was before.",
            ) from error
        if "malformed" in said or "not a database" in said:
            raise DamagedFile(
                f"The online store {path} is damaged: {said}.",
                "Delete it and run <use case>.features for as many partitions back as the longest ttl of a view"
                " reaches: the lake holds everything that was in it.",
            ) from error
        raise
