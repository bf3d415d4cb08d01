"""The metrics of use cases, from their overviews and from what Airflow knows of their runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from perennial import discovery
from perennial.errors import PerennialError
from perennial.monitoring.verdict import ALARM, HEALTHY, NO_CHAMPION, WARNING
from perennial.reporting import overview
from perennial.reporting.overview import LatestBatch, LatestVerdict, Overview
from perennial.reporting.partition_status import PartitionStatus, UseCaseStatus
from perennial.telemetry import catalogue as known
from perennial.telemetry.samples import Samples

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PipelineRuns:
    """What Airflow knows of the runs of one pipeline; times are UTC.

    Attributes:
        is_known: Airflow has read its DAG.
        is_paused: It starts no runs.
        active: Runs that are queued or running.
        oldest_active: When the oldest of them was queued; None: there is none, or it is not known.
        failed: Failed runs that no newer run has replaced.
        started, ended: Of the newest run that has ended; None: none has.
        succeeded: When the newest successful run ended; None: none was.
    """

    is_known: bool = True
    is_paused: bool = False
    active: int = 0
    oldest_active: datetime | None = None
    failed: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    succeeded: datetime | None = None


@dataclass(frozen=True)
class Activity:
    """What Airflow is doing for one use case.

    Attributes:
        pipelines: By name, those that are shown.
        approvals: How many promotions wait for a person.
    """

    pipelines: Mapping[str, PipelineRuns] = field(default_factory=dict)
    approvals: int = 0


def of_use_cases(names: Sequence[str], activities: Mapping[str, Activity] | None, now: datetime) -> Samples:
    """The metrics of these use cases.

    One that cannot be read has `perennial_use_case_problem` and what Airflow knows of it, and hides no other.

    Args:
        names: The use cases.
        activities: By use case, what Airflow is doing; None: its database cannot be read.
        now: The moment of the scrape (UTC).
    """
    samples = Samples()
    samples.add(known.AIRFLOW_PROBLEM, activities is None)
    seen = _overviews(names)
    for name in names:
        activity = activities[name] if activities is not None else None
        try:
            samples.extend(of_use_case(name, seen.get(name), activity, now))
        except Exception:
            log.exception("The records of use case %r give no metrics.", name)
            samples.extend(of_use_case(name, None, activity, now))
    return samples


def _overviews(names: Sequence[str]) -> dict[str, Overview]:
    """The overview of each use case that has one."""
    declared = []
    for name in names:
        try:
            declared.append(discovery.load(name))
        except PerennialError as error:
            log.warning("%s", error)
    try:
        return {one.use_case.name: one for one in overview.overviews(declared)}
    except Exception:
        if len(names) <= 1:
            log.exception("The records of use case %s cannot be shown.", *names)
            return {}
        return {name: one for each in declared for name, one in _overviews([each.name]).items()}


def of_use_case(name: str, seen: Overview | None, activity: Activity | None, now: datetime) -> Samples:
    """All metrics of a use case.

    Args:
        name: Its name.
        seen: Its overview; None: it cannot be read.
        activity: What Airflow is doing for it; None: that cannot be read.
        now: The moment of the scrape (UTC).
    """
    samples = Samples()
    if seen is not None:
        declared, retired = seen.use_case, bool(seen.status.retired)
        labels = (declared.owner, str(declared.cadence), declared.gate.metric, str(retired).lower())
        samples.add(known.INFO, 1, name, *labels)
        if retired:
            return samples
    samples.add(known.PROBLEM, seen is None or bool(seen.problem), name)
    if activity is not None:
        samples.add(known.PENDING_APPROVALS, activity.approvals, name)
        for pipeline, runs in activity.pipelines.items():
            _add_runs(samples, name, pipeline, runs)
    if seen is not None and not seen.problem:
        _add_data(samples, seen, now)
        _add_monitoring(samples, seen)
        _add_model(samples, seen)
    return samples


def _add_runs(samples: Samples, name: str, pipeline: str, runs: PipelineRuns) -> None:
    samples.add(known.PIPELINE_MISSING, not runs.is_known, name, pipeline)
    samples.add(known.PIPELINE_PAUSED, runs.is_known and runs.is_paused, name, pipeline)
    samples.add(known.ACTIVE_RUNS, runs.active, name, pipeline)
    samples.add(known.OLDEST_ACTIVE, runs.oldest_active, name, pipeline)
    samples.add(known.FAILED_RUNS, runs.failed, name, pipeline)
    if runs.started and runs.ended:
        samples.add(known.RUN_DURATION, (runs.ended - runs.started).total_seconds(), name, pipeline)
    samples.add(known.RUN_END, runs.ended, name, pipeline)
    samples.add(known.RUN_SUCCESS, runs.succeeded, name, pipeline)


def _add_data(samples: Samples, seen: Overview, now: datetime) -> None:
    name, batch = seen.use_case.name, seen.latest_batch
    samples.add(known.PENDING_REVIEW, seen.status.waiting, name)
    if batch is not None:
        _add_batch(samples, seen, batch, now)
    for view in seen.online_check.views if seen.online_check else ():
        if view.newest and view.until:
            samples.add(known.ONLINE_LAG, (view.until - view.newest).total_seconds(), name, view.view)
        samples.add(known.ONLINE_STALE, view.is_stale, name, view.view)
        samples.add(known.ONLINE_DIFFERENCES, view.differences, name, view.view)


def _add_batch(samples: Samples, seen: Overview, batch: LatestBatch, now: datetime) -> None:
    name, until = seen.use_case.name, seen.use_case.cadence.partition(batch.partition).end
    loaded = _partition(seen.status, batch.partition)
    samples.add(known.LOADED_UNTIL, until, name)
    if batch.overdue is not None:
        samples.add(known.FRESHNESS_LAG, (now - until).total_seconds(), name)
        samples.add(known.OVERDUE, batch.overdue, name)
    samples.add(known.LOADED_ROWS, loaded.rows, name)
    samples.add(known.QUARANTINED_ROWS, loaded.quarantined, name)
    samples.add(known.QUARANTINED_RATIO, batch.quarantined, name)


def _add_monitoring(samples: Samples, seen: Overview) -> None:
    name, metric, performance = seen.use_case.name, seen.use_case.gate.metric, seen.performance
    samples.add(known.OPEN_ALARMS, len(seen.status.open_alarms), name)
    if seen.latest_verdict is not None:
        _add_verdict(samples, seen, seen.latest_verdict)
    if performance is not None:
        samples.add(known.PRODUCTION, performance.value, name, metric)
        samples.add(known.EXPECTED, performance.expected, name, metric)
        samples.add(known.IMPROVEMENT, performance.improvement, name, metric)


def _add_verdict(samples: Samples, seen: Overview, latest: LatestVerdict) -> None:
    name, monitored = seen.use_case.name, _partition(seen.status, latest.partition)
    samples.add(known.MONITORED_UNTIL, seen.use_case.cadence.partition(latest.partition).end, name)
    if (made := monitored.predictions) is not None:
        counts = {"on_request": made.on_request, "ahead": made.ahead, "backfilled": made.backfilled}
        for served_as, many in counts.items():
            samples.add(known.PREDICTIONS, many, name, served_as)
    for verdict in (HEALTHY, WARNING, ALARM, NO_CHAMPION):
        samples.add(known.VERDICT, latest.verdict == verdict, name, verdict)
    samples.add(known.VERDICT_TIME, latest.at, name)
    samples.add(known.LABEL_COVERAGE, latest.coverage, name)
    samples.add(known.DRIFT_SCORE, latest.drift_score, name)
    samples.add(known.DRIFTED_COLUMNS, monitored.drifted_columns, name)
    if monitored.estimate is not None:
        samples.add(known.ESTIMATED, monitored.estimate.value, name, seen.use_case.gate.metric)


def _add_model(samples: Samples, seen: Overview) -> None:
    name, deployed = seen.use_case.name, seen.deployment
    samples.add(known.CHAMPION, deployed.version if deployed else 0, name)
    if deployed is not None:
        samples.add(known.CHAMPION_SINCE, deployed.since, name)
        samples.add(known.CHAMPION_TRAINED, deployed.effective_from, name)
    samples.add(known.OPEN_REQUESTS, seen.open_requests, name)
    samples.add(known.PROMOTION_PAUSED, seen.status.pause is not None, name)
    samples.add(known.ROLLOUT, seen.status.rollout is not None, name)


def _partition(status: UseCaseStatus, key: str) -> PartitionStatus:
    # The newest ones are asked for.
    return next(one for one in reversed(status.partitions) if one.partition == key)
