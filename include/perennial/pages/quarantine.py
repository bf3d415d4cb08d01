"""The page of what was refused of a partition: rows and batches, why, and how to decide about them."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from perennial.pages.access import PartitionDep, UseCaseDep
from perennial.pages.layout import page
from perennial.partitions import Partition
from perennial.quarantine.items import QuarantinedItem, list_items
from perennial.quarantine.states import TYPES, ItemState
from perennial.use_case import UseCase

router = APIRouter()

#: Items on one page.
PAGE = 100
#: A person decides about what waits, and may take back what was released.
_RELEASABLE = (ItemState.PENDING,)
_DISCARDABLE = (ItemState.PENDING, ItemState.RELEASING, ItemState.RELEASED)


@router.get("/use_cases/{use_case}/partitions/{partition}/quarantine")
def show(
    request: Request,
    use_case: UseCaseDep,
    partition: PartitionDep,
    table: str = "",
    state: str = "",
    number: Annotated[str, Query(alias="page")] = "1",
) -> HTMLResponse:
    """What was refused of a partition: all of it, of one raw table, or what is in one state; a hundred at a time."""
    items = list_items(use_case, partition, None)
    try:
        return page(request, "quarantine", **view(use_case, partition, items, table, state, number))
    except LookupError as error:
        raise HTTPException(404, str(error)) from error


def view(
    use_case: UseCase,
    partition: Partition,
    items: Sequence[QuarantinedItem],
    table: str = "",
    state: str = "",
    number: str = "1",
) -> dict[str, Any]:
    """What the page shows.

    Args:
        items: All items of the partition, in any state.
        table: Only of this raw table; empty: of all.
        state: Only in this state; empty: in any.
        number: Which hundred of them, from 1 on.

    Raises:
        LookupError: there is no such table, state or page.
    """
    tables = [raw.name for raw in use_case.raw]
    if table and table not in tables:
        raise LookupError(f"{use_case.name} has no raw table {table!r}; it has {', '.join(tables)}.")
    if state and state not in list(ItemState):
        raise LookupError(f"No item is ever in the state {state!r}; there are {', '.join(ItemState)}.")
    chosen = [item for item in items if table in ("", item.table) and state in ("", item.state)]
    # What each choice of one filter would show while the other stays.
    of_state = [item.table for item in items if state in ("", item.state)]
    of_table = [item.state for item in items if table in ("", item.table)]
    pages = max(1, -(-len(chosen) // PAGE))
    at = int(number) if number.isascii() and number.isdigit() and len(number) < 9 else 0
    if not 1 <= at <= pages:
        raise LookupError(f"There is no page {number!r} of these; there are {pages}.")
    return {
        "use_case": use_case,
        "partition": partition,
        "total": len(items),
        "found": len(chosen),
        "items": [_item(use_case, item) for item in chosen[(at - 1) * PAGE : at * PAGE]],
        "tables": _choices("table", tables, Counter(of_state), table=table, state=state),
        "states": _choices("state", list(ItemState), Counter(of_table), table=table, state=state),
        "first": (at - 1) * PAGE + 1,
        "page": at,
        "pages": pages,
        "earlier": _query(table=table, state=state, page=at - 1) if at > 1 else None,
        "later": _query(table=table, state=state, page=at + 1) if at < pages else None,
        "commands": _commands(use_case, partition, table, chosen),
    }


def _choices(name: str, values: Sequence[str], counts: Counter[str], **chosen: str) -> list[dict[str, Any]]:
    """The values of a filter that something has: how many, whether it is chosen, and the query that chooses it."""
    held = [value for value in values if counts[value] or chosen[name] == value]
    return [
        {
            "value": value or "all",
            "label": ItemState(value).label if name == "state" and value else value or "all",
            "count": counts[value] if value else sum(counts.values()),
            "chosen": chosen[name] == value,
            "query": _query(**{**chosen, name: value}),
        }
        for value in ["", *held]
    ]


def _query(**names: Any) -> str:
    return "?" + urlencode({name: value for name, value in names.items() if value})


def _item(use_case: UseCase, item: QuarantinedItem) -> dict[str, Any]:
    where = f"{use_case.name} --partition {item.partition} --item {shlex.quote(item.item)}"
    accepting = " ".join(f"--accept {shlex.quote(reason)}" for reason in item.reasons)
    commands = []
    if item.state in _RELEASABLE:
        release = f"perennial quarantine release {where}"
        commands.append(("Let it in, if it passes the present suite", f'{release} --reason "..."'))
        if TYPES not in item.reasons:
            commands.append(("Let it in although it breaks these", f'{release} {accepting} --reason "..."'))
    if item.state in _DISCARDABLE:
        what = "Say that it is rightly refused" if item.state in _RELEASABLE else "Take it back"
        commands.append((what, f'perennial quarantine discard {where} --reason "..."'))
    return {"item": item, "content": _content(item), "commands": commands}


def _content(item: QuarantinedItem) -> list[tuple[str, str]] | None:
    """A refused row, column by column; None of a batch, or where it is no object."""
    if item.kind != "row":
        return None
    row = json.loads(item.detail)
    if not isinstance(row, dict):
        return [("row", item.detail)]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in row.items()
    ]


def _commands(
    use_case: UseCase, partition: Partition, table: str, chosen: Sequence[QuarantinedItem]
) -> list[tuple[str, str]]:
    """What a person may do about all that waits here: what it does, and the command."""
    if not any(item.state == ItemState.PENDING for item in chosen):
        return []
    where = f"{use_case.name} --partition {partition.key}{f' --table {table}' if table else ''}"
    return [
        (
            "Judge all that waits again by the present suite, and let in what passes",
            f'perennial quarantine release {where} --reason "..."',
        ),
        ("See first what would be let in", f"perennial quarantine release {where} --dry-run"),
        (
            "Say that all that waits is rightly refused; it is kept",
            f'perennial quarantine discard {where} --reason "..."',
        ),
    ]
