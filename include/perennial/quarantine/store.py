"""Records quarantined rows, rejected batches, and the decisions about them; nothing of it is ever changed.

`item` names a row or a batch: a digest of its content, so that the same row quarantined again is the same item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from perennial import lake
from perennial._common.duckdb_session import fetch_table, open_session
from perennial.lake.schemas import QUARANTINE, QUARANTINE_DECISIONS, REFUSED_BATCHES
from perennial.partitions import Partition
from perennial.quarantine import files
from perennial.quarantine.states import Key, ReviewAction, current_refusals, has_content, is_current
from perennial.registry import provenance
from perennial.use_case import RawTable, UseCase

#: How many hexadecimal digits of a digest name an item.
_DIGITS = 16


@dataclass(frozen=True)
class ReviewDecision:
    """The newest decision about an item, a row of the lake's table `quarantine_decisions`.

    Attributes:
        item: The item's name.
        number: Of the item's decisions, from 1 on.
        accepted: What the item may break: names of expectations, `min_rows`, `max_quarantined`.
        content: The file that holds the item.
        position: Of a row in its file; None for a batch.
        suite: Digest of the suite that the item broke.
        recorded_at: Processing time.
    """

    partition: str
    table: str
    item: str
    number: int
    action: ReviewAction
    accepted: frozenset[str]
    content: str
    position: int | None
    suite: str
    actor: str
    reason: str
    recorded_at: datetime


def decisions(use_case: UseCase, partition: Partition | None = None) -> dict[Key, ReviewDecision]:
    """(partition, raw table, item) -> the newest decision about it.

    Args:
        use_case: The use case.
        partition: Only of this partition; None: of all.
    """
    between = (partition.key, partition.key) if partition else None
    rows = lake.records(use_case.tables.quarantine_decisions, between=between)
    rows.sort(key=lambda row: row["number"])
    newest = {(row["partition"], row["table"], row["item"]): row for row in rows}
    return {
        key: ReviewDecision(
            **row | {"action": ReviewAction(row["action"]), "accepted": frozenset(json.loads(row["accepted"]))}
        )
        for key, row in newest.items()
    }


def record_decisions(
    use_case: UseCase,
    partition: Partition,
    action: ReviewAction,
    items: Iterable[Mapping[str, Any]],
    *,
    actor: str,
    reason: str,
    accepted: Iterable[str] = (),
) -> int:
    """Append a decision about each item for which it changes something; return how many those are.

    The caller holds the partition's lock.

    Args:
        use_case: The use case.
        partition: The partition of the items.
        action: What is decided.
        items: Each with `table`, `item`, `content`, `position` and `suite`.
        actor: Who decides.
        reason: Why.
        accepted: What the items may break: names of expectations, `min_rows`, `max_quarantined`.
    """
    newest = decisions(use_case, partition)
    allowed = json.dumps(sorted(accepted))
    rows = []
    for item in items:
        before = newest.get((partition.key, item["table"], item["item"]))
        same = before is not None and before.action == action and json.dumps(sorted(before.accepted)) == allowed
        if not same:
            row = {name: item[name] for name in ("table", "item", "content", "position", "suite")}
            row |= {"partition": partition.key, "number": before.number + 1 if before else 1, "action": str(action)}
            row |= {"accepted": allowed, "actor": actor, "reason": reason, "recorded_at": datetime.now(UTC)}
            rows.append(row)
    if rows:
        lake.append_missing(
            use_case.tables.quarantine_decisions,
            pa.Table.from_pylist(rows, schema=QUARANTINE_DECISIONS),
            key=("table", "item", "number"),
        )
    return len(rows)


def identify_rows(rows: pa.Table) -> tuple[pa.Array, list[str]]:
    """Each row as JSON, and its item's name: a digest of that, numbered where rows are equal."""
    if not rows.num_rows:
        return pa.array([], pa.string()), []
    with open_session(rows=rows) as connection:
        shown = fetch_table(connection, "SELECT to_json(__row__)::VARCHAR AS row FROM rows AS __row__")["row"]
    seen: dict[str, int] = {}
    items = []
    for row in shown.to_pylist():
        digest = hashlib.sha256(row.encode()).hexdigest()[:_DIGITS]
        seen[digest] = seen.get(digest, 0) + 1
        items.append(digest if seen[digest] == 1 else f"{digest}.{seen[digest]}")
    return shown.combine_chunks(), items


def store_rows(
    use_case: UseCase,
    table: RawTable,
    partition: Partition,
    rows: pa.Table,
    reasons: pa.Array,
    suite: str,
    unreadable: pa.Table | None = None,
) -> str | None:
    """Store the quarantined rows of a batch; the same rows with the same reasons are stored once.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        partition: The partition that it is for.
        rows: The quarantined rows, as they came.
        reasons: What each breaks: names of expectations, separated by `; `.
        suite: Digest of the suite.
        unreadable: The records that could not be read (schema `perennial.batches.UNREADABLE`); None: there are none.

    Returns:
        The common name of the rows, `refusal` in the lake's tables; None without any.
    """
    parts = [(rows, reasons)]
    if unreadable is not None:
        parts.append((unreadable, unreadable["reason"].combine_chunks()))
    parts = [part for part in parts if part[0].num_rows]
    if not parts:
        return None
    contents = [files.save(use_case, part) for part, _ in parts]
    digest = hashlib.sha256()
    for name, (_, why) in zip(contents, parts, strict=True):
        digest.update("\n".join([name, suite, *why.to_pylist()]).encode())
    refusal = digest.hexdigest()[:_DIGITS]
    records = pa.concat_tables(
        _records(table, partition, part, why, {"refusal": refusal, "content": name, "suite": suite})
        for name, (part, why) in zip(contents, parts, strict=True)
    )
    lake.append_missing(use_case.tables.quarantine, records, key=("table", "refusal", "content", "position"))
    return refusal


def _records(
    table: RawTable, partition: Partition, rows: pa.Table, reasons: pa.Array, fixed: Mapping[str, str]
) -> pa.Table:
    """Rows of the lake's table `quarantine`, about the rows of one file of content."""
    shown, items = identify_rows(rows)
    count = rows.num_rows
    return pa.table(
        {
            "partition": pa.repeat(partition.key, count),
            "table": pa.repeat(table.name, count),
            "row_id": pa.array(items, pa.string()),
            "position": pa.array(np.arange(count, dtype=np.int64)),
            "row": shown,
            "reasons": reasons,
            "code_version": pa.repeat(provenance.code_version(), count),
            "recorded_at": pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")), count),
            **{name: pa.repeat(value, count) for name, value in fixed.items()},
        }
    ).select(QUARANTINE.names)


def unreadable_elsewhere(use_case: UseCase, table: RawTable, partition: Partition, unreadable: pa.Table) -> pa.Array:
    """Which unreadable records another partition keeps already, of those that are not placed (bool).

    Args:
        use_case: The use case.
        table: The raw table.
        partition: The partition that meets them now.
        unreadable: The records (schema `perennial.batches.UNREADABLE`).
    """
    _, items = identify_rows(unreadable)
    refusals = current_refusals(lake.records(use_case.tables.batches))
    kept = {
        row["row_id"]
        for row in lake.records(use_case.tables.quarantine, columns=("partition", "table", "refusal", "row_id"))
        if row["table"] == table.name
        and row["partition"] != partition.key
        and has_content(row)
        and is_current(row, refusals)
    }
    is_placed = unreadable["is_placed"].to_pylist()
    return pa.array([not placed and item in kept for placed, item in zip(is_placed, items, strict=True)], pa.bool_())


def store_batch(
    use_case: UseCase,
    table: RawTable,
    partition: Partition,
    rows: pa.Table,
    broken: Mapping[str, str],
    suite: str,
) -> str:
    """Store a batch that is rejected as a whole; return its item's name.

    The same content is stored once, and once more after another batch has entered in between.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        partition: The partition that it is for.
        rows: The batch, as it came.
        broken: What it breaks, each with a message.
        suite: Digest of the suite.
    """
    name = files.save(use_case, rows)
    item = _batch_item(use_case, table, partition, name)
    record = {
        "partition": partition.key,
        "table": table.name,
        "batch": item,
        "content": name,
        "rows": rows.num_rows,
        "reasons": json.dumps(list(broken)),
        "message": "; ".join(broken.values()),
        "suite": suite,
        "code_version": provenance.code_version(),
        "recorded_at": datetime.now(UTC),
    }
    lake.append_missing(
        use_case.tables.refused_batches,
        pa.Table.from_pylist([record], schema=REFUSED_BATCHES),
        key=("table", "batch", "suite", "reasons"),
    )
    return item


def _batch_item(use_case: UseCase, table: RawTable, partition: Partition, name: str) -> str:
    """The item that the batch in file `name` is now: another one each time that a batch took its place."""
    newest = decisions(use_case, partition)
    number = 1
    item = name[:_DIGITS]
    while (decision := newest.get((partition.key, table.name, item))) and decision.action == ReviewAction.SUPERSEDED:
        number += 1
        item = f"{name[:_DIGITS]}.{number}"
    return item


def rejected_batches(use_case: UseCase, partition: Partition | None = None) -> list[dict[str, Any]]:
    """Batches rejected as a whole, each as it was validated last, oldest first.

    Args:
        use_case: The use case.
        partition: Only of this partition; None: of all.

    Returns:
        Rows of the lake's table `refused_batches`.
    """
    between = (partition.key, partition.key) if partition else None
    rows = lake.records(use_case.tables.refused_batches, between=between)
    rows.sort(key=lambda row: row["recorded_at"])
    return list({(row["partition"], row["table"], row["batch"]): row for row in rows}.values())


def supersede_batches(use_case: UseCase, table: RawTable, partition: Partition) -> None:
    """Record that a batch has entered: earlier rejected ones are no longer pending, nor do released ones replace it.

    Args:
        use_case: The use case.
        table: The raw table that the batch entered.
        partition: The partition that it is for.
    """
    newest = decisions(use_case, partition)
    superseded = []
    for row in rejected_batches(use_case, partition):
        decision = newest.get((partition.key, row["table"], row["batch"]))
        is_closed = decision is not None and decision.action in (ReviewAction.DISCARDED, ReviewAction.SUPERSEDED)
        if row["table"] == table.name and not is_closed:
            superseded.append({**row, "item": row["batch"], "position": None})
    if superseded:
        record_decisions(
            use_case,
            partition,
            ReviewAction.SUPERSEDED,
            superseded,
            actor="ingest",
            reason="Another batch has entered.",
        )
