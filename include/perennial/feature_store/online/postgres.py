"""Feast's PostgreSQL online store, in which the newest row wins whoever writes at the same time.

Feast's own lets the last writer win, writes times without their zone, and shares one connection, with its transaction,
among all threads. The tables are Feast's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psycopg
from feast.feature_view import FeatureView
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.postgres_online_store.postgres import (
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
)
from feast.repo_config import RepoConfig
from psycopg import sql
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from perennial.feature_store import _compat
from perennial.feature_store.online.base import NewestOnlineStore, NewestOnlineStoreConfig
from perennial.feature_store.online.rows import UNKNOWN, OnlineRows

#: Microseconds from 1970 to 2000. PostgreSQL's binary timestamps are integers that count from there.
_EPOCH = 946_684_800_000_000

#: Errors that another writer, or a view applied meanwhile, can cause; the statement may be run again.
_TRANSIENT = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.OperationalError)


class NewestPostgreSQLOnlineStoreConfig(NewestOnlineStoreConfig, PostgreSQLOnlineStoreConfig):
    """`online_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.online.postgres.NewestPostgreSQLOnlineStore"] = (
        "perennial.feature_store.online.postgres.NewestPostgreSQLOnlineStore"  # type: ignore[assignment]
    )
    #: The account that the server behind a local socket has to run as; see `services.postgres_address`.
    requirepeer: str | None = None


class NewestPostgreSQLOnlineStore(NewestOnlineStore, _compat.PostgresHook, PostgreSQLOnlineStore):
    """PostgreSQL in which the newest row wins; one connection a thread."""

    def __init__(self) -> None:
        self._connections = threading.local()

    @contextmanager
    def connection(self, config: RepoConfig, autocommit: bool = False) -> Iterator[psycopg.Connection]:
        """The calling thread's connection; what is not committed inside is rolled back.

        Args:
            config: The feature store's configuration.
            autocommit: Whether each statement is a transaction of its own.
        """
        # A connection may not cross into a forked process, nor its transaction into another thread.
        own = self._connections
        connection = getattr(own, "connection", None)
        if connection is None or connection.closed or own.process != os.getpid():
            connection = _compat.connect_to_postgres(config.online_store)
            own.connection, own.process = connection, os.getpid()
        try:
            connection.set_autocommit(autocommit)
            yield connection
        finally:
            if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.rollback()

    @retry(
        retry=retry_if_exception_type(_TRANSIENT), stop=stop_after_attempt(5), wait=wait_random(0, 0.2), reraise=True
    )
    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the values that are at least as new as the stored ones, all in one transaction.

        Args:
            config: The feature store's configuration.
            view: The rows' view.
            rows: One row a key.
        """
        table = compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
        try:
            self._write(config, table, rows)
        except psycopg.errors.UndefinedTable:
            self.update(config, [], [view], [], [], partial=True)
            self._write(config, table, rows)

    def _write(self, config: RepoConfig, table: str, rows: OnlineRows) -> None:
        events = [event - _EPOCH for event in rows.events]
        created = [None if time == UNKNOWN else time - _EPOCH for time in rows.created]
        names = list(rows.features)
        with self.connection(config) as connection, connection.cursor() as cursor:
            cursor.execute(_STAGE)
            with cursor.copy(_COPY) as copy:
                copy.set_types(["bytea", "text", "bytea", "int8", "int8"])
                for key, event, written, values in zip(rows.keys, events, created, rows.values(), strict=True):
                    for name, value in zip(names, values, strict=True):
                        copy.write_row((key, name, value, event, written))
            cursor.execute(sql.SQL(_UPSERT).format(table=sql.Identifier(table)))
            connection.commit()

    def is_without_table(self, error: Exception) -> bool:
        """Whether PostgreSQL says that the view has no table: it was never applied or written."""
        return isinstance(error, psycopg.errors.UndefinedTable)


_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS perennial_rows (
  entity_key bytea, feature_name text, value bytea, event_ts timestamptz, created_ts timestamptz
) ON COMMIT DELETE ROWS
"""
_COPY = "COPY perennial_rows FROM STDIN (FORMAT BINARY)"
_UPSERT = """
INSERT INTO {table} AS present (entity_key, feature_name, value, event_ts, created_ts)
SELECT entity_key, feature_name, value, event_ts, created_ts FROM perennial_rows
ON CONFLICT (entity_key, feature_name) DO UPDATE SET
  value = excluded.value, event_ts = excluded.event_ts, created_ts = excluded.created_ts
WHERE present.event_ts IS NULL OR excluded.event_ts > present.event_ts OR (
  excluded.event_ts = present.event_ts
  AND (present.created_ts IS NULL OR excluded.created_ts >= present.created_ts)
)
"""
