"""What a person asks first of a use case, in one object: who serves, how well, on how fresh data, and what waits.

Everything is read from records; what no record tells is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from perennial import lake_cache
from perennial.errors import PerennialError
from perennial.gate import decision
from perennial.monitoring.verdict import ALARM, PERFORMANCE, VerdictEvidence
from perennial.registry import deployments, ledger
from perennial.registry.deployments import DeploymentPeriod
from perennial.registry.ledger import Entry
from perennial.reporting import partition_status
from perennial.reporting.partition_status import PartitionStatus, Records, UseCaseStatus
from perennial.use_case import UseCase, gain

#: Partitions behind the clock are counted so far.
MANY = 99
#: What is read of each use case beside what its status needs.
_MORE = ("parity",)
TABLES = (*partition_status.TABLES, *_MORE)


@dataclass(frozen=True)
class Live:
    """The newest partition with enough labels to judge on.

    Attributes:
        version: Which scored it.
        value: The gate's metric on it.
        promised: The same metric on the holdout of that version's gate.
        better: By how much it is better than promised, whichever way the metric goes; below 0: worse.
        too_bad: Its verdict calls it an alarm of performance.
    """

    partition: str
    version: int
    value: float
    promised: float | None
    better: float | None
    too_bad: bool


@dataclass(frozen=True)
class Judged:
    """The newest partition that the monitor judged.

    Attributes:
        coverage: Share of its predictions that have a label; None: nothing was predicted.
        drifted: The columns that drifted, what matters most to the champion first.
    """

    partition: str
    version: int | None
    verdict: str
    reason: str
    explanation: str
    coverage: float | None
    drifted: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class Arrived:
    """The newest partition that entered the lake.

    Attributes:
        refused: Share of its rows that are quarantined.
        behind: How many later partitions have ended by now and are not in, up to `MANY`; None: no later one exists.
    """

    partition: str
    refused: float | None
    behind: int | None = 0


@dataclass(frozen=True)
class Online:
    """What the newest check of the online store found.

    Attributes:
        newest: The newest event time served, of all views.
        until: The end of what was online then, event time.
        stale: The views that were older than they promise.
        different: Values that were not what the lake gives for the same moment.
    """

    newest: datetime | None
    until: datetime | None
    stale: tuple[str, ...]
    different: int


@dataclass(frozen=True)
class Overview:
    """A use case at a glance; `serving` is the present champion's deployment."""

    use_case: UseCase
    status: UseCaseStatus
    serving: DeploymentPeriod | None = None
    live: Live | None = None
    judged: Judged | None = None
    arrived: Arrived | None = None
    online: Online | None = None
    problem: str = ""  #: why nothing can be read
    fix: str = ""  #: what to do about it


#: Use case -> the stamps of its tables, and what was computed from them.
_known: dict[str, tuple[tuple[str | None, ...], Overview]] = {}
_changing = Lock()


def overviews(use_cases: Sequence[UseCase]) -> list[Overview]:
    """Each use case at a glance; those whose records have not changed since the last time are not computed again.

    What cannot be read has a `problem`; this raises nothing.
    """
    stamps = _stamps(use_cases)
    with _changing:
        known = {use_case.name: _known.get(use_case.name) for use_case in use_cases}
    found = {
        use_case.name: held[1]
        for use_case in use_cases
        if (held := known[use_case.name]) and held[0] == stamps.get(use_case.name) and held[1].use_case is use_case
    }
    changed = [use_case for use_case in use_cases if use_case.name not in found]
    for use_case, rows in zip(changed, partition_status.records(changed, _MORE) if changed else [], strict=True):
        if isinstance(rows, PerennialError):
            found[use_case.name] = Overview(
                use_case, partition_status.unknown(use_case, rows), problem=rows.problem, fix=rows.fix
            )
            continue
        found[use_case.name] = of_records(use_case, rows)
        if use_case.name in stamps:
            with _changing:
                _known[use_case.name] = stamps[use_case.name], found[use_case.name]
    now = datetime.now(UTC)
    return [_at(now, found[use_case.name]) for use_case in use_cases]


def _stamps(use_cases: Sequence[UseCase]) -> dict[str, tuple[str | None, ...]]:
    """What changes whenever one of a use case's tables does; empty where the lake is out of reach."""
    names = {use_case.name: [use_case.tables[table] for table in TABLES] for use_case in use_cases}
    try:
        stamps = lake_cache.metadata_locations([table for tables in names.values() for table in tables])
    except PerennialError:
        return {}
    return {name: tuple(map(stamps.get, tables)) for name, tables in names.items()}


def of_records(use_case: UseCase, rows: Records) -> Overview:
    """A use case whose records are these, as `status.records` gives them with `parity`."""
    state = partition_status.of_records(use_case, rows)
    entries = ledger.from_rows(rows["ledger"])
    served = deployments.periods(entries)
    verdicts = sorted(rows["verdicts"], key=lambda row: (row["partition"], row["recorded_at"]))
    batches = [one for one in state.partitions if one.rows is not None]
    return Overview(
        use_case,
        state,
        serving=served[-1] if served else None,
        live=_live(use_case, state, promises(use_case, entries), verdicts),
        judged=_judged(verdicts[-1]) if verdicts else None,
        arrived=_arrived(batches[-1]) if batches else None,
        online=_online(rows["parity"]),
    )


def promises(use_case: UseCase, entries: Sequence[Entry]) -> dict[int, float]:
    """The gate's metric of each version that was judged, on the holdout that it was judged on."""
    judged = {
        entry.model_version: decision.expected_metrics(entry).get(use_case.gate.metric)
        for entry in entries
        if entry.action in ledger.DECISIONS
    }
    return {version: promised for version, promised in judged.items() if promised is not None}


def _live(
    use_case: UseCase, state: UseCaseStatus, promised: Mapping[int, float], verdicts: Sequence[Mapping[str, Any]]
) -> Live | None:
    newest = next((one for one in reversed(state.partitions) if one.metric is not None), None)
    if newest is None or newest.metric is None or newest.champion is None:
        return None
    promise = promised.get(newest.champion)
    gained = None if promise is None else gain(use_case.gate.metric, newest.metric, promise)
    verdict: Mapping[str, Any] = next((row for row in reversed(verdicts) if row["partition"] == newest.partition), {})
    too_bad = verdict.get("verdict") == ALARM and PERFORMANCE in VerdictEvidence.from_json(verdict["evidence"]).alarms
    return Live(newest.partition, newest.champion, newest.metric, promise, gained, too_bad)


def _judged(row: Mapping[str, Any]) -> Judged:
    drifted = VerdictEvidence.from_json(row["evidence"]).drifted
    return Judged(
        row["partition"],
        row["model_version"],
        row["verdict"],
        row["reason"] or "",
        row["explanation"] or "",
        row["label_coverage"] if row["model_version"] else None,
        tuple(sorted(drifted, key=lambda column: -(drifted[column].importance or 0))),
        row["recorded_at"],
    )


def _arrived(newest: PartitionStatus) -> Arrived:
    refused, kept = newest.quarantined or 0, newest.rows or 0
    return Arrived(newest.partition, refused / (refused + kept) if refused + kept else None)


def _online(parity: Sequence[Mapping[str, Any]]) -> Online | None:
    """The newest check: of the partition that reached farthest, each view's newest row."""
    if not parity:
        return None
    newest = {row["view"]: row for row in sorted(parity, key=lambda row: (row["partition"], row["recorded_at"]))}
    last = max(row["partition"] for row in newest.values())
    views = [row for row in newest.values() if row["partition"] == last]
    return Online(
        newest=max((row["newest"] for row in views if row["newest"]), default=None),
        until=max((row["until"] for row in views if row["until"]), default=None),
        stale=tuple(sorted(row["view"] for row in views if row["stale"])),
        different=sum(row["differences"] for row in views),
    )


def _at(now: datetime, found: Overview) -> Overview:
    """What depends on the clock: pauses end, and partitions fall due."""
    state, arrived = found.status, found.arrived
    if state.pause and state.pause.until and state.pause.until <= now:
        state = replace(state, pause=None)
    if arrived:
        arrived = replace(arrived, behind=_behind(found.use_case, arrived.partition, now))
    return replace(found, status=state, arrived=arrived)


def _behind(use_case: UseCase, newest: str, now: datetime) -> int | None:
    end = use_case.cadence.partition(use_case.end) if use_case.end else None
    following = use_case.cadence.partition(newest).next
    if end and following >= end:
        return None
    due = 0
    while following.end <= now and due < MANY and not (end and following >= end):
        due, following = due + 1, following.next
    return due
