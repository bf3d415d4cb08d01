"""Locks a partition's raw tables and quarantine, so that ingestion and reviews exclude each other."""

from __future__ import annotations

from contextlib import AbstractContextManager

from perennial.partitions import Partition
from perennial.services import postgres
from perennial.use_case import UseCase


def lock(use_case: UseCase, partition: Partition) -> AbstractContextManager[None]:
    """Lock a partition while the context lasts; the lock ends with its holder, also if that is killed.

    Args:
        use_case: The use case.
        partition: The partition whose raw tables and quarantine are locked.
    """
    return postgres.advisory_lock("ingest", use_case.name, partition.key)


def lock_unplaced(use_case: UseCase, table: str) -> AbstractContextManager[None]:
    """Lock a raw table's records that belong to no partition, so that one of those that meet them keeps each.

    Taken after the partition's own lock, in the order of the raw tables.

    Args:
        use_case: The use case.
        table: Name of the raw table.
    """
    return postgres.advisory_lock("ingest unplaced", use_case.name, table)
