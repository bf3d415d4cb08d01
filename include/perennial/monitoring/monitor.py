"""Monitoring: drift and real performance of one partition, a verdict, and maybe a request for retraining."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import mlflow
import pyarrow as pa

from perennial import drift, lake, quarantine
from perennial.drift import ColumnCounts, ColumnDrift, Profile
from perennial.feature_store import computations
from perennial.lake import labels
from perennial.lake.labels import Known
from perennial.lake.schemas import DRIFT, METRICS, VERDICTS
from perennial.monitoring import performance, verdicts
from perennial.monitoring.performance import Performance
from perennial.monitoring.verdicts import ALARM, HEALTHY, NO_CHAMPION, WARNING, Observations, Verdict
from perennial.partitions import Partition
from perennial.registry import ledger, mlflow_tags, retraining_requests, tracking
from perennial.use_case import UseCase

__all__ = [
    "ALARM",
    "HEALTHY",
    "NO_CHAMPION",
    "WARNING",
    "Verdict",
    "monitor",
    "request_retraining",
]

log = logging.getLogger(__name__)


def monitor(use_case: UseCase, partition: Partition) -> Verdict:
    """Judge one partition and append metrics, drift and verdict to the lake.

    Run again on the same it adds nothing; when labels have matured or were corrected it adds a newer verdict.
    """
    # Before anything is measured: what comes in meanwhile is other labels than these, and judged at the next visit.
    known = labels.counted(use_case, [partition.key])[partition.key]
    version = _version(use_case, partition)
    if version is None:
        if _is_without_examples(use_case, partition):
            return _without_examples(use_case, partition)
        return _without_champion(use_case, partition, known)
    champion = next(entry for entry in ledger.promotions(use_case) if entry.model_version == version)
    profile = Profile.load(champion.model_run)
    counted = _counted(use_case, partition, version, profile)
    columns = drift.compare(use_case, profile, partition, counted)
    lived = performance.measure(use_case, partition, version)
    found = Observations(
        partition=partition,
        champion=champion,
        rows=counted.rows,
        performance=lived,
        columns=columns,
        sustained=_sustained(use_case, partition, version, profile, columns),
        quarantined=quarantine.share(use_case, partition),
    )
    verdict = verdicts.decide(use_case, found)
    report = _keep_report(use_case, found, known, verdict, drift.html_report(profile, counted, columns))
    verdict = verdict.model_copy(update={"report": report})
    _append_metrics(use_case, partition, version, lived)
    _append_drift(use_case, partition, found)
    return _record(use_case, partition, version, found, known, verdict)


def request_retraining(use_case: UseCase, partition: Partition, verdict: Verdict, made_by: str) -> bool:
    """Ask for retraining, up to the end of `partition`, if the verdict says so; whether the event is to go out."""
    if not verdict.reason:
        return False
    return retraining_requests.make(use_case, partition, verdict.reason, verdict.evidence, made_by)


def _version(use_case: UseCase, partition: Partition) -> int | None:
    """The version that scored most of the partition: late rows may have met a newer one. None: nothing is scored."""
    scored = lake.read(use_case.tables.predictions, partitions=[partition.key], columns=("model_version",))
    if scored is None or not scored.num_rows:
        return None
    counts = scored["model_version"].value_counts().to_pylist()
    return int(max(counts, key=lambda item: (item["counts"], -item["values"]))["values"])


def _without_champion(use_case: UseCase, partition: Partition, known: Known) -> Verdict:
    """Before the first model: once enough partitions are in, ask for it."""
    arrived = len(list(use_case.first.through(partition)))
    needed = use_case.retraining.initial_partitions
    reason = "first-model" if arrived >= needed and ledger.champion(use_case) is None else ""
    verdict = Verdict(
        verdict=NO_CHAMPION,
        reason=reason,
        evidence={"partitions": arrived, "needed": needed},
        explanation=f"no version held yet; {arrived} partitions are in, {needed} are needed for the first model",
    )
    return _record(use_case, partition, None, None, known, verdict)


def _is_without_examples(use_case: UseCase, partition: Partition) -> bool:
    """Whether the partition was computed, and nothing was to be predicted in it."""
    if not computations.with_examples(use_case, partition, partition):
        return False
    examples = lake.read(use_case.tables.examples, partitions=[partition.key], columns=(lake.PARTITION,))
    return examples is None or not examples.num_rows


def _without_examples(use_case: UseCase, partition: Partition) -> Verdict:
    """A partition in which nothing happened says nothing about the champion; nor would a gate find any rows in it."""
    serving = ledger.champion_at(use_case, partition.start)
    verdict = Verdict(
        verdict=WARNING if serving else NO_CHAMPION,
        reason="",
        evidence={"rows": 0},
        explanation="no examples: there was nothing to predict, and nothing to judge",
    )
    return _record(use_case, partition, serving.model_version if serving else None, None, Known(), verdict)


def _counted(use_case: UseCase, partition: Partition, version: int, profile: Profile) -> ColumnCounts:
    """The rows as the version saw them, in one pass and a batch at a time."""
    identifier = use_case.tables.predictions
    table = lake.table(identifier)
    held = set(table.schema().column_names) if table is not None else set()
    # A row has at least its prediction, so that rows are counted even where no column of the profile is left.
    columns = sorted({drift.PREDICTION, *profile.columns} & held)
    where = lake.equal("model_version", version)
    return ColumnCounts.of(profile, lake.batches(identifier, partition=partition.key, columns=columns, where=where))


def _sustained(
    use_case: UseCase, partition: Partition, version: int, profile: Profile, columns: list[ColumnDrift]
) -> dict[str, int]:
    """In how many of the last partitions each kind of drift was beyond its alarm, of those kinds that are so now.

    Asks the partitions' rows, not their verdicts: partitions that are monitored in any order, or at once, say the same.
    """
    now = verdicts.alarming_drift(use_case.drift, columns)
    found = dict.fromkeys(sorted(now), 1)
    if not found:
        return found
    for earlier in partition.preceding(verdicts.persistence(use_case)[1] - 1, use_case.first):
        if _version(use_case, earlier) == version:
            counted = _counted(use_case, earlier, version, profile)
            was = verdicts.alarming_drift(use_case.drift, drift.compare(use_case, profile, earlier, counted))
            found = {kind: times + (kind in was) for kind, times in found.items()}
    return found


def _keep_report(use_case: UseCase, found: Observations, known: Known, verdict: Verdict, page: str) -> str:
    """Evidently's page as an artifact of a MLflow run of this verdict's own; return the run's address."""
    name = f"{found.partition.key} v{found.champion.model_version}"
    rests_on = [known.digest, verdict.verdict, verdict.evidence, [vars(column) for column in found.columns]]
    digest = hashlib.sha256(json.dumps(rests_on, sort_keys=True, default=str).encode()).hexdigest()[:16]
    # By what it says, not by when: another verdict never takes the place of its page, a run that is repeated finds it.
    with tracking.run(use_case, "monitoring", made_by=f"{name}, {digest}", name=name) as active:
        mlflow.log_text(page, "drift.html")
        mlflow.log_dict(verdict.evidence, "verdict.json")
        mlflow.log_metrics({name: verdict.evidence[name] for name in ("drift_score", "label_coverage")})
        mlflow.set_tags(
            {
                mlflow_tags.VERDICT: verdict.verdict,
                mlflow_tags.REASON: verdict.reason,
                mlflow_tags.EXPLANATION: verdict.explanation,
            }
        )
        return tracking.run_url(active.info.run_id)


def _append_metrics(use_case: UseCase, partition: Partition, version: int, lived: Performance) -> None:
    """The champion's metrics on what has a label, and what the first model would have had on the same rows."""
    counts = {"rows": lived.rows, "labelled": lived.labelled}
    records = [
        {"model_version": number, "role": role, "metric": metric, "value": value} | counts
        for role, number, values in (
            ("champion", version, lived.champion),
            ("first", lived.first_version, lived.first),
        )
        for metric, value in values.items()
    ]
    _append(use_case, "metrics", METRICS, partition, records)


def _append_drift(use_case: UseCase, partition: Partition, found: Observations) -> None:
    stamp = {"model_version": found.champion.model_version, "rows": found.rows}
    records = [{name: value for name, value in vars(c).items() if name in DRIFT.names} | stamp for c in found.columns]
    _append(use_case, "drift", DRIFT, partition, records)


def _record(
    use_case: UseCase,
    partition: Partition,
    version: int | None,
    found: Observations | None,
    known: Known,
    verdict: Verdict,
) -> Verdict:
    row = {
        "model_version": version,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "drift_score": verdict.evidence.get("drift_score"),
        "drifted_columns": sum(column.drifted for column in found.columns) if found else 0,
        "label_coverage": found.performance.coverage if found else 0.0,
        "labels": known.count,
        "labels_digest": known.digest,
        "explanation": verdict.explanation,
        "evidence": json.dumps(verdict.evidence, sort_keys=True, default=str),
        "report": verdict.report,
    }
    _append(use_case, "verdicts", VERDICTS, partition, [row])
    log.info("%s %s: %s %s: %s", use_case.name, partition, verdict.verdict, verdict.reason, verdict.explanation)
    return verdict


def _append(
    use_case: UseCase, table: str, schema: pa.Schema, partition: Partition, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Append what is news, stamped with partition and processing time."""
    stamp = {"partition": partition.key, "recorded_at": datetime.now(UTC)}
    records = pa.Table.from_pylist([{**row, **stamp} for row in rows], schema=schema)
    if records.num_rows:
        lake.append_news(use_case.tables[table], records)
