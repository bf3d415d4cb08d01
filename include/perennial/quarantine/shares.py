"""How much of what arrives is refused, and how much usually is."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from perennial import lake
from perennial.partitions import Partition
from perennial.use_case import UseCase

#: How many earlier partitions say what is usual.
EARLIER = 12


@dataclass(frozen=True)
class Share:
    """The share of raw rows that were refused, between 0 and 1.

    Attributes:
        now: Of this partition, over all its raw tables; 0 where nothing was ingested.
        usual: The median share of the earlier partitions; None without any.
        partitions: How many earlier partitions it was taken from, at most 12.
    """

    now: float
    usual: float | None
    partitions: int


def share(use_case: UseCase, partition: Partition) -> Share:
    """The share of refused rows of `partition`, and the usual one of up to 12 partitions before it.

    Before it in event time, whenever they were ingested: the answer does not depend on the order of runs.
    """
    raw = {table.name for table in use_case.raw}
    rows = lake.records(
        use_case.tables.batches,
        between=(use_case.first.key, partition.key),
        columns=(lake.PARTITION, "table", "rows", "quarantined"),
    )
    refused: dict[str, int] = {}
    arrived: dict[str, int] = {}
    for row in rows:
        if row["table"] in raw:
            key = row[lake.PARTITION]
            refused[key] = refused.get(key, 0) + row["quarantined"]
            arrived[key] = arrived.get(key, 0) + row["quarantined"] + row["rows"]
    shares = {key: refused[key] / total if total else 0.0 for key, total in arrived.items()}
    now = shares.pop(partition.key, 0.0)
    earlier = [shares[key] for key in sorted(shares)][-EARLIER:]
    return Share(now=now, usual=median(earlier) if earlier else None, partitions=len(earlier))
