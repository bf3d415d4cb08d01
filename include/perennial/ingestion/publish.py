"""Publishes the features of a partition: applies changed definitions and brings its rows to the online store.

When that was done is recorded, to be compared with when the features' sources declare that they are published.
"""

from __future__ import annotations

from perennial.partitions import Partition
from perennial.use_case import UseCase


def publish_features(use_case: UseCase, partition: Partition) -> dict[str, int]:
    """Apply the feature repository if it changed, then bring exactly this interval to the online store.

    Args:
        use_case: The use case.
        partition: The partition whose event time is the interval.

    Returns:
        Number of rows written by feature view.

    Raises:
        ChangeRefused: the change destroys something of this use case that it does not acknowledge: see
            `perennial plan`. What another use case changes stops nothing here.
    """
    from perennial.feature_changes import applying
    from perennial.feature_store import publication_records, repository

    applying.apply_safely(use_case)
    rows = repository.materialize(use_case.feature_service, partition.start, partition.end)
    publication_records.record(use_case, partition, partition.end, rows)
    return rows
