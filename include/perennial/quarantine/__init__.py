"""Rows and batches that were refused: kept whole, with a way back.

Quarantine is append-only. What waits in it follows from its records: rows of the refusal that the partition's batch
names, and batches after which no other has entered, about which nobody has decided.

- `states`: what state an item is in, from records alone (light to import: `perennial status` counts by it);
- `files` and `keeping`: what ingestion writes; `waiting`: what is there; `shares`: how much of it is usual;
- `releasing`, which people use, and `returning`, which ingestion does: what judges again, and needs Great Expectations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.quarantine.files import content
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

__getattr__ = attributes_of(
    __name__,
    {
        ".files": ("content",),
        ".store": ("Decision", "decide", "decisions", "keep_batch", "keep_rows", "refused_batches", "supersede"),
        ".locking": ("lock",),
        ".shares": ("Share", "share"),
        ".states": ("Action", "State"),
        ".pending": ("Item", "find", "items"),
    },
)
