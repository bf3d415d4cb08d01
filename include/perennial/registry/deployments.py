"""Which version served when, read from the ledger.

Two times: `since` and `until` say when it was the champion, `effective_from` and `effective_until` which part of event
time it predicts. Each deployment ends, in both, where the next begins: there are no gaps and no overlaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from perennial import lake_cache
from perennial.registry import ledger
from perennial.registry.ledger import Entry, Pause
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "–"


@dataclass(frozen=True)
class DeploymentPeriod:
    """One deployment of one version; half-open intervals, UTC.

    Attributes:
        since, until: Processing time in which it was the champion; until None: it still is.
        effective_from, effective_until: Event time; it predicts the partitions that begin in there. Equal: none,
            because another version took its place before a partition came.
        how: `promoted` or `rolled-back`.
        by: `gate`, or a person's name.
    """

    version: int
    since: datetime
    until: datetime | None
    effective_from: datetime
    effective_until: datetime | None
    how: str
    by: str
    reason: str
    model_run: str


@dataclass(frozen=True)
class DeploymentHistory:
    """All deployments of a use case, oldest first, and the pause of automatic promotion that holds now."""

    name: str
    served: tuple[DeploymentPeriod, ...]
    pause: Pause | None

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; times as ISO 8601."""
        return json_ready(asdict(self))


def history(use_case: UseCase) -> DeploymentHistory:
    """The history of a use case.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    table = use_case.tables.ledger
    entries = ledger.from_rows(lake_cache.records([table])[table])
    return DeploymentHistory(use_case.name, tuple(periods(entries)), ledger.pause_among(entries, datetime.now(UTC)))


def periods(entries: Iterable[Entry]) -> list[DeploymentPeriod]:
    """The deployments that `entries` tell of, oldest first."""
    deployed = ledger.deployments(entries)
    return [
        DeploymentPeriod(
            version=entry.model_version,
            since=entry.recorded_at,
            until=following.entry.recorded_at if following else None,
            effective_from=start,
            effective_until=following.start if following else None,
            how=entry.action,
            by=entry.actor,
            reason=entry.reason,
            model_run=entry.model_run,
        )
        for (start, entry), following in zip_longest(deployed, deployed[1:])
    ]


def as_table(use_case: UseCase, history: DeploymentHistory) -> Table:
    """The deployments as a table for a terminal.

    Args:
        use_case: Gives the title, and the cadence that the partitions are named by.
        history: The use case's own history.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(
        box=box.SIMPLE_HEAD,
        title=f"{use_case.title} ({use_case.name}): who served when, UTC",
        title_justify="left",
        pad_edge=False,
        show_edge=False,
    )
    for heading in ("version", "since", "until", "partitions", "how", "by"):
        drawn.add_column(heading, no_wrap=True)
    drawn.add_column("why")
    for deployment in history.served:
        drawn.add_row(
            f"v{deployment.version}",
            format_utc(deployment.since),
            format_utc(deployment.until) if deployment.until else "now",
            partitions_served(use_case, deployment),
            deployment.how.replace("-", " "),
            escape(deployment.by),
            escape(deployment.reason),
        )
    return drawn


def partitions_served(use_case: UseCase, deployment: DeploymentPeriod) -> str:
    """The partitions that a version predicts: `2013-03..2013-06`, or `2013-07 on`.

    Args:
        use_case: Its cadence cuts event time into partitions.
        deployment: Its `effective_from` and `effective_until` count; a partition belongs to it if it begins in between.

    Returns:
        `NOTHING` if no partition begins in between.
    """
    at = use_case.cadence.at(deployment.effective_from)
    first = at if at.start == deployment.effective_from else at.next
    if deployment.effective_until is None:
        return f"{first.key} on"
    if first.start >= deployment.effective_until:
        return NOTHING
    last = use_case.cadence.at(deployment.effective_until)
    last = last.previous if last.start == deployment.effective_until else last
    return first.key if first == last else f"{first.key}..{last.key}"


def pause_text(pause: Pause) -> str:
    """What is paused, until when, and who wanted it."""
    until = f"until {format_utc(pause.until)} UTC" if pause.until else "until a person resumes it"
    return f"automatic promotion, {until}, since {format_utc(pause.since)} UTC by {pause.by}: {pause.reason}"


def format_utc(moment: datetime) -> str:
    """A moment for people, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def json_ready(value: Any) -> Any:
    """Dictionaries, lists and values with moments as ISO 8601."""
    if isinstance(value, dict):
        return {name: json_ready(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
