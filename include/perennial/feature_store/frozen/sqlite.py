"""Reads all views of a plan from SQLite, with one statement a view."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from perennial._common.sql_quoting import quote_ident
from perennial.feature_store.frozen.plan import FrozenView, ReadPlan
from perennial.feature_store.frozen.stored import StoredRow

#: Entities a statement asks for; fewer are filled up to a power of two, so that few statements are ever compiled.
_MOST = 512


class SqliteReads:
    """Feast's tables in SQLite: a row a feature.

    Args:
        plan: What is read.
        connection: Gives the connection that the calling thread may use.
    """

    #: There is a row for every value that was written, null too.
    absent_is_null = False

    def __init__(self, plan: ReadPlan, connection: Callable[[], sqlite3.Connection]) -> None:
        self._plan = plan
        self._connection = connection

    def fetch(self, entities: Sequence[Sequence[bytes]]) -> list[list[list[StoredRow]]]:
        """What is stored of each entity.

        Args:
            entities: The serialized entity keys, by key of the plan.

        Returns:
            By key of the plan, entity and view.

        Raises:
            sqlite3.OperationalError: the file cannot be read.
        """
        connection = self._connection()
        fetched = []
        for key, wanted in zip(self._plan.keys, entities, strict=True):
            by_view = [_read(connection, view, wanted) for view in key.views]
            fetched.append([[rows.get(entity) for rows in by_view] for entity in wanted])
        return fetched


def _read(connection: sqlite3.Connection, view: FrozenView, entities: Sequence[bytes]) -> dict[bytes, StoredRow]:
    place = {feature: number for number, feature in enumerate(view.features)}
    values: dict[bytes, list[bytes | None]] = {}
    events: dict[bytes, int] = {}
    for start in range(0, len(entities), _MOST):
        some = list(entities[start : start + _MOST])
        some += some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))
        try:
            cursor = connection.execute(_query(view, len(some)), [*some, *view.features])
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return {}  # The view was never applied or written.
        for entity, feature, value, event in cursor:
            row = values.get(entity)
            if row is None:
                row = values[entity] = [None] * len(place)
                events[entity] = event
            row[place[feature]] = value
            if event < events[entity]:
                events[entity] = event
    return {entity: (events[entity], row) for entity, row in values.items()}


def _query(view: FrozenView, entities: int) -> str:
    return (
        f"SELECT entity_key, feature_name, value, coalesce(event_us, event_ts * 1000000) FROM"  # noqa: S608
        f" {quote_ident(view.table)} WHERE entity_key IN ({','.join('?' * entities)})"
        f" AND feature_name IN ({','.join('?' * len(view.features))})"
    )
