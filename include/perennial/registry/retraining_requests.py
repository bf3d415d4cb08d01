"""Requests for retraining: made by monitors, answered by the gate's decision, never lost and never a storm.

A request is keyed by (use case, partition, reason). It is open until the ledger holds a decision whose model has seen
the partition, or tells that such a model is tried on live requests: so several alarms while one retraining runs end in
one retraining on the newest data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from perennial import lake
from perennial.partitions import Partition
from perennial.registry import ledger
from perennial.registry.ledger import Entry
from perennial.use_case import UseCase

_Row = TypeVar("_Row", bound=Mapping[str, Any])

#: The reason of a request that a schedule makes, not a monitor.
SCHEDULE = "schedule"
#: Reasons by which a model is due whatever has happened: `age` and the schedule.
ROUTINE = frozenset({"age", SCHEDULE})


def create(use_case: UseCase, partition: Partition, reason: str, evidence: dict[str, Any], made_by: str) -> bool:
    """Ask for retraining on everything up to the end of `partition`.

    Args:
        use_case: The use case.
        partition: The newest partition to train on.
        reason: Why: a verdict's reason, or `schedule`.
        evidence: What the verdict is based on; its `partition` is the one it is about, which may be an earlier one.
        made_by: The run that asks. Asked again by the same run for the same verdict (it was killed before its event
            went out), the answer is yes again; asked by another run or for another verdict, no.

    Returns:
        Whether the request stands and its event is to be published; False if one before holds it back or it was made.
    """
    import pyarrow as pa

    from perennial.lake.schemas import REQUESTS

    request_id = f"{partition.key}:{reason}"
    earlier = [row for row in load_all(use_case) if row["partition"] <= partition.key]
    for row in earlier:
        if row["request_id"] == request_id:
            is_repeated = json.loads(row["evidence"]).get("partition") == evidence.get("partition")
            return bool(row["made_by"] == made_by and is_repeated)
    if held_back_by(use_case, partition, reason, ((row["partition"], row["reason"]) for row in earlier)) is not None:
        return False
    row = {
        "partition": partition.key,
        "request_id": request_id,
        "reason": reason,
        "evidence": json.dumps(evidence, sort_keys=True, default=str),
        "made_by": made_by,
        "recorded_at": datetime.now(UTC),
    }
    appended = lake.append_missing(
        use_case.tables.requests, pa.Table.from_pylist([row], schema=REQUESTS), key=("request_id",)
    )
    return appended.num_rows == 1


def load_all(use_case: UseCase) -> list[dict[str, Any]]:
    """All requests, oldest partition first."""
    rows = lake.records(use_case.tables.requests)
    return sorted(rows, key=lambda row: (row["partition"], row["recorded_at"]))


def open_requests(use_case: UseCase) -> list[dict[str, Any]]:
    """The requests whose partition no model has seen that the gate decided on, oldest partition first.

    The gate's decision to try a model on live requests counts; a rollback answers none.
    """
    return open_among(use_case, load_all(use_case), ledger.entries(use_case))


def open_among(use_case: UseCase, requests: Iterable[_Row], entries: Iterable[Entry]) -> list[_Row]:
    """The open ones among requests, as `open_requests`.

    Args:
        use_case: Whose requests they are.
        requests: Rows of the table `requests`.
        entries: The ledger's.
    """
    handling = (entry for entry in entries if entry.action in ledger.HANDLING)
    newest = max((use_case.cadence.partition(entry.partition) for entry in handling), default=None)
    return [row for row in requests if newest is None or use_case.cadence.partition(row["partition"]) > newest]


def held_back_by(use_case: UseCase, partition: Partition, reason: str, made: Iterable[tuple[str, str]]) -> str | None:
    """The newest partition whose request holds one back, by the cool-down; None: no request does.

    An alarm is not held back by a request of routine: that one asked because the time had come, before anything had
    happened, and the alarm tells that something has.

    Args:
        use_case: Whose cool-down.
        partition: What is to be requested for.
        reason: Why.
        made: Partition and reason of each request that was made; those for later partitions don't count.
    """
    earliest = partition
    for _ in range(use_case.retraining.cooldown):
        earliest = earliest.previous
    # Names of partitions sort like their starts.
    within = (
        earlier
        for earlier, why in made
        if earlier == partition.key
        or (earliest.key <= earlier < partition.key and (reason in ROUTINE or why not in ROUTINE))
    )
    return max(within, default=None)
