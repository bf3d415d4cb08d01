"""Rows and batches that were refused: kept whole, with a way back.

Quarantine is append-only. What waits in it follows from its records: rows of the refusal that the partition's batch
names, and batches after which no other has entered, about which nobody has decided.

- `states`: what state an item is in, from records alone (light to import: `perennial status` counts by it);
- `files` and `keeping`: what ingestion writes; `waiting`: what is there; `shares`: how much of it is usual;
- `releasing`, which people use, and `returning`, which ingestion does: what judges again, and needs Great Expectations.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perennial.quarantine.files import get as content
    from perennial.quarantine.locking import lock
    from perennial.quarantine.pending import Item, find, items
    from perennial.quarantine.shares import Share, share
    from perennial.quarantine.states import Action, State
    from perennial.quarantine.store import (
        Decision,
        decide,
        decisions,
        keep_batch,
        keep_rows,
        refused_batches,
        supersede,
    )

__all__ = [
    "Action",
    "Decision",
    "Item",
    "Share",
    "State",
    "content",
    "decide",
    "decisions",
    "find",
    "items",
    "keep_batch",
    "keep_rows",
    "lock",
    "refused_batches",
    "share",
    "supersede",
]

_ROOMS = {
    "files": ("content",),
    "keeping": ("Decision", "decide", "decisions", "keep_batch", "keep_rows", "refused_batches", "supersede"),
    "locking": ("lock",),
    "shares": ("Share", "share"),
    "states": ("Action", "State"),
    "waiting": ("Item", "find", "items"),
}


def __getattr__(name: str) -> Any:
    """A name of one of the rooms, imported when it is first used: whoever only counts needs no pyiceberg."""
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{room}"), "get" if name == "content" else name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
