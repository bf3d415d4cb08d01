"""The page of a partition's quarantine: rows and batches, why they are there, and the commands that review them."""

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
#: A person reviews what is pending, and may take back a release.
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
    """What was quarantined of a partition: all of it, of one raw table, or in one state; a hundred items at a time.

    Args:
        request: Tells who asks, and where Airflow is mounted.
        use_case: Whose.
        partition: Which.
        table: Only of this raw table; empty: of all.
        state: Only in this state; empty: in any.
        number: Which hundred, from 1 on.

    Raises:
        HTTPException: 404, there is no such table, state or page.
    """
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
        use_case: Whose.
        partition: Which.
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
        raise LookupError(f"There is no state {state!r}; there are {', '.join(ItemState)}.")
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
        "matching": len(chosen),
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
    present = [value for value in values if counts[value] or chosen[name] == value]
    return [
        {
            "value": value or "all",
            "label": ItemState(value).label if name == "state" and value else value or "all",
            "count": counts[value] if value else sum(counts.values()),
            "chosen": chosen[name] == value,
            "query": _query(**{**chosen, name: value}),
        }
        for value in ["", *present]
    ]


def _query(**names: Any) -> str:
    return "?" + urlencode({name: value for name, value in names.items() if value})


def _item(use_case: UseCase, item: QuarantinedItem) -> dict[str, Any]:
    where = f"{use_case.name} --partition {item.partition} --item {shlex.quote(item.item)}"
    accepting = " ".join(f"--accept {shlex.quote(reason)}" for reason in item.reasons)
    commands = []
    if item.state in _RELEASABLE:
        release = f"perennial quarantine release {where}"
        commands.append(("Release it, if it passes the current expectations", f'{release} --reason "..."'))
        if TYPES not in item.reasons:
            commands.append(("Release it although it fails these", f'{release} {accepting} --reason "..."'))
    if item.state in _DISCARDABLE:
        label = "Discard it; it is kept" if item.state in _RELEASABLE else "Take the release back"
        commands.append((label, f'perennial quarantine discard {where} --reason "..."'))
    return {"item": item, "content": _content(item), "commands": commands}


def _content(item: QuarantinedItem) -> list[tuple[str, str]] | None:
    """A quarantined row, column by column; None for a batch."""
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
    """The commands that review all pending items: what each does, and the command."""
    if not any(item.state == ItemState.PENDING for item in chosen):
        return []
    where = f"{use_case.name} --partition {partition.key}{f' --table {table}' if table else ''}"
    return [
        (
            "Validate all pending items again, and release what passes",
            f'perennial quarantine release {where} --reason "..."',
        ),
        ("Preview what would be released", f"perennial quarantine release {where} --dry-run"),
        (
            "Discard all pending items; they are kept",
            f'perennial quarantine discard {where} --reason "..."',
        ),
    ]
