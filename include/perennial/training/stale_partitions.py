"""Finds the partitions of a training window that today's transforms did not compute: a model of two kinds of rows."""

from __future__ import annotations

from collections.abc import Sequence

from perennial.errors import BadFeatures
from perennial.feature_store import computations, fingerprints, repository
from perennial.partitions import Partition
from perennial.use_case import UseCase

#: That many partitions are named in an error.
_NAMED = 6


def check_window(use_case: UseCase, first: Partition, last: Partition) -> None:
    """Refuse a window in which a table was computed by another transform than the files hold now, or not at all.

    After a column was added, say, it would be null in every partition that was not computed again, and a model would
    learn that null means the past. Partitions from before computations were recorded count as up to date.

    Args:
        use_case: Its examples, and the feature tables of its own that its feature service reads, are looked at.
        first: First partition of the window.
        last: Its last partition, included.

    Raises:
        BadFeatures: naming the partitions, the tables, and the command that computes them again.
    """
    stale = stale_tables(use_case, first, last)
    if not stale:
        return
    tables = sorted({table for tables in stale.values() for table in tables})
    oldest, newest = next(iter(stale)), use_case.partition(list(stale)[-1])
    shorter = f", or train on what is up to date: window_start {newest.next}" if newest < last else ""
    raise BadFeatures(
        f"Use case {use_case.name!r}, window {first}..{last}: in partition {_shortened(list(stale))} the rows of"
        f" {', '.join(tables)} were computed by an earlier version of the transforms.",
        f"Compute them again: `perennial apply --from {oldest} --to {newest}`; then clear the failed task{shorter}.",
    )


def stale_tables(use_case: UseCase, first: Partition, last: Partition) -> dict[str, list[str]]:
    """The tables of each partition of a window that another transform computed than the files hold now.

    Args:
        use_case: Its examples, and the feature tables of its own that its feature service reads, are looked at.
        first: First partition of the window.
        last: Its last partition, included.

    Returns:
        Partition -> tables; only partitions that have any, oldest first.
    """
    recorded = computations.recorded_transforms(use_case)
    partitions = [partition.key for partition in first.through(last) if partition.key in recorded]
    if not partitions:
        return {}
    served = set(repository.lake_tables(use_case.feature_service).values())
    transforms = {
        table: fingerprint
        for table, fingerprint in fingerprints.of_transforms(use_case).items()
        if table == fingerprints.EXAMPLES or use_case.tables[table] in served
    }
    stale = {
        key: [table for table, current in transforms.items() if recorded[key].get(table) != current]
        for key in partitions
    }
    return {key: tables for key, tables in stale.items() if tables}


def _shortened(keys: Sequence[str]) -> str:
    return ", ".join(keys) if len(keys) <= _NAMED else f"{', '.join(keys[:3])}, ..., {keys[-1]}"
