"""Feast's SQLite online store, made safe for several writers and for backfills.

Feast's own lets the last writer win, so filling in an old window overwrites newer values, and two writers meet
"database is locked". Here a value gives way only to one of the same or a later event time: the order of runs, and
running one twice, changes nothing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

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
from feast.utils import to_naive_utc
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from perennial.settings import settings

#: Feast's own time columns are whole seconds in local time; these are exact, in microseconds since 1970 (UTC).
_EXACT = ("event_us", "created_us")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATIENCE = 60


class NewestSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """`online_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.online.NewestSqliteOnlineStore"] = (
        "perennial.feature_store.online.NewestSqliteOnlineStore"  # type: ignore[assignment]
    )

    path: str = ""
    """The database file. Empty: `online.db` in Perennial's home, whatever folder Feast runs in."""


class NewestSqliteOnlineStore(SqliteOnlineStore):
    """SQLite in which the newest event time wins; one connection a thread, write-ahead log, patient writers."""

    def __init__(self) -> None:
        self._open = threading.local()

    @staticmethod
    def _get_db_path(config: RepoConfig) -> str:
        return str(Path(config.repo_path or ".") / (config.online_store.path or settings().home / "online.db"))

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        # A connection may not cross into a forked process, nor its transaction into another thread.
        owner = (os.getpid(), self._get_db_path(config))
        if getattr(self._open, "owner", None) != owner:
            self._open.connection, self._open.owner = _connect(owner[1]), owner
        return self._open.connection

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write the values that are at least as new as what is there, all in one transaction."""
        name = compute_table_id(config.project, table, config.registry.enable_online_feature_view_versioning)
        version = config.entity_key_serialization_version
        rows = [
            (key, feature, value.SerializeToString(), event, created, _microseconds(event), _microseconds(created))
            for entity, values, event, created in data
            for key in [serialize_entity_key(entity, entity_key_serialization_version=version)]
            for event, created in [(to_naive_utc(event), to_naive_utc(created) if created is not None else None)]
            for feature, value in values.items()
        ]
        upsert = _UPSERT.format(table=name.replace('"', '""'))
        try:
            self._write(config, upsert, rows)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            self.update(config, [], [table], [], [], partial=True)
            self._write(config, upsert, rows)
        if progress:
            progress(len(data))

    def _write(self, config: RepoConfig, upsert: str, rows: list[tuple]) -> None:
        connection = self._get_conn(config)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(upsert, rows)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """The newest values of each entity. A file that is new, or was deleted, knows none until it is written to."""
        try:
            return super().online_read(config, table, entity_keys, requested_features)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return [(None, None)] * len(entity_keys)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the views' tables, with exact times."""
        super().update(config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial)
        connection = self._get_conn(config)
        for view in tables_to_keep:
            name = compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
            for column in _EXACT:
                _alter_table_add_column_if_missing(connection, name, column, "INTEGER")

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete the database, its log included."""
        if getattr(self._open, "owner", None) is not None:
            self._open.connection.close()
            self._open.owner = None
        for suffix in ("", "-wal", "-shm"):
            Path(self._get_db_path(config) + suffix).unlink(missing_ok=True)


_UPSERT = """
INSERT INTO "{table}" (entity_key, feature_name, value, event_ts, created_ts, event_us, created_us)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (entity_key, feature_name) DO UPDATE SET
  value = excluded.value, event_ts = excluded.event_ts, created_ts = excluded.created_ts,
  event_us = excluded.event_us, created_us = excluded.created_us
WHERE event_us IS NULL
  OR excluded.event_us > event_us
  OR (excluded.event_us = event_us AND coalesce(excluded.created_us, created_us, 0) >= coalesce(created_us, 0))
"""


@retry(
    retry=retry_if_exception_type(sqlite3.OperationalError),
    stop=stop_after_delay(_PATIENCE),
    wait=wait_random(0.01, 0.1),
    reraise=True,
)
def _connect(path: str) -> sqlite3.Connection:
    """Open the database. The first switch to a write-ahead log needs it alone, and does not wait by itself."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    connection = _initialize_conn(path)
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    since = moment.replace(tzinfo=UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
