"""What state an item of the quarantine is in, from records alone. Light to import: `perennial status` counts by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Action = Literal["released", "discarded", "superseded", "refused"]
#: `releasing`: released, and its partition was not run since. `superseded`: another row or batch took its place, or the
#: source no longer sends it.
State = Literal["waiting", "releasing", "released", "discarded", "superseded"]

#: What a batch breaks whose values the lake's table would turn into others; nobody can accept that.
TYPES = "types"

Row = Mapping[str, Any]
#: (partition, raw table, item): an item is a refused row, or a batch refused as a whole.
Key = tuple[str, str, str]

#: What `waiting` reads of each table of records.
COLUMNS = {
    "batches": ("partition", "table", "refusal"),
    "quarantine": ("partition", "table", "refusal", "row_id"),
    "refused_batches": ("partition", "table", "batch"),
    "quarantine_decisions": ("partition", "table", "item", "number", "action"),
}


def refusals(batches: Iterable[Row]) -> dict[tuple[str, str], str | None]:
    """(partition, table) -> what is refused of the batch that is in the lake now; from rows of `batches`."""
    return {(row["partition"], row["table"]): row.get("refusal") for row in batches}


def may_return(row: Row) -> bool:
    """Whether the content of a row of `quarantine` was kept: not in a lake from before there were refusals."""
    return bool(row.get("refusal"))


def is_current(row: Row, refusals: Mapping[tuple[str, str], str | None]) -> bool:
    """Whether a row of `quarantine` is refused of the batch that is in the lake now."""
    return refusals.get((row["partition"], row["table"])) == row["refusal"]


def of_row(action: Action | None, current: bool) -> State:
    """The state of a refused row about which `action` was decided last."""
    if action == "discarded":
        return "discarded"
    if action == "released":
        return "releasing" if current else "released"
    return "waiting" if current or action == "refused" else "superseded"


def of_batch(action: Action | None) -> State:
    """The state of a refused batch about which `action` was decided last."""
    return "waiting" if action is None or action == "refused" else action


def waiting(records: Mapping[str, Iterable[Row]]) -> Counter[str]:
    """How many rows and batches of each partition wait for a decision.

    Args:
        records: Of the tables of `COLUMNS` the rows, with at least those columns.
    """
    held = refusals(records["batches"])
    decided: dict[Key, Action] = {
        (row["partition"], row["table"], row["item"]): row["action"]
        for row in sorted(records["quarantine_decisions"], key=lambda row: row["number"])
    }
    current: dict[Key, bool] = {}
    for row in records["quarantine"]:
        if may_return(row):
            key = (row["partition"], row["table"], row["row_id"])
            current[key] = current.get(key, False) or is_current(row, held)
    batches = {(row["partition"], row["table"], row["batch"]) for row in records["refused_batches"]}
    rows = (key for key, is_now in current.items() if of_row(decided.get(key), is_now) == "waiting")
    whole = (key for key in batches if of_batch(decided.get(key)) == "waiting")
    return Counter(partition for keys in (rows, whole) for partition, _, _ in keys)
