"""Retrieves features as they were published at past moments: point-in-time correct, for training and scoring."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from perennial._common.storage import explaining_database
from perennial.feature_store.feature_services import get_service
from perennial.feature_store.store import REGISTRY, open_store

if TYPE_CHECKING:
    import pyarrow as pa

    from perennial.feature_store.publication import Publication


@explaining_database(REGISTRY)
def historical_features(
    service: str,
    entities: pa.Table,
    snapshots: Mapping[str, int | None] | None = None,
    known_at_the_time: bool = True,
    features: Collection[str] | None = None,
    publications: Mapping[str, Publication] | None = None,
) -> pa.Table:
    """What was known, and published, of each entity at its `event_timestamp`.

    Args:
        service: The feature service.
        entities: n rows with the join keys of the service's views and `event_timestamp` (UTC if it has no time zone).
        snapshots: Lake table -> the snapshot to read instead of the current one.
        known_at_the_time: Hide feature rows that were written after an entity's `event_timestamp`, by their source's
            `created_timestamp_column`, if it has one.
        features: Retrieve only these of the service's features; others that it does not have are left out. None: all.
        publications: View -> when its rows count as published, instead of what its source declares.

    Returns:
        The n rows as they came, in their order, with the features of the service and `<view>__event_timestamp` (UTC;
        null where nothing was known) for each of its views.

    Raises:
        BadFeatures: There is no such service, the entities lack a join key, or a view names what the lake lacks.
    """
    store = open_store(keep_event_timestamps=True, snapshots=snapshots, features=features, publications=publications)
    job = store.get_historical_features(
        entity_df=entities,  # our offline store takes Arrow as it is
        features=get_service(store, service),
        filter_by_created_timestamp=known_at_the_time,
    )
    return job.to_arrow()
