"""Reads the newest features of entities from the online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from perennial._common.storage import explaining_database
from perennial.feature_store.columns import event_timestamp_column
from perennial.feature_store.feature_services import get_service, get_views
from perennial.feature_store.store import REGISTRY, open_store


@explaining_database(REGISTRY)
def online_features(
    service: str, keys: Sequence[Mapping[str, Any]], event_timestamps: bool = False
) -> list[dict[str, Any]]:
    """The newest materialized features of each entity.

    What becomes of values older than their view's `ttl` is set by `online_store: expired:` in feature_store.yaml; by
    default they are served.

    Args:
        service: The feature service.
        keys: The join keys of the service's views, for each of n entities.
        event_timestamps: Also return `<view>__event_timestamp` (UTC, to the microsecond; None where nothing is known)
            for each view with rows of its own.

    Returns:
        For each of the n entities its keys and the features of the service; None where nothing is known.

    Raises:
        BadFeatures: There is no such service.
    """
    if not keys:
        return []
    store = open_store()
    feature_service = get_service(store, service)
    response = store.get_online_features(features=feature_service, entity_rows=[dict(key) for key in keys])
    columns = response.to_dict()
    if event_timestamps:
        results = dict(zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True))
        views = get_views(store, service)
        for projection in feature_service.feature_view_projections:
            result = results.get(projection.features[0].name)
            if result is not None and projection.name in views:
                columns[event_timestamp_column(projection.name_alias or projection.name)] = [
                    time.ToDatetime(UTC) if time.ByteSize() else None for time in result.event_timestamps
                ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
