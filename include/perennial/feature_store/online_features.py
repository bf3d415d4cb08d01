"""Reads the newest features of entities from the online store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from perennial._common.storage import explaining_database
from perennial.errors import ServiceUnavailable
from perennial.feature_store.columns import event_timestamp_column, status_column
from perennial.feature_store.feature_services import cached_service, cached_views
from perennial.feature_store.store import REGISTRY, open_store

if TYPE_CHECKING:
    from feast.feature_service import FeatureService
    from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
    from feast.protos.feast.types.Value_pb2 import Value
    from google.protobuf.timestamp_pb2 import Timestamp

#: Why a value is what it is.
PRESENT, NULL, NOT_FOUND, EXPIRED = "present", "null", "not-found", "expired"
#: What the clients of online stores raise when the store does not answer; by name, as not every client is installed.
_OUT_OF_REACH = {
    "botocore.exceptions.BotoCoreError",
    "botocore.exceptions.ClientError",
    "psycopg.InterfaceError",
    "psycopg.OperationalError",
    "psycopg_pool.PoolTimeout",
    "redis.exceptions.RedisError",
    "sqlite3.OperationalError",
}


@explaining_database(REGISTRY)
def online_features(
    service: str,
    keys: Sequence[Mapping[str, Any]],
    event_timestamps: bool = False,
    *,
    statuses: bool = False,
    at: datetime | None = None,
) -> list[dict[str, Any]]:
    """The newest materialized features of each entity.

    A value older than its view's `ttl` is null, as in training; `online_store: expired:` in feature_store.yaml may say
    otherwise.

    Args:
        service: The feature service.
        keys: The join keys of the service's views, for each of n entities.
        event_timestamps: Also return `<view>__event_timestamp` (UTC, to the microsecond; None where nothing is known)
            for each view with rows of its own.
        statuses: Also return `<feature>__status` for each feature: `present`; `null`: it is known to be null;
            `expired`: it is older than its view's `ttl`; `not-found`: nothing is known of the entity. With it come the
            event timestamps.
        at: The moment that ages are counted to, UTC, where the past is served again, as after a replay; None: now.
            Later values are not left out.

    Returns:
        For each of the n entities its keys and the features of the service; None where nothing is known.

    Raises:
        BadFeatures: There is no such service.
        ServiceUnavailable: The registry's database or the online store does not answer.
    """
    if not keys:
        return []
    store = open_store()
    feature_service = cached_service(store, service)
    with _serving_at(at), explaining_store():
        response = store.get_online_features(features=feature_service, entity_rows=[dict(key) for key in keys])
    columns = response.to_dict()
    if event_timestamps or statuses:
        views = cached_views(store, service)
        columns |= _event_timestamps(feature_service, set(views), response.proto)
    if statuses:
        columns |= _statuses(response.proto, joined_by=set(keys[0]))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@contextmanager
def _serving_at(at: datetime | None) -> Iterator[None]:
    from perennial.feature_store.online.expiry import serving_time

    token = serving_time.set(at)
    try:
        yield
    finally:
        serving_time.reset(token)


@contextmanager
def explaining_store() -> Iterator[None]:
    """Name the online store in what its client raises when it does not answer."""
    try:
        yield
    except Exception as error:
        kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
        if kinds.isdisjoint(_OUT_OF_REACH):
            raise
        raise ServiceUnavailable(
            f"The online store does not answer: {type(error).__name__}: {str(error).strip()[:300]}",
            "Start it, or see PERENNIAL_ONLINE_STORE; `perennial doctor` checks it.",
        ) from error


def _event_timestamps(
    service: FeatureService, views: set[str], response: GetOnlineFeaturesResponse
) -> dict[str, list[datetime | None]]:
    """The event timestamps of each view with rows of its own, by column."""
    results = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
    return {
        event_timestamp_column(projection.name_alias or projection.name): [
            time.ToDatetime(UTC) if time.ByteSize() else None
            for time in results[projection.features[0].name].event_timestamps
        ]
        for projection in service.feature_view_projections
        if projection.name in views and projection.features[0].name in results
    }


def _statuses(response: GetOnlineFeaturesResponse, joined_by: set[str]) -> dict[str, list[str]]:
    """Why each value is what it is, by column."""
    return {
        status_column(name): [
            _status(*each) for each in zip(result.statuses, result.values, result.event_timestamps, strict=True)
        ]
        for name, result in zip(response.metadata.feature_names.val, response.results, strict=True)
        if name not in joined_by
    }


def _status(status: int, value: Value, time: Timestamp) -> str:
    """Stores differ in what they say of a row that has no value of a feature: it is null, as the row is there."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    if status == FieldStatus.OUTSIDE_MAX_AGE:
        return EXPIRED
    if status == FieldStatus.PRESENT and value.WhichOneof("val"):
        return PRESENT
    return NULL if status in (FieldStatus.PRESENT, FieldStatus.NULL_VALUE) or time.ByteSize() else NOT_FOUND
