"""Rows and batches that were refused: kept whole, with a way back.

Quarantine is append-only. What waits in it follows from its records: rows of the refusal that the partition's batch
names, and batches after which no other has entered, about which nobody has decided.

Light to import: what judges rows again, and so needs Great Expectations, is in `releasing` and `returning`.
"""

from perennial.quarantine.files import get as content
from perennial.quarantine.keeping import (
    Action,
    Decision,
    decide,
    decisions,
    keep_batch,
    keep_rows,
    refused_batches,
    supersede,
)
from perennial.quarantine.locking import lock
from perennial.quarantine.shares import Share, share
from perennial.quarantine.waiting import Item, State, find, items

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
