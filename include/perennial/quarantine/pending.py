"""What is in quarantine, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from perennial import lake
from perennial.errors import InvalidParams
from perennial.partitions import Partition
from perennial.quarantine.states import State, is_current, may_return, of_batch, of_row, refusals
from perennial.quarantine.store import Decision, decisions, refused_batches
from perennial.use_case import UseCase

_WAITING: tuple[State, ...] = ("waiting",)


@dataclass(frozen=True)
class Item:
    """A refused row, or a batch refused as a whole."""

    partition: str
    table: str
    item: str  #: what it is known by
    kind: Literal["row", "batch"]
    state: State
    reasons: tuple[str, ...]  #: expectations that it breaks, `min_rows` or `max_quarantined`
    rows: int
    suite: str
    code_version: str
    content: str
    position: int | None
    told: str  #: the row as JSON, or what was wrong with the batch in a sentence
    recorded_at: datetime
    decision: Decision | None


def items(
    use_case: UseCase, partition: Partition | None = None, states: Collection[State] | None = _WAITING
) -> list[Item]:
    """Items in one of `states` (None: in any), by partition, table and time; of all partitions without one."""
    held = decisions(use_case, partition)
    found = [*_rows(use_case, partition, held), *_batches(use_case, partition, held)]
    found = [item for item in found if states is None or item.state in states]
    return sorted(found, key=lambda item: (item.partition, item.table, item.kind, item.recorded_at, item.position or 0))


def find(
    use_case: UseCase,
    partition: Partition,
    *,
    table: str | None = None,
    named: Sequence[str] = (),
    states: Collection[State] | None = _WAITING,
) -> list[Item]:
    """The items of a partition that somebody means: all of them, those of a table, or those named.

    Args:
        use_case, partition: Whose items.
        table: Only of this raw table.
        named: What they are known by; so much of its beginning as no other has is enough.
        states: Only those in one of these states.

    Raises:
        InvalidParams: there is no such table or item, or a name means several.
    """
    known = [raw.name for raw in use_case.raw]
    if table is not None and table not in known:
        raise InvalidParams(f"{use_case.name} has no raw table {table!r}.", f"Known: {', '.join(known)}.")
    found = [item for item in items(use_case, partition, states) if table in (None, item.table)]
    if not named:
        return found
    chosen: dict[str, Item] = {}
    for name in named:
        meant = [item for item in found if item.item == name] or [item for item in found if item.item.startswith(name)]
        if len(meant) != 1:
            what = "No item" if not meant else f"{len(meant)} items"
            state = "" if states is None else f" {' or '.join(states)}"
            raise InvalidParams(
                f"{what} of {use_case.name} {partition.key}{state} is called {name!r}.",
                f"`perennial quarantine list {use_case.name} --partition {partition.key} --all` names them.",
            )
        chosen[meant[0].item] = meant[0]
    return list(chosen.values())


def _rows(use_case: UseCase, partition: Partition | None, held: dict[tuple[str, str, str], Decision]) -> list[Item]:
    between = (partition.key, partition.key) if partition else None
    batches = lake.records(use_case.tables.batches, between=between)
    held_back = refusals(batches)
    rows = [row for row in lake.records(use_case.tables.quarantine, between=between) if may_return(row)]
    rows.sort(key=lambda row: (is_current(row, held_back), row["recorded_at"]))
    found = []
    for row in {(row["partition"], row["table"], row["row_id"]): row for row in rows}.values():
        decision = held.get((row["partition"], row["table"], row["row_id"]))
        found.append(
            Item(
                kind="row",
                item=row["row_id"],
                state=of_row(decision.action if decision else None, is_current(row, held_back)),
                reasons=tuple(row["reasons"].split("; ")),
                rows=1,
                position=row["position"],
                told=row["row"],
                decision=decision,
                **_common(row),
            )
        )
    return found


def _batches(use_case: UseCase, partition: Partition | None, held: dict[tuple[str, str, str], Decision]) -> list[Item]:
    found = []
    for row in refused_batches(use_case, partition):
        decision = held.get((row["partition"], row["table"], row["batch"]))
        found.append(
            Item(
                kind="batch",
                item=row["batch"],
                state=of_batch(decision.action if decision else None),
                reasons=tuple(json.loads(row["reasons"])),
                rows=row["rows"],
                position=None,
                told=row["message"],
                decision=decision,
                **_common(row),
            )
        )
    return found


def _common(row: dict[str, Any]) -> dict[str, Any]:
    names = ("partition", "table", "suite", "code_version", "content", "recorded_at")
    return {name: row[name] for name in names}
