"""The share of raw rows that are quarantined: of a partition, and the median of the earlier ones as its baseline."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from perennial import lake
from perennial.partitions import Partition
from perennial.use_case import UseCase

#: From how many earlier partitions the baseline is taken.
EARLIER = 12


@dataclass(frozen=True)
class QuarantineShare:
    """The share of raw rows that are quarantined, between 0 and 1; a verdict's evidence stores it by these names.

    Attributes:
        now: Of this partition, over all its raw tables; 0 where nothing was ingested.
        usual: The baseline: the median share of the earlier partitions; None without any.
        partitions: From how many earlier partitions it was taken, at most 12.
    """

    now: float
    usual: float | None
    partitions: int


def share(use_case: UseCase, partition: Partition) -> QuarantineShare:
    """The share of quarantined rows of a partition, and the baseline from up to 12 partitions before it.

    Before it in event time, whenever they were ingested: the answer does not depend on the order of runs.

    Args:
        use_case: The use case.
        partition: The partition.
    """
    raw = {table.name for table in use_case.raw}
    rows = lake.records(
        use_case.tables.batches,
        between=(use_case.first.key, partition.key),
        columns=(lake.PARTITION, "table", "rows", "quarantined"),
    )
    quarantined: dict[str, int] = {}
    received: dict[str, int] = {}
    for row in rows:
        if row["table"] in raw:
            key = row[lake.PARTITION]
            quarantined[key] = quarantined.get(key, 0) + row["quarantined"]
            received[key] = received.get(key, 0) + row["quarantined"] + row["rows"]
    shares = {key: quarantined[key] / total if total else 0.0 for key, total in received.items()}
    now = shares.pop(partition.key, 0.0)
    earlier = [shares[key] for key in sorted(shares)][-EARLIER:]
    return QuarantineShare(now=now, usual=median(earlier) if earlier else None, partitions=len(earlier))
