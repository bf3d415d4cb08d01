"""Monitoring: drift and real performance of one partition, a verdict, and maybe a request for retraining."""

from __future__ import annotations

import json
import logging
import math
from datetime import UTC, datetime
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa

from perennial import drift, lake, ledger, metrics, requests, tracking
from perennial.ledger import Entry
from perennial.partitions import Partition
from perennial.records import DRIFT, METRICS, VERDICTS
from perennial.use_case import Declaration, UseCase

log = logging.getLogger(__name__)
HEALTHY, WARNING, ALARM, NO_CHAMPION = "healthy", "warning", "alarm", "no-champion"


class Verdict(Declaration):
    """A monitor's decision on one partition.

    Attributes:
        verdict: healthy, warning, alarm or no-champion.
        reason: Why retraining is asked for (`performance`, `drift`, `age`, `first-model`); empty if it is not.
        evidence: The numbers it rests on.
        report: Address of the Evidently report; empty without one.
    """

    verdict: str
    reason: str
    evidence: dict[str, Any]
    report: str = ""


def monitor(use_case: UseCase, partition: Partition) -> Verdict:
    """Judge one partition and append metrics, drift and verdict to the lake.

    Run again on the same labels it adds nothing; when more labels have matured it adds a newer verdict.
    """
    scored = lake.read(f"{use_case.name}.predictions", partitions=[partition.key])
    if scored is None or not scored.num_rows:
        return _without_champion(use_case, partition)
    rows = scored.to_pandas()
    # One version scores a partition; late rows may have met a newer one, and the verdict is on the one that did most.
    number = int(rows["model_version"].mode().iloc[0])
    rows = rows[rows["model_version"] == number]
    entry = next(entry for entry in ledger.promotions(use_case) if entry.model_version == number)
    labelled = _with_labels(use_case, partition, rows)
    coverage = len(labelled) / len(rows)
    performance = _performance(use_case, partition, rows, labelled, entry)
    found, page = drift.compare(use_case, drift.Profile.load(entry.model_run), rows)
    verdict = _decide(use_case, partition, entry, len(rows), coverage, performance, found)
    verdict = verdict.model_copy(update={"report": _keep_report(use_case, partition, number, page, verdict)})
    columns = [vars(column) | {"model_version": number} for column in found]
    _append(use_case, "drift", DRIFT, partition, columns, key=("model_version", "column"))
    return _record(use_case, partition, number, found, coverage, verdict)


def request_retraining(use_case: UseCase, partition: Partition, verdict: Verdict, made_by: str) -> bool:
    """Ask for retraining if the verdict says so; return whether the request's event is to go out."""
    if not verdict.reason:
        return False
    return requests.make(use_case, partition, verdict.reason, verdict.evidence, made_by)


def _without_champion(use_case: UseCase, partition: Partition) -> Verdict:
    """Before the first model: once enough partitions are in, ask for it."""
    arrived = len(list(use_case.first.through(partition)))
    needed = use_case.retraining.initial_partitions
    reason = "first-model" if arrived >= needed and ledger.champion(use_case) is None else ""
    evidence = {"partitions": arrived, "needed": needed}
    return _record(use_case, partition, None, [], 0.0, _verdict(NO_CHAMPION, reason, evidence))


def _with_labels(use_case: UseCase, partition: Partition, rows: pd.DataFrame) -> pd.DataFrame:
    """The predictions whose label is known by now, with it."""
    key = list(use_case.examples.key)
    labels = lake.read(f"{use_case.name}.examples", partitions=[partition.key], columns=[*key, "label"])
    assert labels is not None, "predictions are made from examples"  # noqa: S101
    return rows.merge(labels.to_pandas().dropna(subset=["label"]), on=key, validate="one_to_one")


def _performance(
    use_case: UseCase, partition: Partition, rows: pd.DataFrame, labelled: pd.DataFrame, champion: Entry
) -> dict[str, dict[str, float]]:
    """The champion's metrics on what has a label, and what the first model would have had on the same rows."""
    if len(labelled) < use_case.drift.min_rows:
        return {}
    label = labelled["label"].to_numpy()
    first = ledger.promotions(use_case)[0]
    predictions = {"champion": (champion.model_version, labelled["prediction"].to_numpy())}
    if first.model_version == champion.model_version:
        predictions["first"] = predictions["champion"]
    else:
        predictions["first"] = (first.model_version, tracking.load(use_case, first.model_version)(labelled))
    found = {role: metrics.evaluate(use_case, label, values) for role, (_, values) in predictions.items()}
    records = [
        {
            "model_version": predictions[role][0],
            "role": role,
            "metric": metric,
            "value": value,
            "rows": len(rows),
            "labelled": len(labelled),
        }
        for role, values in found.items()
        for metric, value in values.items()
    ]
    _append(use_case, "metrics", METRICS, partition, records, key=("model_version", "role", "metric", "labelled"))
    return found


def _decide(
    use_case: UseCase,
    partition: Partition,
    champion: Entry,
    count: int,
    coverage: float,
    performance: dict[str, dict[str, float]],
    found: list[drift.ColumnDrift],
) -> Verdict:
    """The verdict: real performance outranks drift, drift outranks age."""
    policy, metric = use_case.drift, use_case.gate.metric
    promised = champion.evidence["metrics"]["challenger"][metric]
    lived = performance.get("champion", {}).get(metric)
    lost = metrics.gain(metric, promised, lived) if lived is not None else None
    drifted = sorted((c for c in found if c.drifted), key=lambda c: -c.importance)
    age = len(list(use_case.cadence.at(champion.effective_from).through(partition)))
    evidence = {
        "model_version": champion.model_version,
        "rows": count,
        "label_coverage": round(coverage, 4),
        "metric": metric,
        "promised": promised,
        "lived": lived,
        "lost": lost,
        "drift_score": round(drift.score(found), 4),
        "drifted": {column.column: _told(column.ratio) for column in drifted},
        "prediction_drift": next((_told(c.ratio) for c in found if c.column == drift.PREDICTION), None),
        "age": age,
        "new_data": f"{champion.effective_from:%Y-%m-%d} to {partition.end:%Y-%m-%d}",
    }
    if policy.performance_drop is not None and lost is not None and lost > policy.performance_drop:
        return _verdict(ALARM, "performance", evidence)
    if count < policy.min_rows:
        return _verdict(
            WARNING, "", evidence | {"note": f"only {count} rows, {policy.min_rows} are needed to judge drift"}
        )
    if evidence["drift_score"] >= policy.alarm:
        return _verdict(ALARM, "drift", evidence)
    if use_case.retraining.max_age is not None and age >= use_case.retraining.max_age:
        return _verdict(WARNING, "age", evidence)
    return _verdict(WARNING if evidence["drift_score"] >= policy.warning else HEALTHY, "", evidence)


def _told(ratio: float) -> float | str:
    """A ratio for people and for JSON, which knows no infinity."""
    return round(ratio, 2) if math.isfinite(ratio) else "empty now"


def _verdict(verdict: str, reason: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(verdict=verdict, reason=reason, evidence=evidence)


def _keep_report(use_case: UseCase, partition: Partition, number: int, page: str, verdict: Verdict) -> str:
    """Evidently's page as an artifact of the partition's own MLflow run; return the run's address."""
    name = f"{partition.key} v{number}"
    with tracking.run(use_case, "monitoring", made_by=name, name=name) as active:
        mlflow.log_text(page, "drift.html")
        mlflow.log_dict(verdict.evidence, "verdict.json")
        mlflow.log_metric("drift_score", verdict.evidence["drift_score"])
        mlflow.set_tags({"perennial.verdict": verdict.verdict, "perennial.reason": verdict.reason})
        return tracking.run_url(active.info.run_id)


def _record(
    use_case: UseCase,
    partition: Partition,
    number: int | None,
    found: list[drift.ColumnDrift],
    coverage: float,
    verdict: Verdict,
) -> Verdict:
    row = {
        "model_version": number,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "drift_score": verdict.evidence.get("drift_score"),
        "drifted_columns": sum(column.drifted for column in found),
        "label_coverage": coverage,
        "evidence": json.dumps(verdict.evidence, sort_keys=True, default=str),
        "report": verdict.report,
    }
    _append(use_case, "verdicts", VERDICTS, partition, [row], key=("model_version", "label_coverage"))
    log.info("%s %s: %s %s %s", use_case.name, partition, verdict.verdict, verdict.reason, row["evidence"])
    return verdict


def _append(
    use_case: UseCase,
    table: str,
    schema: pa.Schema,
    partition: Partition,
    rows: list[dict[str, Any]],
    key: tuple[str, ...],
) -> None:
    """Append what is not there yet, stamped with partition and processing time."""
    stamp = {"partition": partition.key, "recorded_at": datetime.now(UTC)}
    records = pa.Table.from_pylist([row | stamp for row in rows], schema=schema)
    lake.append_missing(f"{use_case.name}.{table}", records, key=key)
