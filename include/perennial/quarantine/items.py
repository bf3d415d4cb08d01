"""Lists what is in quarantine, rows and rejected batches, each with its state and its newest decision."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from perennial import lake
from perennial.errors import InvalidParams
from perennial.partitions import Partition
from perennial.quarantine.states import (
    ItemState,
    Key,
    batch_state,
    current_refusals,
    has_content,
    is_current,
    row_state,
)
from perennial.quarantine.store import ReviewDecision, decisions, rejected_batches
from perennial.use_case import UseCase

_PENDING = (ItemState.PENDING,)


@dataclass(frozen=True)
class QuarantinedItem:
    """A quarantined row, or a batch rejected as a whole.

    Attributes:
        item: Its name.
        reasons: What it breaks: names of expectations, `min_rows` or `max_quarantined`.
        rows: How many rows it has.
        suite: Digest of the suite.
        content: The file that holds it.
        position: Of a row in its file; None for a batch.
        detail: A row as JSON; of a batch the messages about what it breaks.
        recorded_at: Processing time.
        decision: The newest decision about it.
    """

    partition: str
    table: str
    item: str
    kind: Literal["row", "batch"]
    state: ItemState
    reasons: tuple[str, ...]
    rows: int
    suite: str
    code_version: str
    content: str
    position: int | None
    detail: str
    recorded_at: datetime
    decision: ReviewDecision | None


def list_items(
    use_case: UseCase, partition: Partition | None = None, states: Collection[ItemState] | None = _PENDING
) -> list[QuarantinedItem]:
    """Items, by partition, table and time.

    Args:
        use_case: The use case.
        partition: Only of this partition; None: of all.
        states: Only those in one of these states; None: in any.
    """
    newest = decisions(use_case, partition)
    items = [*_rows(use_case, partition, newest), *_batches(use_case, partition, newest)]
    items = [item for item in items if states is None or item.state in states]
    return sorted(items, key=lambda item: (item.partition, item.table, item.kind, item.recorded_at, item.position or 0))


def find_items(
    use_case: UseCase,
    partition: Partition,
    *,
    table: str | None = None,
    named: Sequence[str] = (),
    states: Collection[ItemState] | None = _PENDING,
) -> list[QuarantinedItem]:
    """Items of a partition: all of them, those of a table, or those named.

    Args:
        use_case: The use case.
        partition: The partition of the items.
        table: Only of this raw table.
        named: Names of items, or as much of the beginning as identifies one.
        states: Only those in one of these states; None: in any.

    Raises:
        InvalidParams: there is no such table or item, or a name fits several items.
    """
    raw = [each.name for each in use_case.raw]
    if table is not None and table not in raw:
        raise InvalidParams(f"{use_case.name} has no raw table {table!r}.", f"Its raw tables: {', '.join(raw)}.")
    items = [item for item in list_items(use_case, partition, states) if table in (None, item.table)]
    if not named:
        return items
    chosen: dict[str, QuarantinedItem] = {}
    for name in named:
        fitting = [item for item in items if item.item == name] or [i for i in items if i.item.startswith(name)]
        if len(fitting) != 1:
            of = f"of {use_case.name} {partition.key}"
            of += "" if states is None else f" ({' or '.join(each.label for each in states)})"
            raise InvalidParams(
                f"{len(fitting)} items {of} have names that begin with {name!r}."
                if fitting
                else f"No item {of} is named {name!r}.",
                f"`perennial quarantine list {use_case.name} --partition {partition.key} --all` names them.",
            )
        chosen[fitting[0].item] = fitting[0]
    return list(chosen.values())


def _rows(
    use_case: UseCase, partition: Partition | None, newest: Mapping[Key, ReviewDecision]
) -> list[QuarantinedItem]:
    between = (partition.key, partition.key) if partition else None
    refusals = current_refusals(lake.records(use_case.tables.batches, between=between))
    rows = [row for row in lake.records(use_case.tables.quarantine, between=between) if has_content(row)]
    # Of equal rows the one of the current batch counts, else the one quarantined last.
    rows.sort(key=lambda row: (is_current(row, refusals), row["recorded_at"]))
    items = []
    for key, row in {(row["partition"], row["table"], row["row_id"]): row for row in rows}.items():
        decision = newest.get(key)
        items.append(
            QuarantinedItem(
                kind="row",
                item=row["row_id"],
                state=row_state(decision.action if decision else None, is_current(row, refusals)),
                reasons=tuple(row["reasons"].split("; ")),
                rows=1,
                position=row["position"],
                detail=row["row"],
                decision=decision,
                **_common(row),
            )
        )
    return items


def _batches(
    use_case: UseCase, partition: Partition | None, newest: Mapping[Key, ReviewDecision]
) -> list[QuarantinedItem]:
    items = []
    for row in rejected_batches(use_case, partition):
        decision = newest.get((row["partition"], row["table"], row["batch"]))
        items.append(
            QuarantinedItem(
                kind="batch",
                item=row["batch"],
                state=batch_state(decision.action if decision else None),
                reasons=tuple(json.loads(row["reasons"])),
                rows=row["rows"],
                position=None,
                detail=row["message"],
                decision=decision,
                **_common(row),
            )
        )
    return items


def _common(row: dict[str, Any]) -> dict[str, Any]:
    names = ("partition", "table", "suite", "code_version", "content", "recorded_at")
    return {name: row[name] for name in names}
