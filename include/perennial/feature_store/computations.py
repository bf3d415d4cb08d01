"""Records which version of its transform computed each partition of a feature table, in the table `computations`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from perennial import lake_cache
from perennial.feature_store import fingerprints

if TYPE_CHECKING:
    from perennial.partitions import Partition
    from perennial.use_case import UseCase


def record(use_case: UseCase, partition: Partition, rows: Mapping[str, int]) -> None:
    """Record that the partition's tables were computed just now, by the transforms as the files are.

    Args:
        use_case: Whose tables.
        partition: Which of their partitions.
        rows: Table -> its number of rows in the partition; all tables of the use case.

    Raises:
        BadFeatures: a file is not Python, or lacks a transform.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import COMPUTATIONS

    transforms = fingerprints.of_transforms(use_case)
    records = [
        {"partition": partition.key, "table": name, "rows": count, "transform": transforms[name]}
        for name, count in rows.items()
    ]
    content = pa.Table.from_pylist(records, schema=COMPUTATIONS)
    lake.replace(use_case.tables.computations, partition.key, content, sort_by=("table",))


def partitions_with_examples(use_case: UseCase, first: Partition, last: Partition) -> set[str]:
    """The partitions whose examples were computed, even if the result was no rows.

    Args:
        use_case: Whose examples.
        first: The first partition to look at.
        last: The last one, inclusive.

    Returns:
        Their keys.
    """
    from perennial import lake

    rows = lake.records(use_case.tables.computations, between=(first.key, last.key), columns=(lake.PARTITION, "table"))
    return {row[lake.PARTITION] for row in rows if row["table"] == "examples"}


def recorded_transforms(use_case: UseCase) -> dict[str, dict[str, str]]:
    """The fingerprints of the transforms that computed each partition; only what was recorded.

    Returns:
        Partition -> table -> fingerprint.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    table = use_case.tables.computations
    recorded: dict[str, dict[str, str]] = {}
    for row in lake_cache.records([table])[table]:
        recorded.setdefault(row["partition"], {})[row["table"]] = row["transform"]
    return dict(sorted(recorded.items()))
