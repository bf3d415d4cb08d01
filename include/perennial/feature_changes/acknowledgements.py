"""What a change says itself that it destroys on purpose: `feature_repo/acknowledged.toml`, reviewed with the change.

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
from perennial.feature_changes.differences import FIELD_MAPPING, JOINING, NONE, Change, age
from perennial.feature_changes.sides import Definitions

FILE = "acknowledged.toml"
_FIELDS = {"object", "change", "reason"}


@dataclass(frozen=True)
class Acknowledgement:
    """One entry of the file."""

    object: str
    change: str
    reason: str


@dataclass(frozen=True)
class Matched:
    """How a change and its acknowledgements fit.

    Attributes:
        given: Destructive change -> why it is wanted.
        missing: Destructive changes that nobody acknowledged.
        spent: Entries whose change has been applied already.
        stale: Entry -> why it fits nothing.
    """

    given: tuple[tuple[Change, str], ...]
    missing: tuple[Change, ...]
    spent: tuple[Acknowledgement, ...]
    stale: tuple[tuple[Acknowledgement, str], ...]


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
            f"feature_repo/{FILE} is not TOML: {error}", "Mend it; `perennial plan` shows entries."
        ) from error
    entries = content.pop("destroys", [])
    if content or not isinstance(entries, list):
        raise BadFeatures(
            f"feature_repo/{FILE} may hold [[destroys]] tables only, not {', '.join(map(repr, content)) or 'a value'}.",
            "See the how-to on changing features.",
        )
    found = [_entry(number, entry) for number, entry in enumerate(entries, 1)]
    for number, entry in enumerate(found):
        if (entry.object, entry.change) in {(other.object, other.change) for other in found[:number]}:
            raise BadFeatures(f"feature_repo/{FILE} names {entry.object!r}, {entry.change!r}, twice.", "Delete one.")
    return found


def _entry(number: int, given: Any) -> Acknowledgement:
    place = f"feature_repo/{FILE}, entry {number}"
    fields = given if isinstance(given, dict) else {}
    if set(fields) != _FIELDS:
        absent, unknown = sorted(_FIELDS - set(fields)), sorted(set(fields) - _FIELDS)
        said = f"has no {', '.join(absent)}" if absent else f"has an unknown field {', '.join(unknown)}"
        raise BadFeatures(f"{place}, {said}.", "An entry has object, change and reason.")
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise BadFeatures(f"{place}: {name} is empty or not a text.", "Say why, for whoever reads it later.")
    return Acknowledgement(**fields)


def match(
    changes: Iterable[Change], entries: Sequence[Acknowledgement], now: Definitions, wanted: Definitions
) -> Matched:
    """Hold entries against the destructive changes; `now` is what is registered, `wanted` what is written."""
    by_name = {(entry.object, entry.change): entry for entry in entries}
    destructive = [change for change in changes if change.danger]
    given = [
        (change, by_name[key].reason) for change in destructive if (key := (change.object, change.what)) in by_name
    ]
    fitting = {(change.object, change.what) for change, _ in given}
    left = [entry for entry in entries if (entry.object, entry.change) not in fitting]
    missing = tuple(change for change in destructive if (change.object, change.what) not in fitting)
    spent = tuple(entry for entry in left if _is_done(entry, now, wanted))
    return Matched(
        given=tuple(given),
        missing=missing,
        spent=spent,
        stale=tuple((entry, _why(entry, missing)) for entry in left if entry not in spent),
    )


def _why(entry: Acknowledgement, missing: Sequence[Change]) -> str:
    words = [f"{change.object}: {change.what}" for change in missing]
    close = get_close_matches(f"{entry.object}: {entry.change}", words, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else "nothing of that kind is to be destroyed"


def _is_done(entry: Acknowledgement, now: Definitions, wanted: Definitions) -> bool:
    """Whether what the entry names is already so on both sides: it was applied, or never was otherwise."""
    return all(_holds(entry, side) for side in ((now, wanted) if now.exists else (wanted,)))


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
