"""What a parity check found: as data, as a table, and as an error that says how to mend it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.errors import ParityBroken
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.feature_store.parity.served import Difference

#: The tag of a feature view that promises how far behind its newest values may be.
FRESHNESS = "freshness"
#: How many differences an error and a record name.
SHOWN = 5


@dataclass(frozen=True)
class ViewParity:
    """One feature view: what was compared, and what did not agree."""

    view: str
    keys: int  #: entities (or predictions) compared
    until: datetime | None = None  #: the end of what was materialized, exclusive; None: nothing was
    newest: datetime | None = None  #: the newest event time among them
    promise: timedelta | None = None  #: how far before the end of what is online `newest` may be; None: not judged
    stale: bool = False
    corrected: int = 0  #: logged values that the lake holds otherwise by now, though they were right then
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Parity:
    """A use case's feature views held against the lake."""

    use_case: str
    partition: str | None
    views: tuple[ViewParity, ...]
    logged: bool = False  #: what scoring kept was compared, not what is online

    @property
    def holds(self) -> bool:
        return not any(view.stale or view.differences for view in self.views)

    def as_json(self) -> dict[str, Any]:
        return {"holds": self.holds, **plain(asdict(self))}


def insist(use_case: UseCase, found: Parity) -> None:
    """Raise ParityBroken, which says how to mend it, unless parity holds."""
    if found.holds:
        return
    lines = problems(use_case, found)
    more = f"\n  ... and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    differs = any(view.differences for view in found.views)
    wrong = "is not what the lake holds" if differs else "is older than it is promised to be"
    raise ParityBroken(
        f"Use case {use_case.name!r}: what is {'logged' if found.logged else 'online'} {wrong}.\n  "
        + "\n  ".join(lines[:SHOWN])
        + more,
        _fix(use_case, found),
    )


def problems(use_case: UseCase, found: Parity) -> list[str]:
    """Each difference and each broken promise in a line."""
    side = "logged" if found.logged else "online"
    lines = [
        f"{one.view}, {_key(one)}, {one.feature}: {side} {one.served!r} (of {_moment(one.served_time)}),"
        f" offline {one.offline!r} (of {_moment(one.offline_time)}), at {_moment(one.at)}"
        for view in found.views
        for one in view.differences
    ]
    return lines + [
        f"{view.view}: its newest values are of {_moment(view.newest)}, more than {view.promise} before the end of what"
        f" is online; it was brought there until {_moment(view.until)}."
        for view in found.views
        if view.stale
    ]


def table(found: Parity) -> Table:
    """The views as a table for a terminal."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    drawn.add_column("view")
    for heading in ("compared", "differences", "corrected\nsince" if found.logged else "newest"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("" if found.logged else "fresh")
    for view in found.views:
        differences = f"[red]{len(view.differences)}[/]" if view.differences else "0"
        last = str(view.corrected) if found.logged else _moment(view.newest)
        fresh = "[red]no[/]" if view.stale else "yes"
        drawn.add_row(view.view, str(view.keys), differences, last, "" if found.logged else fresh)
    return drawn


def _fix(use_case: UseCase, found: Parity) -> str:
    """Run the partitions that hold what is missing; what the lake no longer holds needs another online store."""
    differences = [one for view in found.views for one in view.differences]
    if found.logged:
        return (
            "These predictions cannot be explained by the lake they name: see who wrote to `predictions` or changed it."
        )
    stale = [view.view for view in found.views if view.stale]
    steps = []
    newer_online = [one for one in differences if _is_newer_online(one)]
    times = {one.offline_time for one in differences if one.offline_time and one not in newer_online}
    if times:
        keys = sorted({use_case.cadence.at(time).key for time in times})
        steps.append(
            f"Bring {_some(keys)} online again: `perennial trigger {use_case.name} features --partition {keys[0]}`."
        )
    if newer_online:
        steps.append("The lake no longer holds what is online: rebuild the online store, see docs/operations.md.")
    if stale:
        steps.append(
            f"See why {_some(stale)} got no newer rows, or promise less by the tag {FRESHNESS!r} in feature_repo/."
        )
    return " ".join(steps)


def _is_newer_online(one: Difference) -> bool:
    """A value never gives way to an older one: bringing the lake's online again would change nothing."""
    return one.served_time is not None and (one.offline_time is None or one.served_time > one.offline_time)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _key(one: Difference) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in one.key.items()) or "its only entity"


def _moment(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else "no time"


def plain(value: Any) -> Any:
    """`value` in JSON's own types: times in ISO 8601, spans in seconds, what JSON lacks (NaN) as Python shows it."""
    match value:
        case Mapping():
            return {str(key): plain(held) for key, held in value.items()}
        case list() | tuple():
            return [plain(held) for held in value]
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
    return repr(value)
