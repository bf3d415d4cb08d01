"""The overview of a use case: its champion, production performance, latest verdict and data, read from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from perennial import lake_cache
from perennial.errors import PerennialError
from perennial.monitoring import expectation
from perennial.monitoring.alarms import AlarmState
from perennial.monitoring.verdict import PERFORMANCE, SLICE, VerdictEvidence
from perennial.partitions import Partition
from perennial.registry import deployments, ledger, retraining_requests
from perennial.registry.deployments import DeploymentPeriod
from perennial.registry.ledger import Entry
from perennial.reporting import partition_status
from perennial.reporting.partition_status import PartitionStatus, Records, UseCaseStatus
from perennial.use_case import UseCase
from perennial.use_case.metric_names import gain

#: Overdue partitions are counted up to this many.
MAX_OVERDUE = 99
#: Tables that are read beside those of `partition_status`.
_MORE = ("parity",)
TABLES = (*partition_status.TABLES, *_MORE)


@dataclass(frozen=True)
class ProductionPerformance:
    """The gate's metric on the newest partition that has enough labels.

    Attributes:
        version: The version that scored it.
        value: The metric on it.
        expected: What the verdict expected, by the gate's newest measurement on earlier data; None: it measured none.
        improvement: By how much `value` is better than `expected`, whichever way the metric goes; below 0: worse.
        is_alarm: Whether its verdict is an alarm of performance that is open.
    """

    partition: str
    version: int
    value: float
    expected: float | None
    improvement: float | None
    is_alarm: bool


@dataclass(frozen=True)
class LatestVerdict:
    """The verdict on the newest partition that was monitored.

    Attributes:
        coverage: Share of its predictions that have a label, 0 to 1; None: nothing was predicted.
        drifted: The columns that drifted, the most important to the champion first.
        at: When it was recorded; processing time, UTC.
        alarm: The state of its alarm; None: it is none.
        drift_score: Sum of the drifted columns' feature importance, 0 to 1; None: it was not measured.
    """

    partition: str
    version: int | None
    verdict: str
    reason: str
    explanation: str
    coverage: float | None
    drifted: tuple[str, ...]
    at: datetime
    alarm: AlarmState | None = None
    drift_score: float | None = None


@dataclass(frozen=True)
class LatestBatch:
    """The newest partition in the lake.

    Attributes:
        quarantined: Share of its rows that are quarantined, 0 to 1; None: it has no rows.
        overdue: How many later partitions have ended by now and are not in the lake, up to `MAX_OVERDUE`; None: the
            use case has no later one.
    """

    partition: str
    quarantined: float | None
    overdue: int | None = 0


@dataclass(frozen=True)
class ServedView:
    """What the newest comparison of the online store with the lake found of one feature view.

    Attributes:
        newest: The newest event time served; None: nothing was.
        until: The end of the event time that was published then.
        is_stale: Whether it is older than its freshness allows.
        differences: How many values differed from the lake's for the same moment.
    """

    view: str
    newest: datetime | None
    until: datetime | None
    is_stale: bool
    differences: int


@dataclass(frozen=True)
class OnlineCheck:
    """The newest comparison of the online store with the lake.

    Attributes:
        newest: The newest event time served, of all views.
        until: The end of the event time that was published then.
        stale: The views that were older than their freshness allows.
        differences: How many values differed from the lake's for the same moment.
        views: The same of each view, by name.
    """

    newest: datetime | None
    until: datetime | None
    stale: tuple[str, ...]
    differences: int
    views: tuple[ServedView, ...] = ()


@dataclass(frozen=True)
class Overview:
    """The state of a use case in one object. What no record tells is None.

    Attributes:
        deployment: The current champion's.
        open_requests: How many requests for retraining wait for a model that has seen their partition.
        problem: Why the records cannot be read; empty if they can.
        fix: What to do about that.
    """

    use_case: UseCase
    status: UseCaseStatus
    deployment: DeploymentPeriod | None = None
    performance: ProductionPerformance | None = None
    latest_verdict: LatestVerdict | None = None
    latest_batch: LatestBatch | None = None
    online_check: OnlineCheck | None = None
    open_requests: int | None = None
    problem: str = ""
    fix: str = ""


#: Use case -> the metadata locations of its tables, and what was computed from them.
_cached: dict[str, tuple[tuple[str | None, ...], Overview]] = {}
_lock = Lock()


def overviews(use_cases: Sequence[UseCase]) -> list[Overview]:
    """The overview of each use case; computed again only where the records have changed since the last time.

    A use case whose records cannot be read has a `problem`; this raises nothing.
    """
    locations = _metadata_locations(use_cases)
    with _lock:
        earlier = {use_case.name: _cached.get(use_case.name) for use_case in use_cases}
    current = {
        use_case.name: cached[1]
        for use_case in use_cases
        if (cached := earlier[use_case.name])
        and cached[0] == locations.get(use_case.name)
        and cached[1].use_case is use_case
    }
    changed = [use_case for use_case in use_cases if use_case.name not in current]
    for use_case, rows in zip(changed, partition_status.records(changed, _MORE) if changed else [], strict=True):
        if isinstance(rows, PerennialError):
            unknown = partition_status.unknown(use_case, rows)
            current[use_case.name] = Overview(use_case, unknown, problem=rows.problem, fix=rows.fix)
            continue
        current[use_case.name] = of_records(use_case, rows)
        if use_case.name in locations:
            with _lock:
                _cached[use_case.name] = locations[use_case.name], current[use_case.name]
    now = datetime.now(UTC)
    return [_at(now, current[use_case.name]) for use_case in use_cases]


def _metadata_locations(use_cases: Sequence[UseCase]) -> dict[str, tuple[str | None, ...]]:
    """By use case, what changes whenever one of its tables does; empty where the lake does not answer."""
    names = {use_case.name: [use_case.tables[table] for table in TABLES] for use_case in use_cases}
    try:
        locations = lake_cache.metadata_locations([table for tables in names.values() for table in tables])
    except PerennialError:
        return {}
    return {name: tuple(map(locations.get, tables)) for name, tables in names.items()}


def of_records(use_case: UseCase, rows: Records) -> Overview:
    """The overview of a use case with these records.

    Args:
        use_case: The use case.
        rows: By table, as `partition_status.records` returns them, with `parity`.
    """
    state = partition_status.of_records(use_case, rows)
    entries = ledger.from_rows(rows["ledger"])
    periods = deployments.periods(entries)
    verdicts = sorted(rows["verdicts"], key=lambda row: (row["partition"], row["recorded_at"]))
    batches = [one for one in state.partitions if one.rows is not None]
    return Overview(
        use_case,
        state,
        deployment=periods[-1] if periods else None,
        performance=_performance(use_case, state, entries, verdicts),
        latest_verdict=_latest_verdict(verdicts[-1], state) if verdicts else None,
        latest_batch=_latest_batch(batches[-1]) if batches else None,
        online_check=_online_check(rows["parity"]),
        open_requests=len(retraining_requests.open_among(use_case, rows["requests"], entries)),
    )


def expected_by_partition(
    use_case: UseCase, entries: Sequence[Entry], verdicts: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """By partition, the gate's metric that its newest verdict expected of the version that scored it.

    Args:
        use_case: Whose gate it is.
        entries: The ledger's.
        verdicts: Rows of that table, oldest first. What a record of an older release does not say is what the gate
            measured of the version itself.
    """
    metric = use_case.gate.metric
    last = {row["partition"]: row for row in verdicts}
    found = {}
    for key, row in last.items():
        evidence = VerdictEvidence.from_json(row["evidence"])
        value = evidence.expected if evidence.metric in (None, metric) else None
        if value is None:
            value = expectation.recorded(entries, row["model_version"], evidence).metrics.get(metric)
        if value is not None:
            found[key] = value
    return found


def _performance(
    use_case: UseCase, state: UseCaseStatus, entries: Sequence[Entry], verdicts: Sequence[Mapping[str, Any]]
) -> ProductionPerformance | None:
    newest = next((one for one in reversed(state.partitions) if one.metric is not None), None)
    if newest is None or newest.metric is None or newest.champion is None:
        return None
    its = [row for row in verdicts if row["partition"] == newest.partition]
    expected = expected_by_partition(use_case, entries, its).get(newest.partition)
    if expected is None:
        expected = expectation.recorded(entries, newest.champion, None).metrics.get(use_case.gate.metric)
    improvement = None if expected is None else gain(use_case.gate.metric, newest.metric, expected)
    alarm = newest.alarm
    is_alarm = alarm is not None and alarm.is_open and bool({PERFORMANCE, SLICE} & set(alarm.kinds))
    return ProductionPerformance(newest.partition, newest.champion, newest.metric, expected, improvement, is_alarm)


def _latest_verdict(row: Mapping[str, Any], state: UseCaseStatus) -> LatestVerdict:
    drifted = VerdictEvidence.from_json(row["evidence"]).drifted
    return LatestVerdict(
        row["partition"],
        row["model_version"],
        row["verdict"],
        row["reason"] or "",
        row["explanation"] or "",
        partition_status.label_coverage(row),
        tuple(sorted(drifted, key=lambda column: (-(drifted[column].cost or 0), -(drifted[column].importance or 0)))),
        row["recorded_at"],
        next((one.alarm for one in state.partitions if one.partition == row["partition"]), None),
        row.get("drift_score"),
    )


def _latest_batch(newest: PartitionStatus) -> LatestBatch:
    quarantined, kept = newest.quarantined or 0, newest.rows or 0
    return LatestBatch(newest.partition, quarantined / (quarantined + kept) if quarantined + kept else None)


def _online_check(parity: Sequence[Mapping[str, Any]]) -> OnlineCheck | None:
    """The newest check: of the latest partition, each view's newest row."""
    if not parity:
        return None
    newest = {row["view"]: row for row in sorted(parity, key=lambda row: (row["partition"], row["recorded_at"]))}
    last = max(row["partition"] for row in newest.values())
    views = [row for _, row in sorted(newest.items()) if row["partition"] == last]
    return OnlineCheck(
        newest=max((row["newest"] for row in views if row["newest"]), default=None),
        until=max((row["until"] for row in views if row["until"]), default=None),
        stale=tuple(sorted(row["view"] for row in views if row["stale"])),
        differences=sum(row["differences"] for row in views),
        views=tuple(
            ServedView(row["view"], row["newest"], row["until"], bool(row["stale"]), row["differences"])
            for row in views
        ),
    )


def _at(now: datetime, overview: Overview) -> Overview:
    """The overview at a time: pauses end, and partitions become overdue."""
    state, batch = overview.status, overview.latest_batch
    if state.pause and state.pause.until and state.pause.until <= now:
        state = replace(state, pause=None)
    if batch:
        batch = replace(batch, overdue=_overdue(overview.use_case, batch.partition, now))
    return replace(overview, status=state, latest_batch=batch)


def _overdue(use_case: UseCase, newest: str, now: datetime) -> int | None:
    end = use_case.cadence.partition(use_case.end) if use_case.end else None
    if end and use_case.cadence.partition(newest).next >= end:
        return None
    return len(overdue_partitions(use_case, newest, now))


def overdue_partitions(use_case: UseCase, newest: str, now: datetime) -> list[Partition]:
    """The partitions that have ended and are not in the lake, oldest first, up to `MAX_OVERDUE`.

    Args:
        use_case: Whose.
        newest: The newest one in the lake.
        now: Processing time, UTC.
    """
    end = use_case.cadence.partition(use_case.end) if use_case.end else None
    following, overdue = use_case.cadence.partition(newest).next, list[Partition]()
    while following.end <= now and len(overdue) < MAX_OVERDUE and not (end and following >= end):
        overdue.append(following)
        following = following.next
    return overdue
