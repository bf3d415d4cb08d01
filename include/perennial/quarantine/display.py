"""Shows quarantined rows and rejected batches as a table, a count or JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.quarantine.items import QuarantinedItem


def count(items: list[QuarantinedItem]) -> str:
    """How many rows, and how many batches."""
    rows = sum(item.kind == "row" for item in items)
    batches = len(items) - rows
    return f"{rows} rows" + (f" and {batches} batch{'es' if batches > 1 else ''}" if batches else "")


def as_json(item: QuarantinedItem) -> dict[str, Any]:
    """An item with its newest decision, ready for JSON except for its times."""
    from dataclasses import asdict

    shown = asdict(item)
    # The name that scripts know it by.
    shown["told"] = json.loads(item.detail) if item.kind == "row" else item.detail
    del shown["detail"]
    if item.decision:
        shown["decision"]["accepted"] = sorted(item.decision.accepted)
    return shown


def table(items: list[QuarantinedItem]) -> Table:
    """A table in which items that are alike share a line."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("partition", "table", "kind", "state"):
        shown.add_column(heading, no_wrap=True)
    shown.add_column("rows", justify="right", no_wrap=True)
    shown.add_column("breaks", overflow="fold")
    shown.add_column("for instance", no_wrap=True)
    groups: dict[tuple[str, ...], list[QuarantinedItem]] = {}
    for item in items:
        own = item.item if item.kind == "batch" else ""
        key = (item.partition, item.table, item.kind, item.state.label, "\n".join(item.reasons), own)
        groups.setdefault(key, []).append(item)
    for (partition, table, kind, state, reasons, _), group in groups.items():
        shown.add_row(partition, table, kind, state, f"{sum(each.rows for each in group):,}", reasons, group[0].item)
    return shown
