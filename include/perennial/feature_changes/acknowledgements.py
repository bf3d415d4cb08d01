"""Matches destructive changes with their acknowledgements: `feature_repo/acknowledged.toml`, reviewed with the change.

    [[destroys]]
    object = "view flights_plane_facts"
    change = "removed"
    reason = "The register is not delivered any more; no model since v7 asks for it."

An entry fits exactly one destructive change, by the words that `perennial plan` uses. One whose change has been applied
is spent, and may be deleted with the next change; one that fits nothing that is, or was, to be destroyed is an error.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from perennial.errors import BadFeatures
from perennial.feature_changes.definitions import Definitions
from perennial.feature_changes.differences import FIELD_MAPPING, JOINING, NONE, Change, age

FILE = "acknowledged.toml"
_FIELDS = {"object", "change", "reason"}


@dataclass(frozen=True)
class Acknowledgement:
    """One entry of the file."""

    object: str
    change: str
    reason: str


@dataclass(frozen=True)
class AcknowledgementMatch:
    """How a change and its acknowledgements fit.

    Attributes:
        acknowledged: Destructive changes that are acknowledged, each with the reason.
        unacknowledged: Destructive changes that nobody acknowledged.
        spent: Entries whose change has been applied already.
        stale: Entry -> why it fits nothing.
    """

    acknowledged: tuple[tuple[Change, str], ...]
    unacknowledged: tuple[Change, ...]
    spent: tuple[Acknowledgement, ...]
    stale: tuple[tuple[Acknowledgement, str], ...]

    @property
    def reasons(self) -> dict[tuple[str, str], str]:
        """(object, change) -> the reason of its acknowledgement."""
        return {(change.object, change.description): reason for change, reason in self.acknowledged}


def read(folder: Path) -> list[Acknowledgement]:
    """The entries of the file; none without one.

    Raises:
        BadFeatures: it is not TOML, or an entry lacks a field, has another one, or is there twice.
    """
    file = folder / FILE
    if not file.exists():
        return []
    try:
        content = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadFeatures(
            f"feature_repo/{FILE} is not TOML: {error}", "Fix it; `perennial plan` shows entries."
        ) from error
    entries = content.pop("destroys", [])
    if content or not isinstance(entries, list):
        raise BadFeatures(
            f"feature_repo/{FILE} may hold [[destroys]] tables only, not {', '.join(map(repr, content)) or 'a value'}.",
            "See the how-to on changing features.",
        )
    parsed = [_entry(number, entry) for number, entry in enumerate(entries, 1)]
    for number, entry in enumerate(parsed):
        if (entry.object, entry.change) in {(other.object, other.change) for other in parsed[:number]}:
            raise BadFeatures(f"feature_repo/{FILE} names {entry.object!r}, {entry.change!r}, twice.", "Delete one.")
    return parsed


def _entry(number: int, content: Any) -> Acknowledgement:
    place = f"feature_repo/{FILE}, entry {number}"
    fields = content if isinstance(content, dict) else {}
    if set(fields) != _FIELDS:
        missing, unknown = sorted(_FIELDS - set(fields)), sorted(set(fields) - _FIELDS)
        problem = f"has no {', '.join(missing)}" if missing else f"has an unknown field {', '.join(unknown)}"
        raise BadFeatures(f"{place}, {problem}.", "An entry has object, change and reason.")
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise BadFeatures(f"{place}: {name} is empty or not a text.", "Write a text, for whoever reads it later.")
    return Acknowledgement(**fields)


def match(
    changes: Iterable[Change], entries: Sequence[Acknowledgement], before: Definitions, after: Definitions
) -> AcknowledgementMatch:
    """Match the destructive changes with the entries that acknowledge them.

    Args:
        changes: All changes.
        entries: The entries of the file.
        before: The registered definitions.
        after: Those in `feature_repo/`.
    """
    by_name = {(entry.object, entry.change): entry for entry in entries}
    destructive = [change for change in changes if change.destroys]
    fitting = {(change.object, change.description) for change in destructive} & by_name.keys()
    acknowledged = [
        (change, by_name[change.object, change.description].reason)
        for change in destructive
        if (change.object, change.description) in fitting
    ]
    remaining = [entry for entry in entries if (entry.object, entry.change) not in fitting]
    unacknowledged = tuple(change for change in destructive if (change.object, change.description) not in fitting)
    spent = tuple(entry for entry in remaining if _is_done(entry, before, after))
    return AcknowledgementMatch(
        acknowledged=tuple(acknowledged),
        unacknowledged=unacknowledged,
        spent=spent,
        stale=tuple((entry, _why(entry, unacknowledged)) for entry in remaining if entry not in spent),
    )


def _why(entry: Acknowledgement, unacknowledged: Sequence[Change]) -> str:
    words = [f"{change.object}: {change.description}" for change in unacknowledged]
    close = get_close_matches(f"{entry.object}: {entry.change}", words, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else "nothing of that kind is to be destroyed"


def _is_done(entry: Acknowledgement, before: Definitions, after: Definitions) -> bool:
    """Whether what the entry names is already so on both sides: it was applied, or never was otherwise."""
    return all(_holds(entry, side) for side in ((before, after) if before.exists else (after,)))


def _holds(entry: Acknowledgement, side: Definitions) -> bool:
    """Whether one side is as it is after the change that the entry names."""
    kind, _, name = entry.object.partition(" ")
    kinds: dict[str, Mapping[str, Any]] = {"entity": side.entities, "view": side.views, "service": side.services}
    if not name or kind not in kinds:
        return False
    things = kinds[kind]
    if entry.change == "removed":
        return name not in things
    thing = things.get(name)
    if thing is None:
        return False
    if kind == "service" and entry.change.startswith(JOINING):
        values = {f"{JOINING}{view}": thing.joins.get(view, "") for view in thing.features}
        return _is_one_of(entry.change, values)
    if kind == "service":
        lost = entry.change.removeprefix("features ").removeprefix("feature ").removesuffix(" removed").split(", ")
        return entry.change.endswith(" removed") and not set(lost) & set(thing.names)
    if kind == "view" and entry.change.startswith("column ") and entry.change.endswith(" removed"):
        return entry.change.removeprefix("column ").removesuffix(" removed") not in thing.columns
    if kind == "entity":
        values = {"join key": thing.join_key, "value type": thing.value_type}
    else:
        values = {f"column {column}": kind for column, kind in thing.columns.items()}
        values |= {
            "ttl": age(thing.ttl),
            "entities": ", ".join(thing.entities),
            "kind": thing.kind,
            "online": str(thing.online).lower(),
            FIELD_MAPPING: thing.mapped,
        }
    return _is_one_of(entry.change, values)


def _is_one_of(change: str, values: Mapping[str, str]) -> bool:
    """Whether a change leads to a value that is there."""
    head, arrow, after = change.rpartition(" -> ")
    if not arrow:
        return False
    return any(head.startswith(f"{field} ") and (value or NONE) == after for field, value in values.items())
