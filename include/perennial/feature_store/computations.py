"""What each partition of a feature table was computed by: the lake's table `computations`."""

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
        rows: Table -> its number of rows in the partition; all tables of the use case.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import COMPUTATIONS

    now = fingerprints.of_transforms(use_case)
    made = [
        {"partition": partition.key, "table": name, "rows": count, "transform": now[name]}
        for name, count in rows.items()
    ]
    content = pa.Table.from_pylist(made, schema=COMPUTATIONS)
    lake.replace(use_case.tables.computations, partition.key, content, sort_by=("table",))


def with_examples(use_case: UseCase, first: Partition, last: Partition) -> set[str]:
    """The partitions from `first` to `last` of which examples were computed, be it that there were none."""
    from perennial import lake

    rows = lake.records(use_case.tables.computations, between=(first.key, last.key), columns=(lake.PARTITION, "table"))
    return {row[lake.PARTITION] for row in rows if row["table"] == "examples"}


def held(use_case: UseCase) -> dict[str, dict[str, str]]:
    """Partition -> table -> the fingerprint of the transform that it was computed by; only what was recorded.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    table = use_case.tables.computations
    found: dict[str, dict[str, str]] = {}
    for row in lake_cache.records([table])[table]:
        found.setdefault(row["partition"], {})[row["table"]] = row["transform"]
    return dict(sorted(found.items()))
