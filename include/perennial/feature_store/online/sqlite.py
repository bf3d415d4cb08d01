"""Feast's SQLite online store, made safe for several writers and for backfills.

Feast's own lets the last writer win, so filling in an old interval overwrites newer values, and of two writers one gets
"database is locked". Its times are whole seconds of local time; here exact ones are beside them.
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
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.errors import DamagedFile, ServiceUnavailable, StorageFull
from perennial.feature_store import _compat
from perennial.feature_store.online.base import NewestOnlineStore, NewestOnlineStoreConfig
from perennial.feature_store.online.rows import UNKNOWN, OnlineRows, to_datetime
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


class NewestSqliteOnlineStore(NewestOnlineStore, _compat.SqliteHook, SqliteOnlineStore):
    """SQLite in which the newest row wins; one connection a thread, write-ahead log, writers that wait."""

    def __init__(self) -> None:
        self._connections = threading.local()

    @staticmethod
    def database_path(config: RepoConfig) -> str:
        """The database file: `path` of the options, below the feature repository if relative, or the default."""
        return str(Path(config.repo_path or ".") / (config.online_store.path or settings().home / "online.db"))

    def connection(self, config: RepoConfig) -> sqlite3.Connection:
        """The calling thread's connection."""
        # A connection may not cross into a forked process, nor its transaction into another thread.
        own, path = self._connections, self.database_path(config)
        if getattr(own, "opened_by", None) != (os.getpid(), path):
            own.connection = _connect(path, config.online_store.patience)
            own.opened_by = os.getpid(), path
        return own.connection

    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the values that are at least as new as the stored ones, all in one transaction.

        Args:
            config: The feature store's configuration.
            view: The rows' view.
            rows: One row a key.

        Raises:
            ServiceUnavailable: another process has locked the database for longer than `patience`.
            StorageFull: there is no room on its disk.
            DamagedFile: the file is not a database any more.
        """
        with _explaining_errors(self.database_path(config)):
            try:
                self._write(config, view, rows)
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise
                self.update(config, [], [view], [], [], partial=True)
                self._write(config, view, rows)

    def _write(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        connection = self.connection(config)
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
        """The newest values of each entity. A view that was never applied or written, or whose file is gone, has none.

        Args:
            config: The feature store's configuration.
            table: The view.
            entity_keys: n keys.
            requested_features: Which features; None: all.

        Returns:
            For each of the n keys the event time (UTC) of the oldest value and the values; None for both where there is
            no row.
        """
        version = config.entity_key_serialization_version
        keys = [serialize_entity_key(key, entity_key_serialization_version=version) for key in entity_keys]
        features = requested_features or [feature.name for feature in table.features]
        query = (
            f"SELECT entity_key, feature_name, value, coalesce(event_us, event_ts * 1000000) FROM"  # noqa: S608
            f" {quote_ident(_table(config, table))} WHERE entity_key IN ({_marks(keys)})"
            f" AND feature_name IN ({_marks(features)})"
        )
        try:
            cursor = self.connection(config).execute(query, [*keys, *features])
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return [(None, None)] * len(keys)
        rows: dict[bytes, dict[str, Value]] = defaultdict(dict)
        events: dict[bytes, int] = {}
        for key, feature, value, event in cursor:
            rows[key][feature] = Value.FromString(value)
            events[key] = min(event, events.get(key, event))
        return [(to_datetime(events[key]), rows[key]) if key in events else (None, None) for key in keys]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the views' tables: Feast's columns and exact times, clustered by key.

        Args:
            config: The feature store's configuration.
            tables_to_delete: Views whose tables are dropped.
            tables_to_keep: Views whose tables are created where they are missing.
            entities_to_delete: Ignored; Feast passes it.
            entities_to_keep: Ignored; Feast passes it.
            partial: Ignored; Feast passes it.

        Raises:
            ServiceUnavailable: another process has locked the database for longer than `patience`.
            StorageFull: there is no room on its disk.
            DamagedFile: the file is not a database any more.
        """
        with _explaining_errors(self.database_path(config)):
            connection = self.connection(config)
            for view in tables_to_keep:
                connection.execute(_CREATE.format(table=quote_ident(_table(config, view))))
                for column in _EXACT:
                    _add_column(connection, _table(config, view), column)
            for view in tables_to_delete:
                connection.execute(f"DROP TABLE IF EXISTS {quote_ident(_table(config, view))}")

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete the database, its log included.

        Args:
            config: The feature store's configuration.
            tables: Ignored; Feast passes it.
            entities: Ignored; Feast passes it.
        """
        own = self._connections
        if getattr(own, "opened_by", None) is not None:
            own.connection.close()
            own.opened_by = None
        for suffix in ("", "-wal", "-shm"):
            Path(self.database_path(config) + suffix).unlink(missing_ok=True)


_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
  entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, vector_value BLOB,
  event_ts timestamp, created_ts timestamp, event_us INTEGER, created_us INTEGER,
  PRIMARY KEY (entity_key, feature_name)
) WITHOUT ROWID
"""


def _add_column(connection: sqlite3.Connection, table: str, column: str) -> None:
    """Add a column of integers to a table that Feast's own store created."""
    try:
        connection.execute(f"ALTER TABLE {quote_ident(table)} ADD COLUMN {quote_ident(column)} INTEGER")
    except sqlite3.OperationalError as error:
        if "duplicate column name" not in str(error):
            raise


def _upsert(table: str, features: Sequence[str]) -> str:
    """A statement that writes a whole row: key, four times, and the values of `features`."""
    rows = ", ".join(
        f"(?1, {quote_literal(feature)}, ?{number}, ?2, ?3, ?4, ?5)" for number, feature in enumerate(features, start=6)
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
    retrying = Retrying(
        retry=retry_if_exception_type(sqlite3.OperationalError),
        stop=stop_after_delay(patience),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    )
    return retrying(_open, path, patience)


def _open(path: str, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def _explaining_errors(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, which say what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        message = str(error)
        if "locked" in message or "busy" in message:
            raise ServiceUnavailable(
                f"The online store {path} is locked by another process: {message}.",
                "See which process has it open (`fuser`); then clear the task: nothing was written. For several writers"
                " at a time use Redis or PostgreSQL: PERENNIAL_ONLINE_STORE.",
            ) from error
        if "full" in message or "disk I/O error" in message:
            raise StorageFull(
                f"The online store {path} cannot be written to: {message}.",
                "Free some room on its disk, then clear the task: the store is as it was before.",
            ) from error
        if "malformed" in message or "not a database" in message:
            raise DamagedFile(
                f"The online store {path} is damaged: {message}.",
                "Delete it and run <use case>.features for as many partitions back as the longest ttl of a view"
                " reaches: the lake holds everything that was in it.",
            ) from error
        raise
