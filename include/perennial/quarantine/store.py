"""What ingestion writes to quarantine: refused rows, refused batches, and what it found about earlier decisions.

Everything is appended. `item` is what a row or a batch is known by: a digest of its content, so that the same row
refused again is the same item.
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
from perennial.quarantine.states import Action
from perennial.registry import provenance
from perennial.use_case import RawTable, UseCase

_ITEM = 16


@dataclass(frozen=True)
class Decision:
    """What holds for an item: its newest decision."""

    partition: str
    table: str
    item: str
    number: int
    action: Action
    accepted: frozenset[str]  #: what it may break: names of expectations, `min_rows`, `max_quarantined`
    content: str
    position: int | None  #: of a row in its content; None for a batch
    suite: str
    actor: str
    reason: str
    recorded_at: datetime


def decisions(use_case: UseCase, partition: Partition | None = None) -> dict[tuple[str, str, str], Decision]:
    """What holds: (partition, table, item) -> decision; of all partitions without one."""
    between = (partition.key, partition.key) if partition else None
    rows = lake.records(use_case.tables.quarantine_decisions, between=between)
    rows.sort(key=lambda row: row["number"])
    return {
        (row["partition"], row["table"], row["item"]): Decision(
            **{**row, "accepted": frozenset(json.loads(row["accepted"]))}
        )
        for row in rows
    }


def decide(
    use_case: UseCase,
    partition: Partition,
    action: Action,
    items: Iterable[Mapping[str, Any]],
    *,
    actor: str,
    reason: str,
    accepted: Iterable[str] = (),
) -> int:
    """Append a decision on each item that it changes something for; return how many those are.

    The caller holds the partition's lock.

    Args:
        use_case, partition: Whose items.
        action: What is decided.
        items: Each with `table`, `item`, `content`, `position` and `suite`.
        actor, reason: Who decides, and why.
        accepted: What it may break.
    """
    held = decisions(use_case, partition)
    allowed = json.dumps(sorted(accepted))
    rows = []
    for item in items:
        before = held.get((partition.key, item["table"], item["item"]))
        same = before is not None and before.action == action and json.dumps(sorted(before.accepted)) == allowed
        if not same:
            row = {name: item[name] for name in ("table", "item", "content", "position", "suite")}
            row |= {"partition": partition.key, "number": before.number + 1 if before else 1, "action": action}
            row |= {"accepted": allowed, "actor": actor, "reason": reason, "recorded_at": datetime.now(UTC)}
            rows.append(row)
    if rows:
        lake.append_missing(
            use_case.tables.quarantine_decisions,
            pa.Table.from_pylist(rows, schema=QUARANTINE_DECISIONS),
            key=("table", "item", "number"),
        )
    return len(rows)


def identify(rows: pa.Table) -> tuple[pa.Array, list[str]]:
    """Each row as JSON for people, and what it is known by: equal rows of one table are numbered."""
    if not rows.num_rows:
        return pa.array([], pa.string()), []
    with open_session(rows=rows) as connection:
        shown = fetch_table(connection, "SELECT to_json(__row__)::VARCHAR AS row FROM rows AS __row__")["row"]
    seen: dict[str, int] = {}
    items = []
    for row in shown.to_pylist():
        digest = hashlib.sha256(row.encode()).hexdigest()[:_ITEM]
        seen[digest] = seen.get(digest, 0) + 1
        items.append(digest if seen[digest] == 1 else f"{digest}.{seen[digest]}")
    return shown.combine_chunks(), items


def keep_rows(
    use_case: UseCase, table: RawTable, partition: Partition, refused: pa.Table, reasons: pa.Array, suite: str
) -> str | None:
    """Keep refused rows; return the refusal's name, None without any. The same refusal is kept once."""
    if not refused.num_rows:
        return None
    name = files.put(use_case, refused)
    why = hashlib.sha256("\n".join([name, suite, *reasons.to_pylist()]).encode())
    refusal = why.hexdigest()[:_ITEM]
    shown, items = identify(refused)
    count = refused.num_rows
    rows = pa.table(
        {
            "partition": pa.repeat(partition.key, count),
            "table": pa.repeat(table.name, count),
            "refusal": pa.repeat(refusal, count),
            "row_id": pa.array(items, pa.string()),
            "content": pa.repeat(name, count),
            "position": pa.array(np.arange(count, dtype=np.int64)),
            "row": shown,
            "reasons": reasons,
            "suite": pa.repeat(suite, count),
            "code_version": pa.repeat(provenance.code_version(), count),
            "recorded_at": pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")), count),
        }
    ).select(QUARANTINE.names)
    lake.append_missing(use_case.tables.quarantine, rows, key=("table", "refusal", "position"))
    return refusal


def keep_batch(
    use_case: UseCase,
    table: RawTable,
    partition: Partition,
    rows: pa.Table,
    broken: Mapping[str, str],
    suite: str,
) -> str:
    """Keep a batch that is refused as a whole; return what it is known by.

    The same content is kept once; again once another batch has entered in between.
    """
    name = files.put(use_case, rows)
    item = batch_item(use_case, table, partition, name)
    row = {
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
        pa.Table.from_pylist([row], schema=REFUSED_BATCHES),
        key=("table", "batch", "suite", "reasons"),
    )
    return item


def batch_item(use_case: UseCase, table: RawTable, partition: Partition, name: str) -> str:
    """What the batch of content `name` is known by now: numbered anew each time that another one took its place."""
    held = decisions(use_case, partition)
    number = 1
    item = name[:_ITEM]
    while (decision := held.get((partition.key, table.name, item))) and decision.action == "superseded":
        number += 1
        item = f"{name[:_ITEM]}.{number}"
    return item


def refused_batches(use_case: UseCase, partition: Partition | None = None) -> list[dict[str, Any]]:
    """Batches refused as a whole, each as it was judged last, oldest first."""
    between = (partition.key, partition.key) if partition else None
    rows = lake.records(use_case.tables.refused_batches, between=between)
    rows.sort(key=lambda row: row["recorded_at"])
    return list({(row["partition"], row["table"], row["batch"]): row for row in rows}.values())


def supersede(use_case: UseCase, table: RawTable, partition: Partition) -> None:
    """A batch that arrived has entered: those refused before wait no longer, and none that was released stands in."""
    held = decisions(use_case, partition)
    open_session = []
    for row in refused_batches(use_case, partition):
        decision = held.get((partition.key, row["table"], row["batch"]))
        closed = decision is not None and decision.action in ("discarded", "superseded")
        if row["table"] == table.name and not closed:
            open_session.append({**row, "item": row["batch"], "position": None})
    if open_session:
        decide(use_case, partition, "superseded", open_session, actor="ingest", reason="Another batch has entered.")
