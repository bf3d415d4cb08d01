"""The status of each partition of a use case, from ingestion to the gate's decision, read from records.

Light to import.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from perennial import discovery, lake_cache
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.evaluation import earnings, regret
from perennial.evaluation.earnings import Earnings
from perennial.evaluation.regret import Regret
from perennial.feature_store.publication_records import LatePublication, late_publications
from perennial.gate.decision import INCONCLUSIVE
from perennial.monitoring import alarms, roles
from perennial.monitoring.alarms import AlarmState
from perennial.quarantine import states
from perennial.registry import deployments, ledger, rollouts
from perennial.registry.deployments import NOTHING
from perennial.use_case import UseCase


@dataclass(frozen=True)
class PredictionsMade:
    """How many predictions of a partition, by one version, were made in which way.

    Attributes:
        served: Answered on request or made ahead.
        on_request, ahead: Which of the two; None: the verdict is from before that was told apart.
        backfilled: Made by batch scoring, when the partition had ended.
    """

    served: int
    on_request: int | None
    ahead: int | None
    backfilled: int

    @property
    def share_served(self) -> float:
        """Those that were served, of all, 0 to 1."""
        return self.served / (self.served + self.backfilled)

    @property
    def share_ahead(self) -> float | None:
        """Those that were made ahead, of all, 0 to 1; None: not known."""
        return None if self.ahead is None else self.ahead / (self.served + self.backfilled)

    def __str__(self) -> str:
        if self.ahead is None:
            return f"{self.served:,} on request or ahead, {self.backfilled:,} backfilled"
        return f"{self.on_request:,} on request, {self.ahead:,} ahead, {self.backfilled:,} backfilled"


@dataclass(frozen=True)
class EstimatedMetric:
    """The gate's metric of a partition as it was estimated before its labels; it is between `low` and `high` in 90%."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class IntervalStatus:
    """How many labels of a partition lie within their prediction intervals.

    Attributes:
        rows: Labelled predictions with an interval.
        declared, reached: The share that was to, and the share that does.
        width: Mean, in the unit of the label.
    """

    rows: int
    declared: float
    reached: float
    width: float

    def __str__(self) -> str:
        return f"{self.reached:.1%} of {self.rows:,} labels, declared {self.declared:.4g}; mean width {self.width:.4g}"


@dataclass(frozen=True)
class PartitionStatus:
    """One partition: its data, the version that scored it, its performance, and what was done about it.

    Attributes:
        rows: Rows of all raw tables in the lake.
        quarantined: Quarantined rows of the latest batches.
        waiting: Quarantined rows and batches that are pending review.
        champion: The model version that scored it.
        metric: The use case's gate metric, of that version.
        first_model_metric: The same metric, of the first model on the same rows.
        done: In words, such as `promoted v2` or `rolled back to v1`.
        predictions: How its predictions by that version were made; None: none was served, or it has no verdict.
        alarm: Whether the alarm on it is open, its cause, and what would help; None: its verdict is no alarm.
        estimate: `metric` as it was estimated without labels; None: it was not.
        interval: What its prediction intervals reached; None: there are none, or too few labels.
    """

    partition: str
    rows: int | None
    quarantined: int | None
    waiting: int
    champion: int | None
    metric: float | None
    first_model_metric: float | None
    drifted_columns: int | None
    verdict: str | None
    done: str
    predictions: PredictionsMade | None = None
    alarm: AlarmState | None = None
    estimate: EstimatedMetric | None = None
    interval: IntervalStatus | None = None


@dataclass(frozen=True)
class LastRollback:
    """The last rollback: from version `previous` to `version`, by whom, and why; `at` is processing time, UTC."""

    version: int
    previous: int
    at: datetime
    by: str
    reason: str

    def __str__(self) -> str:
        return (
            f"v{self.previous} to v{self.version} at {deployments.format_utc(self.at)} UTC by {self.by}: {self.reason}"
        )


@dataclass(frozen=True)
class RolloutStatus:
    """The rollout under way, or the version that a person has put in shadow.

    Attributes:
        version: The challenger.
        champion: The version that it is tried beside.
        stage: `shadow`, or `canary 5%`.
        began, since, stage_ends: When the rollout and its stage began, and until when that lasts at least; processing
            time, UTC.
        by: Who put it in shadow, which then ends at `stage_ends` at the latest; None: it is a rollout of the gate.
    """

    version: int
    champion: int
    stage: str
    began: datetime
    since: datetime
    stage_ends: datetime
    by: str | None = None

    def __str__(self) -> str:
        since, ends = deployments.format_utc(self.since), deployments.format_utc(self.stage_ends)
        if self.by is not None:
            beside = f"v{self.version} is in shadow beside v{self.champion}"
            return f"{beside}, put there by {self.by}: since {since} UTC, until {ends} at the latest"
        return (
            f"v{self.version} is tried on live requests beside v{self.champion}: {self.stage} since {since} UTC, until"
            f" {ends} at least"
        )


@dataclass(frozen=True)
class UseCaseStatus:
    """A use case and each of its partitions, oldest first.

    Attributes:
        metric: The name of the gate's metric.
        is_known: Whether its records could be read; if not, it is unknown whether there is a champion or a partition.
        hint: Why there is nothing to show, and what to do.
        pause: The current pause of automatic promotion.
        rollout: The rollout under way.
        retired: Since when, by whom and why it is retired; empty: it is active.
        late_publications: Views that are mostly published later than they declare.
        regret: The production performance beside that of models which served nobody; None: nothing is measured yet.
        earnings: What decisions were worth, in money by month; None: no value is declared, or none is measured yet.
    """

    name: str
    title: str
    owner: str
    metric: str
    champion: int | None
    partitions: tuple[PartitionStatus, ...]
    is_known: bool = True
    hint: str = ""
    pause: ledger.Pause | None = None
    rollback: LastRollback | None = None
    rollout: RolloutStatus | None = None
    retired: str = ""
    late_publications: tuple[LatePublication, ...] = ()
    regret: Regret | None = None
    earnings: Earnings | None = None

    @property
    def open_alarms(self) -> tuple[AlarmState, ...]:
        """The alarms that an act would close, oldest first."""
        return tuple(one.alarm for one in self.partitions if one.alarm is not None and one.alarm.is_open)

    @property
    def estimates(self) -> tuple[int, int]:
        """In how many partitions the truth is within the interval of its estimate, of how many that have both."""
        both = [(one.estimate, one.metric) for one in self.partitions if one.metric is not None and one.estimate]
        return sum(its.low <= truth <= its.high for its, truth in both), len(both)

    @property
    def waiting(self) -> int:
        """Quarantined rows and batches, of all partitions, that are pending review."""
        return sum(partition.waiting for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; times as ISO 8601."""
        return deployments.json_ready(asdict(self))


#: Rows by the name of their table, without its use case.
Records = dict[str, list[dict[str, Any]]]
_RECORDS = ("batches", "metrics", "verdicts", "requests", "ledger")
#: The tables that `of_partitions` needs, and those that `of_records` needs, in a fixed order.
_OF_PARTITIONS = tuple(dict.fromkeys((*_RECORDS, *states.COLUMNS)))
TABLES = (*_OF_PARTITIONS, "publications", "backtests")
#: The quarantine's tables may have many long rows: only the columns that tell which are pending are read.
_COLUMNS = {name: columns for name, columns in states.COLUMNS.items() if name not in _RECORDS}


def status(use_case: UseCase) -> UseCaseStatus:
    """The status of a use case; its `hint` says when nothing ran yet or the lake cannot be read."""
    return statuses([use_case])[0]


def statuses(use_cases: Sequence[UseCase]) -> list[UseCaseStatus]:
    """The status of each use case, as by `status`; all are read at once."""
    return [
        of_records(use_case, rows) if isinstance(rows, dict) else unknown(use_case, rows)
        for use_case, rows in zip(use_cases, records(use_cases), strict=True)
    ]


def records(use_cases: Sequence[UseCase], more: Sequence[str] = ()) -> list[Records | PerennialError]:
    """The rows of each use case's records by table.

    A damaged table of one use case does not hide the others.

    Args:
        use_cases: The use cases, whose records are read together.
        more: Names of tables to read beside those that `of_records` needs.

    Returns:
        For each use case its rows, or why they cannot be read.
    """
    tables = dict.fromkeys((*TABLES, *more))
    columns = {use_case.tables[table]: names for use_case in use_cases for table, names in _COLUMNS.items()}
    try:
        rows = lake_cache.records([use_case.tables[table] for use_case in use_cases for table in tables], columns)
    except ServiceUnavailable as error:
        return [error] * len(use_cases)
    except PerennialError as error:
        return [error] if len(use_cases) == 1 else [records([use_case], more)[0] for use_case in use_cases]
    return [{table: rows[use_case.tables[table]] for table in tables} for use_case in use_cases]


def of_records(use_case: UseCase, rows: Records) -> UseCaseStatus:
    """The status of a use case with these records.

    Args:
        use_case: The use case.
        rows: By table, as `records` returns them.
    """
    partitions = of_partitions(use_case, rows)
    entries = ledger.from_rows(rows["ledger"])
    champion = ledger.champion_among(entries)
    return replace(
        unknown(use_case),
        champion=champion.model_version if champion else None,
        partitions=partitions,
        hint="" if partitions else f"Nothing has run yet: {first_command(use_case)}.",
        pause=ledger.pause_among(entries, datetime.now(UTC)),
        rollback=_last_rollback(entries),
        late_publications=late_publications(use_case.cadence, rows["publications"]),
        rollout=_rollout(use_case, entries),
        regret=regret.of(
            use_case, {one.partition: (one.metric, one.first_model_metric) for one in partitions}, rows["backtests"]
        ),
        earnings=earnings.of(use_case, rows["metrics"]),
    )


def first_command(use_case: UseCase) -> str:
    """The command that runs a use case for the first time."""
    end = use_case.cadence.partition(use_case.end) if use_case.end else None
    last = end.previous.key if end and end.start <= datetime.now(UTC) else "..."
    return f"`perennial replay {use_case.name} --from {use_case.start} --to {last}`"


def unknown(use_case: UseCase, error: PerennialError | None = None) -> UseCaseStatus:
    """The status of a use case whose records are not read.

    Args:
        use_case: The use case.
        error: Why they cannot be read; None: they are empty.
    """
    fix = " Start it with `perennial up`." if isinstance(error, ServiceUnavailable) else ""
    hint = f"The lake cannot be read: {error.problem.splitlines()[0]}{fix}" if error else ""
    return UseCaseStatus(
        name=use_case.name,
        title=use_case.title,
        owner=use_case.owner,
        metric=use_case.gate.metric,
        champion=None,
        partitions=(),
        is_known=error is None,
        hint=hint,
        retired=str(discovery.retirement(use_case.name) or ""),
    )


def _rollout(use_case: UseCase, entries: list[ledger.Entry]) -> RolloutStatus | None:
    state = rollouts.under_way(use_case, entries)
    if state is None:
        return None
    by = state.entry.actor if state.is_by_hand else None
    name = state.stage.name
    return RolloutStatus(state.version, state.champion, name, state.began, state.since, state.stage_ends, by)


def _last_rollback(entries: list[ledger.Entry]) -> LastRollback | None:
    """The newest rollback among `entries`, which are oldest first."""
    for entry in reversed(entries):
        if entry.action == ledger.ROLLED_BACK and entry.previous_version is not None:
            return LastRollback(
                entry.model_version, entry.previous_version, entry.recorded_at, entry.actor, entry.reason
            )
    return None


def of_partitions(use_case: UseCase, rows: Mapping[str, list[dict[str, Any]]]) -> tuple[PartitionStatus, ...]:
    """The status of every partition that has a record, oldest first.

    Args:
        use_case: Whose partitions they are.
        rows: By table, of `batches`, `metrics`, `verdicts`, `requests`, `ledger` and those of the quarantine.
    """
    pending = states.count_pending(rows)
    entries = ledger.from_rows(rows["ledger"])
    alarmed = alarms.states(use_case, rows["verdicts"], entries, rows["requests"])
    by_partition: dict[str, dict[str, list[dict[str, Any]]]] = {key: {} for key in pending}
    for name in _RECORDS:
        # Batches have no time: there is one of each table.
        for row in rows[name] if name == "batches" else sorted(rows[name], key=itemgetter("recorded_at")):
            by_partition.setdefault(row["partition"], {}).setdefault(name, []).append(row)
    return tuple(
        replace(_partition(use_case, key, by_partition[key], pending[key]), alarm=alarmed.get(key))
        for key in sorted(by_partition)
    )


def of_partition(use_case: UseCase, key: str, rows: Mapping[str, list[dict[str, Any]]]) -> PartitionStatus:
    """The status of one partition; without any record, nothing but its name.

    Args:
        use_case: Whose partition it is.
        key: The partition's name.
        rows: As for `of_partitions`.
    """
    own = {name: [row for row in rows[name] if row["partition"] == key] for name in _OF_PARTITIONS}
    found = next(iter(of_partitions(use_case, own)), None) or _partition(use_case, key, {}, 0)
    # What became of an alarm is recorded with later partitions.
    alarmed = alarms.states(use_case, rows["verdicts"], ledger.from_rows(rows["ledger"]), rows["requests"])
    return replace(found, alarm=alarmed.get(key))


def _partition(use_case: UseCase, key: str, rows: Mapping[str, list[dict[str, Any]]], pending: int) -> PartitionStatus:
    """The status of one partition from its rows by table, oldest first."""
    raw_tables = {raw.name for raw in use_case.raw}
    batches = {row["table"]: row for row in rows.get("batches", ()) if row["table"] in raw_tables}
    verdict = _last(rows.get("verdicts", ()))
    metrics = [row for row in rows.get("metrics", ()) if row["metric"] == use_case.gate.metric]
    champion = _last(row for row in metrics if row["role"] == roles.CHAMPION)
    # Measured together with the champion: an earlier measurement was on other labels.
    first = _last(
        r for r in metrics if r["role"] == roles.FIRST_MODEL and r["recorded_at"] == champion.get("recorded_at")
    )
    return PartitionStatus(
        partition=key,
        rows=sum(row["rows"] for row in batches.values()) if batches else None,
        quarantined=sum(row["quarantined"] for row in batches.values()) if batches else None,
        waiting=pending,
        champion=champion.get("model_version") or verdict.get("model_version"),
        metric=champion.get("value"),
        first_model_metric=first.get("value"),
        drifted_columns=verdict.get("drifted_columns"),
        verdict=verdict.get("verdict"),
        done=_done(rows.get("ledger", []), rows.get("requests", [])),
        predictions=_predictions_made(verdict),
        estimate=_estimated(use_case, verdict),
        interval=_interval(verdict),
    )


def _estimated(use_case: UseCase, verdict: Mapping[str, Any]) -> EstimatedMetric | None:
    """What the newest verdict says was estimated of the metric that the gate has now."""
    evidence = json.loads(verdict.get("evidence") or "{}")
    made = evidence.get("estimate")
    if not made or evidence.get("metric") != use_case.gate.metric:
        return None
    return EstimatedMetric(made["value"], made["low"], made["high"])


def _interval(verdict: Mapping[str, Any]) -> IntervalStatus | None:
    its = json.loads(verdict.get("evidence") or "{}").get("interval") or {}
    if its.get("reached") is None:
        return None
    return IntervalStatus(its["rows"], its["declared"], its["reached"], its["width"])


def _predictions_made(verdict: Mapping[str, Any]) -> PredictionsMade | None:
    evidence = json.loads(verdict.get("evidence") or "{}")
    served, rows = evidence.get("served"), evidence.get("rows")
    if not served or not rows:
        return None
    ahead = evidence.get("ahead")
    return PredictionsMade(served, None if ahead is None else served - ahead, ahead, rows - served)


def label_coverage(verdict: Mapping[str, Any]) -> float | None:
    """The share of a verdict's predictions that had a label, 0 to 1; None: it is about no prediction.

    Not the share of the partition's examples: those have labels whether or not a version scored them.

    Args:
        verdict: A row of that table; empty: there is none.
    """
    if verdict.get("model_version") is None or json.loads(verdict.get("evidence") or "{}").get("rows") == 0:
        return None
    return verdict.get("label_coverage")


def _done(ledger: list[dict[str, Any]], requests: list[dict[str, Any]]) -> str:
    """In words: the ledger's entries about the partition, else whether retraining was requested."""
    if ledger:
        return ", ".join(map(_action, ledger))
    return "retraining requested" if requests else NOTHING


def _action(row: dict[str, Any]) -> str:
    """A ledger entry in two or three words."""
    match row["action"]:
        case ledger.PROMOTED if row["previous_version"] is None:
            return f"first model v{row['model_version']}"
        case ledger.ROLLED_BACK:
            return f"rolled back to v{row['model_version']}"
        case ledger.RESUMED:
            return "promotion resumed"
        case ledger.ROLLOUT:
            return f"v{row['model_version']} {rollouts.Stage.of(json.loads(row['evidence'])[rollouts.STAGE]).name}"
        case ledger.CONFIRMED:
            return f"v{row['model_version']} confirmed"
        case ledger.SHADOW:
            return f"v{row['model_version']} put in shadow"
        case ledger.SHADOW_ENDED:
            return f"v{row['model_version']} out of shadow"
        case ledger.REJECTED if json.loads(row["evidence"]).get("outcome") == INCONCLUSIVE:
            return f"v{row['model_version']} inconclusive"
        case action:
            return f"{action} v{row['model_version']}"


def _last(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return next(reversed(list(rows)), {})
