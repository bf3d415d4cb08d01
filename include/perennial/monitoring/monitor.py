"""Monitors one scored partition: measures drift and performance, decides on a verdict and appends all to the lake."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import mlflow
import pyarrow as pa

from perennial import drift, lake, quarantine
from perennial.dag_names import MONITORING
from perennial.drift import ColumnCounts, ColumnDrift, Profile
from perennial.evaluation import recorded_intervals
from perennial.feature_store import computations
from perennial.lake import labels
from perennial.lake.labels import KnownLabels
from perennial.lake.schemas import DRIFT, METRICS, VERDICTS
from perennial.monitoring import attribution, estimate, expectation, live_intervals, performance, roles, rules
from perennial.monitoring.expectation import Expectation
from perennial.monitoring.performance import Performance
from perennial.monitoring.rules import Observations
from perennial.monitoring.verdict import (
    FIRST_MODEL,
    NO_CHAMPION,
    WARNING,
    IntervalEvidence,
    Verdict,
    VerdictEvidence,
)
from perennial.partitions import Partition
from perennial.registry import ledger, mlflow_artifacts, mlflow_tags, retraining_requests, tracking
from perennial.training import first_window
from perennial.use_case import UseCase, interval
from perennial.use_case.classes import PREDICTION
from perennial.use_case.metric_names import VALUE

__all__ = ["Verdict", "monitor", "request_retraining"]

log = logging.getLogger(__name__)
#: How many partitions before the monitored one are looked for at most.
_LOOKED_BACK = 50


def monitor(use_case: UseCase, partition: Partition) -> Verdict:
    """Monitor one partition and append its metrics, drift and verdict to the lake.

    Run again on the same labels it adds nothing; when labels matured or were corrected it adds a newer verdict.

    Args:
        use_case: Whose champion.
        partition: A partition that is scored, or was to be scored before there was a champion.

    Raises:
        PerennialError: the champion's drift profile or model cannot be loaded.
    """
    # Before anything is measured: labels that arrive meanwhile are other labels, and count at the next visit.
    labelled = labels.count_known(use_case, [partition.key])[partition.key]
    version = _scoring_version(use_case, partition)
    if version is None:
        if _is_without_examples(use_case, partition):
            return _without_examples(use_case, partition)
        return _without_champion(use_case, partition, labelled)
    champion = next(entry for entry in ledger.promotions(use_case) if entry.model_version == version)
    profile = Profile.load(use_case, champion.model_run)
    counts = _column_counts(use_case, partition, version, profile)
    entries, measured = ledger.entries(use_case), performance.measure(use_case, partition, version)
    expected = _expectation(use_case, partition, version, entries)
    measured, between = _with_intervals(use_case, partition, version, measured, profile, entries)
    columns = drift.compare(use_case, profile, partition, counts)
    explained, columns = attribution.attribute(use_case, partition, version, columns, measured, expected)
    observed = Observations(
        partition=partition,
        champion=champion,
        rows=counts.rows,
        performance=measured,
        columns=columns,
        sustained=_sustained(use_case, partition, version, profile, columns),
        quarantined=quarantine.share(use_case, partition),
        expectation=expected,
        attribution=explained,
        missing=_missing(use_case, partition),
        estimated=estimate.make(use_case, partition, version),
        interval=between,
        decided=ledger.decision_on(entries, version),
    )
    verdict = rules.decide(use_case, observed)
    report = _log_report(use_case, observed, labelled, verdict, drift.html_report(profile, counts, columns))
    verdict = verdict.model_copy(update={"report": report})
    _append_metrics(use_case, partition, version, observed.performance, between)
    _append_drift(use_case, partition, observed)
    return _record(use_case, partition, version, observed, labelled, verdict)


def request_retraining(use_case: UseCase, partition: Partition, verdict: Verdict, made_by: str) -> bool:
    """Request retraining on everything up to the end of `partition`, if the verdict has a reason to.

    Args:
        use_case: Whose model.
        partition: The newest partition to train on.
        verdict: Of that partition, or of an earlier one that was revised.
        made_by: The DAG run that asks. The same run gets the same answer again.

    Returns:
        Whether the event of the request is to be published.
    """
    if not verdict.reason:
        return False
    return retraining_requests.create(use_case, partition, verdict.reason, verdict.evidence.as_json(), made_by)


def _scoring_version(use_case: UseCase, partition: Partition) -> int | None:
    """The champion that predicted most of the partition; None: none did.

    Late rows may have met a newer one, and some may have been answered by a challenger, which is judged elsewhere.
    """
    scored = lake.read(use_case.tables.predictions, partitions=[partition.key], columns=("model_version",))
    if scored is None or not scored.num_rows:
        return None
    champions = {entry.model_version for entry in ledger.promotions(use_case)}
    counts = [each for each in scored["model_version"].value_counts().to_pylist() if each["values"] in champions]
    return int(max(counts, key=lambda item: (item["counts"], -item["values"]))["values"]) if counts else None


def _without_champion(use_case: UseCase, partition: Partition, labelled: KnownLabels) -> Verdict:
    """Before the first model: once there is enough to train and to evaluate it, request it."""
    window, needed = first_window.measure(use_case, partition), use_case.retraining.initial_partitions
    is_due = window.is_enough and ledger.champion(use_case) is None
    missing = "; ".join(window.missing) or "enough for the first model"
    verdict = Verdict(
        verdict=NO_CHAMPION,
        reason=FIRST_MODEL if is_due else "",
        evidence=VerdictEvidence(loaded=window.loaded, needed=needed),
        explanation=f"no champion yet; {window.loaded} partitions are loaded, {missing}",
    )
    return _record(use_case, partition, None, None, labelled, verdict)


def _is_without_examples(use_case: UseCase, partition: Partition) -> bool:
    """Whether the partition was computed and there was nothing to predict in it."""
    if not computations.partitions_with_examples(use_case, partition, partition):
        return False
    examples = lake.read(use_case.tables.examples, partitions=[partition.key], columns=(lake.PARTITION,))
    return examples is None or not examples.num_rows


def _without_examples(use_case: UseCase, partition: Partition) -> Verdict:
    """A partition without examples says nothing about the champion; nor would a gate find any rows in it."""
    serving = ledger.champion_at(use_case, partition.start)
    verdict = Verdict(
        verdict=WARNING if serving else NO_CHAMPION,
        reason="",
        evidence=VerdictEvidence(rows=0),
        explanation="no examples: there was nothing to predict, and nothing to evaluate",
    )
    return _record(use_case, partition, serving.model_version if serving else None, None, KnownLabels(), verdict)


def _column_counts(use_case: UseCase, partition: Partition, version: int, profile: Profile) -> ColumnCounts:
    """The rows as the version saw them, counted in one pass and a batch at a time."""
    identifier = use_case.tables.predictions
    table = lake.table(identifier)
    existing = set(table.schema().column_names) if table is not None else set()
    # A row has at least its prediction, so that rows are counted even where no column of the profile is left.
    columns = sorted({PREDICTION, *profile.columns} & existing)
    where = lake.equals("model_version", version)
    return ColumnCounts.of(
        profile, lake.iter_batches(identifier, partition=partition.key, columns=columns, where=where)
    )


def _sustained(
    use_case: UseCase, partition: Partition, version: int, profile: Profile, columns: list[ColumnDrift]
) -> dict[str, int]:
    """In how many of the last partitions each kind of drift reached its alarm level, of those kinds that do so now.

    Counts the partitions' rows, not their verdicts: the result is the same in whatever order partitions are monitored.
    """
    sustained = dict.fromkeys(sorted(rules.alarming_drift(use_case.drift, columns)), 1)
    if not sustained:
        return sustained
    for earlier in partition.preceding(rules.persistence(use_case)[1] - 1, use_case.first):
        if _scoring_version(use_case, earlier) == version:
            counts = _column_counts(use_case, earlier, version, profile)
            kinds = rules.alarming_drift(use_case.drift, drift.compare(use_case, profile, earlier, counts))
            sustained = {kind: times + (kind in kinds) for kind, times in sustained.items()}
    return sustained


def _expectation(use_case: UseCase, partition: Partition, version: int, entries: Sequence[ledger.Entry]) -> Expectation:
    """What is expected of a version on a partition, by the ledger and what was known of earlier partitions' data."""
    verdicts = use_case.tables.verdicts
    return expectation.newest(entries, version, partition.key, lambda key: lake.records(verdicts, between=(key, key)))


def _with_intervals(
    use_case: UseCase,
    partition: Partition,
    version: int,
    measured: Performance,
    profile: Profile,
    entries: Sequence[ledger.Entry],
) -> tuple[Performance, IntervalEvidence | None]:
    """The performance with the metrics of the prediction intervals, and the evidence of these."""
    rows = measured.labelled_rows
    if use_case.interval is None or rows is None:
        return measured, None
    if taken := interval.reserved(profile.columns):  # From before an interval was declared, which refuses that.
        return measured, IntervalEvidence(left_out=f"v{version} has a feature {taken[0]!r}, no bound is kept beside it")
    last = live_intervals.last_predicted(rows)
    known, newest = (recorded_intervals.recorded(use_case, entries, version, partition.key, at) for at in (last, None))
    values, evidence = live_intervals.measure(use_case, rows, known, is_renewed=known != newest)
    return replace(measured, champion=measured.champion | values), evidence


def _missing(use_case: UseCase, partition: Partition) -> tuple[str, ...]:
    """The partitions before this one that it looks back into, at least the last, and that were never computed."""
    longest = max((table.lookback for table in use_case.features if table.lookback), default=timedelta(0))
    earlier = partition.preceding(_LOOKED_BACK, use_case.first)
    near = [each for each in earlier if each.end == partition.start or each.end > partition.start - longest]
    if not near:
        return ()
    computed = computations.partitions_with_examples(use_case, near[0], partition)
    # A lake from before computations were recorded has none of this partition either.
    return tuple(each.key for each in near if each.key not in computed) if partition.key in computed else ()


def _log_report(use_case: UseCase, observed: Observations, labelled: KnownLabels, verdict: Verdict, page: str) -> str:
    """Log Evidently's page to an MLflow run of this verdict's own; return the run's address."""
    name = f"{observed.partition.key} v{observed.champion.model_version}"
    evidence = verdict.evidence.as_json()
    rests_on = [labelled.digest, verdict.verdict, evidence, [column.as_json() for column in observed.columns]]
    digest = hashlib.sha256(json.dumps(rests_on, sort_keys=True, default=str).encode()).hexdigest()[:16]
    # Named by content: no other verdict takes the place of this page, and a task that runs again finds it.
    with tracking.run(use_case, MONITORING, made_by=f"{name}, {digest}", name=name) as active:
        mlflow.log_text(page, mlflow_artifacts.DRIFT_REPORT)
        mlflow.log_dict(evidence, mlflow_artifacts.VERDICT)
        mlflow.log_metrics({name: evidence[name] for name in ("drift_score", "label_coverage")})
        mlflow.set_tags(
            {
                mlflow_tags.VERDICT: verdict.verdict,
                mlflow_tags.REASON: verdict.reason,
                mlflow_tags.EXPLANATION: verdict.explanation,
            }
        )
        return tracking.run_url(active.info.run_id)


def _append_metrics(
    use_case: UseCase, partition: Partition, version: int, measured: Performance, between: IntervalEvidence | None
) -> None:
    """The champion's metrics on the labelled rows, and what the first and the baseline model reach on the same rows.

    Those of prediction intervals are of the rows that have one.
    """
    baseline = {} if measured.baseline_value is None else {VALUE: measured.baseline_value}
    counts = {"rows": measured.rows, "labelled": measured.judged}
    of_intervals = counts | {"labelled": between.rows} if between is not None else counts
    records = [
        {"model_version": number, "role": role, "metric": metric, "value": value}
        | (of_intervals if metric.startswith("interval_") else counts)
        for role, number, values in (
            (roles.CHAMPION, version, measured.champion),
            (roles.FIRST_MODEL, measured.first_version, measured.first),
            (roles.BASELINE, version, baseline),
        )
        for metric, value in values.items()
    ]
    _append(use_case.tables.metrics, METRICS, partition, records)


def _append_drift(use_case: UseCase, partition: Partition, observed: Observations) -> None:
    stamp = {"model_version": observed.champion.model_version, "rows": observed.rows}
    records = [
        {name: value for name, value in column.as_json().items() if name in DRIFT.names} | stamp
        for column in observed.columns
    ]
    _append(use_case.tables.drift, DRIFT, partition, records)


def _record(
    use_case: UseCase,
    partition: Partition,
    version: int | None,
    observed: Observations | None,
    labelled: KnownLabels,
    verdict: Verdict,
) -> Verdict:
    row = {
        "model_version": version,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "drift_score": verdict.evidence.drift_score,
        "drifted_columns": sum(column.drifted for column in observed.columns) if observed else 0,
        "label_coverage": observed.performance.coverage if observed else 0.0,
        "labels": labelled.count,
        "labels_digest": labelled.digest,
        "explanation": verdict.explanation,
        "evidence": json.dumps(verdict.evidence.as_json(), sort_keys=True),
        "report": verdict.report,
    }
    _append(use_case.tables.verdicts, VERDICTS, partition, [row])
    log.info("%s %s: %s %s: %s", use_case.name, partition, verdict.verdict, verdict.reason, verdict.explanation)
    return verdict


def _append(identifier: str, schema: pa.Schema, partition: Partition, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows that differ from the latest ones, stamped with partition and processing time."""
    stamp = {"partition": partition.key, "recorded_at": datetime.now(UTC)}
    records = pa.Table.from_pylist([{**row, **stamp} for row in rows], schema=schema)
    if records.num_rows:
        lake.append_changed(identifier, records)
