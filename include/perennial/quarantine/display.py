"""Rows and batches in quarantine as people and programs read them: a table, a count, JSON. Light to import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.quarantine.pending import Item


def count(items: list[Item]) -> str:
    """How many rows, and how many batches."""
    rows = sum(item.kind == "row" for item in items)
    batches = len(items) - rows
    return f"{rows} rows" + (f" and {batches} batch{'es' if batches > 1 else ''}" if batches else "")


def as_json(item: Item) -> dict[str, Any]:
    """An item with all that is known of it; times are left as they are."""
    from dataclasses import asdict

    told = asdict(item)
    if item.kind == "row":
        told["told"] = json.loads(item.told)
    if item.decision:
        told["decision"]["accepted"] = sorted(item.decision.accepted)
    return told


def table(items: list[Item]) -> Table:
    """Items that are alike in one line."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("partition", "table", "kind", "state"):
        drawn.add_column(heading, no_wrap=True)
    drawn.add_column("rows", justify="right", no_wrap=True)
    drawn.add_column("breaks", overflow="fold")
    drawn.add_column("for instance", no_wrap=True)
    alike: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        own = item.item if item.kind == "batch" else ""
        key = (item.partition, item.table, item.kind, item.state, "\n".join(item.reasons), own)
        alike.setdefault(key, []).append(item)
    for (partition, table, kind, state, reasons, _), some in alike.items():
        drawn.add_row(partition, table, kind, state, f"{sum(each.rows for each in some):,}", reasons, some[0].item)
    return drawn
