"""Reads the newest features of entities as `online_features` does, without asking Feast's registry each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from perennial._common.storage import explaining_database
from perennial.feature_store import columns
from perennial.feature_store.frozen.plan import FrozenKey, ReadPlan, freeze
from perennial.feature_store.frozen.stored import Reads, StoredRow
from perennial.feature_store.online.rows import microseconds, to_datetime
from perennial.feature_store.online_features import EXPIRED, NOT_FOUND, explaining_store, online_features
from perennial.feature_store.store import REGISTRY, open_store

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class OnlineValues:
    """The newest features of n entities.

    Attributes:
        names: The features.
        rows: Of each entity the values, in the order of `names`; None where nothing is known.
        missing: Of each entity why features are null that are not known to be: `not-found` or `expired`.
        event_timestamps: Of each entity when the values of each view became known (UTC; None: nothing is).
    """

    names: Sequence[str]
    rows: list[list[Any]]
    missing: list[dict[str, str]]
    event_timestamps: list[dict[str, datetime | None]]


class OnlineReader(Protocol):
    """Reads one feature service."""

    def read(self, keys: Sequence[Mapping[str, Any]], at: datetime | None) -> OnlineValues:
        """The newest features.

        Args:
            keys: The join keys of the service's views, and what its on-demand views expect, for each of n entities.
            at: The moment that ages are counted to, UTC; None: now.
        """


@explaining_database(REGISTRY)
def reader(service: str) -> OnlineReader:
    """What reads a service: directly from Redis or SQLite where that is possible, else through Feast's SDK.

    A direct reader needs no registry: it reads what was defined when it was made.

    Args:
        service: The service's name.

    Raises:
        BadFeatures: There is no such service.
        ServiceUnavailable: The registry's database does not answer.
    """
    store = open_store()
    plan = freeze(store, service)
    reads = None if plan is None else _reads(store, plan)
    return SdkReader(service) if plan is None or reads is None else FrozenReader(plan, reads)


class SdkReader:
    """Reads through Feast's SDK.

    Args:
        service: The service's name.
    """

    def __init__(self, service: str) -> None:
        self._service = service

    def read(self, keys: Sequence[Mapping[str, Any]], at: datetime | None) -> OnlineValues:
        """See `OnlineReader`.

        Args:
            keys: See there.
            at: See there.

        Raises:
            BadFeatures: the service is gone.
            ServiceUnavailable: the registry's database or the online store does not answer.
        """
        served = online_features(self._service, keys, statuses=True, at=at)
        names = [name for name in served[0] if columns.status_column(name) in served[0]]
        views = {view: name for name in served[0] if (view := columns.view_of(name)) is not None}
        statuses = [(name, columns.status_column(name)) for name in names]
        return OnlineValues(
            names,
            [[row[name] for name in names] for row in served],
            [{name: row[status] for name, status in statuses if row[status] in (NOT_FOUND, EXPIRED)} for row in served],
            [{view: row[name] for view, name in views.items()} for row in served],
        )


@dataclass(frozen=True)
class _Entity:
    """What is known of one entity by the views of one key."""

    values: list[Any]
    missing: dict[str, str]
    event_timestamps: dict[str, datetime | None]


class FrozenReader:
    """Reads a plan from its store, each entity once.

    Args:
        plan: What is read.
        reads: The store.
    """

    def __init__(self, plan: ReadPlan, reads: Reads) -> None:
        self._plan = plan
        self._reads = reads
        self._names = [feature for key in plan.keys for feature in key.features]

    def read(self, keys: Sequence[Mapping[str, Any]], at: datetime | None) -> OnlineValues:
        """See `OnlineReader`.

        Args:
            keys: See there.
            at: See there.

        Raises:
            ServiceUnavailable: the online store does not answer.
        """
        now = microseconds(at or datetime.now(UTC))
        encoded = [[key.encode(row) for row in keys] for key in self._plan.keys]
        with explaining_store():
            # In order, so that a store is asked the same for the same requests.
            fetched = self._reads.fetch([list(dict.fromkeys(entities)) for entities in encoded])
        found = []
        for key, entities, stored in zip(self._plan.keys, encoded, fetched, strict=True):
            known = dict(zip(dict.fromkeys(entities), (self._entity(key, rows, now) for rows in stored), strict=True))
            found.append([known[entity] for entity in entities])
        by_row = list(zip(*found, strict=True))
        return OnlineValues(
            self._names,
            [[value for part in parts for value in part.values] for parts in by_row],
            [_merged([part.missing for part in parts]) for parts in by_row],
            [_merged([part.event_timestamps for part in parts]) for parts in by_row],
        )

    def _entity(self, key: FrozenKey, rows: Sequence[StoredRow], now: int) -> _Entity:
        values: list[Any] = []
        missing: dict[str, str] = {}
        events: dict[str, datetime | None] = {}
        for view, row in zip(key.views, rows, strict=True):
            if row is None:
                values += [None] * len(view.features)
                missing |= dict.fromkeys(view.features, NOT_FOUND)
                events[view.label] = None
                continue
            event, stored = row
            # Feast takes the first instant of 1970 for no time.
            events[view.label] = to_datetime(event) if event else None
            is_expired = view.ttl is not None and now - event > view.ttl
            if is_expired:
                for name, value in zip(view.features, stored, strict=True):
                    if value is not None or self._reads.absent_is_null:
                        missing[name] = EXPIRED
            if is_expired and self._plan.expired == "null":
                values += [None] * len(view.features)
            else:
                values += [
                    decode(value) if value else None for decode, value in zip(view.decoders, stored, strict=True)
                ]
        return _Entity(values, missing, events)


def _merged(parts: Sequence[dict]) -> dict:
    merged: dict = {}
    for part in parts:
        merged |= part
    return merged


def _reads(store: FeatureStore, plan: ReadPlan) -> Reads | None:
    """What reads the plan from the configured store; None: only Feast's SDK can."""
    online: Any = store.provider.online_store
    kind = f"{type(online).__module__}.{type(online).__name__}"
    if kind == "perennial.feature_store.online.redis.NewestRedisOnlineStore":
        from perennial.feature_store.frozen.redis import RedisReads

        return RedisReads(plan, store.project, online.client(store.config.online_store))
    if kind == "perennial.feature_store.online.sqlite.NewestSqliteOnlineStore":
        from perennial.feature_store.frozen.sqlite import SqliteReads

        return SqliteReads(plan, partial(online.connection, store.config))
    return None
