"""The result of a consistency check: as data, as a table for a terminal, and as an error that says what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.errors import OnlineOfflineMismatch
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.feature_store.parity.comparison import Difference

#: The tag of a feature view that says how far behind its newest values may be.
FRESHNESS = "freshness"
#: How many differences an error and a record name.
SHOWN = 5


@dataclass(frozen=True)
class ViewConsistency:
    """One feature view: what was compared, and what differs.

    Attributes:
        view: Its name.
        keys: Entities, or predictions, compared.
        until: The end of what was materialized, exclusive, UTC; None: nothing was.
        newest: The newest event time among the compared rows.
        freshness: How far before the end of what is online `newest` may be; None: not checked.
        stale: Whether `newest` is older than that.
        corrected: Logged values that the lake holds differently by now, though they were right then.
        differences: What differs.
    """

    view: str
    keys: int
    until: datetime | None = None
    newest: datetime | None = None
    freshness: timedelta | None = None
    stale: bool = False
    corrected: int = 0
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class ConsistencyReport:
    """A use case's feature views compared with the lake.

    Attributes:
        use_case: Its name.
        partition: Whose entities or predictions were compared; None: of any.
        views: One result a view.
        logged: Whether what scoring stored was compared, not what is online.
    """

    use_case: str
    partition: str | None
    views: tuple[ViewConsistency, ...]
    logged: bool = False

    @property
    def is_consistent(self) -> bool:
        """Whether nothing differs and nothing is stale."""
        return not any(view.stale or view.differences for view in self.views)

    def as_json(self) -> dict[str, Any]:
        """The report in JSON's own types, by the names that scripts know."""
        content = plain(asdict(self))
        for view in content["views"]:
            view["promise"] = view.pop("freshness")
        return {"holds": self.is_consistent, **content}


def raise_if_inconsistent(use_case: UseCase, report: ConsistencyReport) -> None:
    """Raise an error that says what to do, unless all is consistent.

    Args:
        use_case: Whose report.
        report: The report.

    Raises:
        OnlineOfflineMismatch: something differs, or a view is stale.
    """
    if report.is_consistent:
        return
    lines = problems(report)
    more = f"\n  ... and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    differs = any(view.differences for view in report.views)
    problem = "differs from the lake" if differs else "is older than its feature views declare"
    raise OnlineOfflineMismatch(
        f"Use case {use_case.name!r}: what is {'logged' if report.logged else 'online'} {problem}.\n  "
        + "\n  ".join(lines[:SHOWN])
        + more,
        _fix(use_case, report),
    )


def problems(report: ConsistencyReport) -> list[str]:
    """Each difference and each stale view in a line."""
    side = "logged" if report.logged else "online"
    lines = [
        f"{difference.view}, {_key(difference)}, {difference.feature}:"
        f" {side} {difference.served!r} (of {_time(difference.served_time)}),"
        f" offline {difference.offline!r} (of {_time(difference.offline_time)}), at {_time(difference.at)}"
        for view in report.views
        for difference in view.differences
    ]
    return lines + [
        f"{view.view}: its newest values are of {_time(view.newest)}, more than {view.freshness} before the end of what"
        f" is online; it was materialized until {_time(view.until)}."
        for view in report.views
        if view.stale
    ]


def table(report: ConsistencyReport) -> Table:
    """The views as a table for a terminal."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    drawn.add_column("view")
    for heading in ("compared", "differences", "corrected\nsince" if report.logged else "newest"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("" if report.logged else "fresh")
    for view in report.views:
        differences = f"[red]{len(view.differences)}[/]" if view.differences else "0"
        last = str(view.corrected) if report.logged else _time(view.newest)
        fresh = "[red]no[/]" if view.stale else "yes"
        drawn.add_row(view.view, str(view.keys), differences, last, "" if report.logged else fresh)
    return drawn


def _fix(use_case: UseCase, report: ConsistencyReport) -> str:
    """Run the partitions with what is missing online; what is gone from the lake needs a new online store."""
    if report.logged:
        return (
            "These predictions cannot be explained by the lake they name: see who wrote to `predictions` or changed it."
        )
    differences = [difference for view in report.views for difference in view.differences]
    stale = [view.view for view in report.views if view.stale]
    steps = []
    newer_online = [difference for difference in differences if _is_newer_online(difference)]
    times = {
        difference.offline_time
        for difference in differences
        if difference.offline_time and difference not in newer_online
    }
    if times:
        keys = sorted({use_case.cadence.at(time).key for time in times})
        steps.append(
            f"Bring {_some(keys)} online again: `perennial trigger {use_case.name} features --partition {keys[0]}`."
        )
    if newer_online:
        steps.append("The lake no longer holds what is online: rebuild the online store, see docs/operations.md.")
    if stale:
        steps.append(
            f"See why {_some(stale)} got no newer rows, or allow older ones by the tag {FRESHNESS!r} in feature_repo/."
        )
    return " ".join(steps)


def _is_newer_online(difference: Difference) -> bool:
    """An older value never replaces a newer one: bringing the lake's online again would change nothing."""
    served, offline = difference.served_time, difference.offline_time
    return served is not None and (offline is None or served > offline)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _key(difference: Difference) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in difference.key.items()) or "its only entity"


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else "no time"


def plain(value: Any) -> Any:
    """A value in JSON's types: times in ISO 8601, durations in seconds, what JSON lacks (NaN) as Python shows it."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
    return repr(value)
