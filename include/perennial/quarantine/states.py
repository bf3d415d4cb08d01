"""The state of each quarantined row and rejected batch, from records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ReviewAction(StrEnum):
    """What was decided about an item; the values are stored in the lake."""

    RELEASED = "released"
    DISCARDED = "discarded"
    #: Another row or batch took its place; recorded by ingestion.
    SUPERSEDED = "superseded"
    #: It was released and still breaks something; recorded by ingestion.
    REJECTED_AGAIN = "refused"

    @property
    def label(self) -> str:
        """The word for people."""
        return "rejected again" if self is ReviewAction.REJECTED_AGAIN else str(self)


class ItemState(StrEnum):
    """The state of an item; the values are in JSON and in addresses of pages."""

    PENDING = "waiting"
    #: Released, and its partition was not run since.
    RELEASING = "releasing"
    RELEASED = "released"
    DISCARDED = "discarded"
    #: Another row or batch took its place, or the source no longer sends it.
    SUPERSEDED = "superseded"

    @property
    def label(self) -> str:
        """The words for people."""
        words = {ItemState.PENDING: "pending review", ItemState.RELEASING: "released, not loaded yet"}
        return words.get(self, str(self))


#: How the name of what a record breaks begins that its source could not read; it can only be discarded.
UNREADABLE = "unreadable("
UNREADABLE_FIX = (
    "it cannot be read as declared: correct it at its source, or how source.py reads it, and run features for the"
    " partition again; or discard it"
)
#: What a batch breaks if the lake's table cannot hold its values without changing them; nobody can accept that.
TYPES = "types"

Row = Mapping[str, Any]
#: (partition, raw table, item): an item is a quarantined row, or a batch rejected as a whole.
Key = tuple[str, str, str]

#: What `count_pending` reads of each table of records.
COLUMNS = {
    "batches": ("partition", "table", "refusal"),
    "quarantine": ("partition", "table", "refusal", "row_id"),
    "refused_batches": ("partition", "table", "batch"),
    "quarantine_decisions": ("partition", "table", "item", "number", "action"),
}


def current_refusals(batches: Iterable[Row]) -> dict[tuple[str, str], str | None]:
    """(partition, raw table) -> the rows that the batch in the lake now left in quarantine, by their common name.

    Args:
        batches: Rows of the lake's table `batches`.
    """
    return {(row["partition"], row["table"]): row.get("refusal") for row in batches}


def has_content(row: Row) -> bool:
    """Whether the content of a row of `quarantine` was stored: older versions of Perennial did not."""
    return bool(row.get("refusal"))


def is_current(row: Row, refusals: Mapping[tuple[str, str], str | None]) -> bool:
    """Whether a row of `quarantine` comes from the batch that is in the lake now.

    Args:
        row: The row.
        refusals: As `current_refusals` gives them.
    """
    return refusals.get((row["partition"], row["table"])) == row["refusal"]


def row_state(action: str | None, current: bool) -> ItemState:
    """The state of a quarantined row.

    Args:
        action: The last decision about it; None without any.
        current: Whether it comes from the batch that is in the lake now.
    """
    if action == ReviewAction.DISCARDED:
        return ItemState.DISCARDED
    if action == ReviewAction.RELEASED:
        return ItemState.RELEASING if current else ItemState.RELEASED
    return ItemState.PENDING if current or action == ReviewAction.REJECTED_AGAIN else ItemState.SUPERSEDED


def batch_state(action: str | None) -> ItemState:
    """The state of a rejected batch about which `action` was decided last; None: nothing yet."""
    return ItemState.PENDING if action in (None, ReviewAction.REJECTED_AGAIN) else ItemState(action)


@dataclass(frozen=True)
class ItemStates:
    """The state of every row whose content is stored, and of every rejected batch.

    Attributes:
        current: The rows that come from the batch that is in the lake now.
    """

    rows: Mapping[Key, ItemState]
    batches: Mapping[Key, ItemState]
    current: frozenset[Key]


def item_states(records: Mapping[str, Iterable[Row]]) -> ItemStates:
    """The state of each item.

    Args:
        records: The rows of each table in `COLUMNS`, with at least those columns.
    """
    refusals = current_refusals(records["batches"])
    decided: dict[Key, str] = {
        (row["partition"], row["table"], row["item"]): row["action"]
        for row in sorted(records["quarantine_decisions"], key=lambda row: row["number"])
    }
    current: dict[Key, bool] = {}
    for row in records["quarantine"]:
        if has_content(row):
            key = (row["partition"], row["table"], row["row_id"])
            current[key] = current.get(key, False) or is_current(row, refusals)
    batches = {(row["partition"], row["table"], row["batch"]) for row in records["refused_batches"]}
    return ItemStates(
        rows={key: row_state(decided.get(key), is_now) for key, is_now in current.items()},
        batches={key: batch_state(decided.get(key)) for key in batches},
        current=frozenset(key for key, is_now in current.items() if is_now),
    )


def count_pending(records: Mapping[str, Iterable[Row]]) -> Counter[str]:
    """How many rows and batches of each partition are pending review.

    Args:
        records: The rows of each table in `COLUMNS`, with at least those columns.
    """
    found = item_states(records)
    return Counter(
        partition
        for items in (found.rows, found.batches)
        for (partition, _, _), state in items.items()
        if state == ItemState.PENDING
    )
