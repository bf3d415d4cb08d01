"""Quarantine: the raw rows and batches that failed validation, stored whole, and the way back into the lake.

Quarantine is append-only. What is pending review follows from its records: rows that the current batch of a partition
quarantined, and rejected batches after which no other has entered, about which nobody has decided.

- `states`: the state of an item, from records alone;
- `files` and `store`: what ingestion writes, and people's decisions; `items`: what is there, with its state; `display`
  shows it; `summary`: how much of a partition's raw tables, why, and where to review it; `shares`: how much of a
  partition was quarantined, and how much of the earlier ones;
- `review`: people release or discard items; `readmission`: ingestion puts released rows among a batch's clean ones.
  Both validate again, and need Great Expectations. `locking` lets one of them at a time work on a partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.quarantine.files import content
    from perennial.quarantine.items import QuarantinedItem, find_items, list_items
    from perennial.quarantine.locking import lock, lock_unplaced
    from perennial.quarantine.shares import QuarantineShare, share
    from perennial.quarantine.states import ItemState, ReviewAction
    from perennial.quarantine.store import (
        ReviewDecision,
        decisions,
        record_decisions,
        rejected_batches,
        store_batch,
        store_rows,
        supersede_batches,
        unreadable_elsewhere,
    )

__all__ = [
    "ItemState",
    "QuarantineShare",
    "QuarantinedItem",
    "ReviewAction",
    "ReviewDecision",
    "content",
    "decisions",
    "find_items",
    "list_items",
    "lock",
    "lock_unplaced",
    "record_decisions",
    "rejected_batches",
    "share",
    "store_batch",
    "store_rows",
    "supersede_batches",
    "unreadable_elsewhere",
]

__getattr__ = attributes_of(
    __name__,
    {
        ".files": ("content",),
        ".items": ("QuarantinedItem", "find_items", "list_items"),
        ".locking": ("lock", "lock_unplaced"),
        ".shares": ("QuarantineShare", "share"),
        ".states": ("ItemState", "ReviewAction"),
        ".store": (
            "ReviewDecision",
            "decisions",
            "record_decisions",
            "rejected_batches",
            "store_batch",
            "store_rows",
            "supersede_batches",
            "unreadable_elsewhere",
        ),
    },
)
