"""What a partition's page shows of monitoring: verdicts, metrics, drift, requests for retraining, the champion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from perennial.monitoring import expectation, roles
from perennial.monitoring.verdict import VerdictEvidence
from perennial.pages import verdict_evidence
from perennial.partitions import Partition
from perennial.registry import ledger, mlflow_records, retraining_requests
from perennial.registry.ledger import Deployment, Entry
from perennial.reporting.partition_status import label_coverage
from perennial.use_case import UseCase
from perennial.use_case.classes import is_prediction
from perennial.use_case.metric_names import WITHOUT_DIRECTION, direction, gain

Row = Mapping[str, Any]


def verdicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The verdicts of a partition, the current one first.

    Each with its `facts`, its `raw` evidence as JSON, and the `run` in MLflow that has Evidently's report.
    """
    shown = []
    for row in sorted(rows, key=lambda row: row["recorded_at"], reverse=True):
        run = mlflow_records.run_id_in(row["report"])
        shown.append(
            {
                **row,
                "coverage": label_coverage(row),
                "facts": verdict_evidence.facts(VerdictEvidence.from_json(row["evidence"])),
                "raw": json.dumps(json.loads(row["evidence"] or "{}"), indent=2, ensure_ascii=False),
                "run": run,
                "run_page": mlflow_records.run_page(run) if run else None,
            }
        )
    return shown


def revisions(
    use_case: UseCase, rows: Iterable[Row], entries: Sequence[Entry], judged: Iterable[Row] = ()
) -> list[dict[str, Any]]:
    """The metrics of each measurement: there is one whenever labels were added or corrected; newest first.

    Args:
        use_case: Whose.
        rows: The partition's rows of `metrics`.
        entries: The whole ledger, which has the expected metrics.
        judged: The partition's verdicts: the current one tells which decision of the gate they are from.

    Returns:
        Each with `recorded_at`, `rows`, `labelled`, `coverage`, `champion` and `first` (the versions), and `metrics`:
        name, value of either, expected value of the champion, which is better in words, and whether it is the gate's
        metric, which comes first.
    """
    measured: dict[tuple[datetime, int], list[Row]] = {}
    for row in rows:
        measured.setdefault((row["recorded_at"], row["labelled"]), []).append(row)
    newest = max(judged, key=lambda row: row["recorded_at"], default=None)
    evidence = VerdictEvidence.from_json(newest["evidence"]) if newest is not None else None
    shown = []
    for (recorded_at, labelled), some in sorted(measured.items(), reverse=True):
        by = {(row["role"], row["metric"]): row for row in some}
        versions = {role: next((row["model_version"] for row in some if row["role"] == role), None) for role in _ROLES}
        version = versions[roles.CHAMPION]
        its = evidence if newest is not None and newest["model_version"] == version else None
        expected = expectation.recorded(entries, version, its).metrics
        names = sorted({row["metric"] for row in some}, key=lambda name: (name != use_case.gate.metric, name))
        scored = max(row["rows"] for row in some)
        shown.append(
            {
                "recorded_at": recorded_at,
                "rows": scored,
                "labelled": labelled,
                "coverage": labelled / scored if scored else None,
                **versions,
                "metrics": [
                    {
                        "name": name,
                        **{role: by.get((role, name), {}).get("value") for role in _ROLES},
                        "expected": expected.get(name),
                        "gained": _gain_over_first(name, *(by.get((role, name), {}).get("value") for role in _ROLES)),
                        "direction": direction(name),
                        "is_the_gates": name == use_case.gate.metric,
                    }
                    for name in names
                ],
            }
        )
    return shown


_ROLES = (roles.CHAMPION, roles.FIRST_MODEL)


def _gain_over_first(metric: str, champion: float | None, first: float | None) -> float | None:
    """By how much the champion is better than the first model; None: one was not measured, or none can be better."""
    return None if champion is None or first is None or metric in WITHOUT_DIRECTION else gain(metric, champion, first)


def drift(use_case: UseCase, rows: Iterable[Row], verdict: Row | None) -> dict[str, Any]:
    """The columns at the newest comparison with the training profile of the version that the verdict is about.

    Args:
        use_case: Whose drift policy has the limits.
        rows: The partition's rows of `drift`.
        verdict: The current verdict; None: there is none.

    Returns:
        `columns`, the most important first: by cost, importance, ratio, but the predictions on top, each with the
        `limit` above which it has drifted and whether it `is_prediction`; `limit`, that of columns without a limit of
        their own; `most`, the end of the scale of their bars; `earlier`, the number of rows that newer ones replaced;
        `recorded_at` and `rows` of the comparison.
    """
    rows = sorted(rows, key=lambda row: row["recorded_at"])
    version = verdict["model_version"] if verdict else None
    own = [row for row in rows if version is None or row["model_version"] == version]
    newest = {row["column"]: row for row in own}
    columns = [
        {
            **row,
            "cost": row.get("cost"),  # Not in rows from before it was recorded.
            "limit": use_case.drift.ratio_of(name),
            "is_prediction": is_prediction(use_case, name),
        }
        for name, row in newest.items()
    ]
    columns.sort(key=lambda row: (not row["is_prediction"], -(row["cost"] or 0), -row["importance"], -row["ratio"]))
    return {
        "columns": columns,
        "version": columns[0]["model_version"] if columns else None,
        "limit": use_case.drift.ratio,
        "most": max((max(2 * row["limit"], min(row["ratio"], 4 * row["limit"])) for row in columns), default=0.0),
        "earlier": len(rows) - len(newest),
        "recorded_at": max((row["recorded_at"] for row in columns), default=None),
        "rows": max((row["rows"] for row in columns), default=None),
    }


def requests(use_case: UseCase, partition: str, made: Iterable[Row], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The requests for retraining that a partition caused, each with the decision that handled it as `answer`.

    A request is recorded with the partition whose monitoring made it; for a verdict revised by later labels that is a
    later partition.

    Args:
        use_case: Whose.
        partition: The partition's name.
        made: All rows of `requests`.
        entries: The whole ledger, oldest first.
    """
    caused = []
    for row in sorted(made, key=lambda row: row["recorded_at"]):
        evidence = VerdictEvidence.from_json(row["evidence"])
        if partition in (row["partition"], evidence.partition):
            start = use_case.cadence.partition(row["partition"])
            decisions = (
                entry
                for entry in entries
                if entry.action in ledger.HANDLING and use_case.cadence.partition(entry.partition) >= start
            )
            caused.append({**row, "answer": next(decisions, None), "facts": verdict_evidence.facts(evidence)})
    return caused


def held_back_by(use_case: UseCase, partition: Partition, verdicts: Sequence[Row], made: Iterable[Row]) -> str | None:
    """The earlier partition whose request holds back the one that the newest verdict would make; None: none does.

    Args:
        use_case: Whose cool-down.
        partition: Which.
        verdicts: On this partition, the newest first.
        made: All rows of `requests`.
    """
    if not verdicts:
        return None
    earlier = ((row["partition"], row["reason"]) for row in made if row["partition"] < partition.key)
    return retraining_requests.held_back_by(use_case, partition, verdicts[0]["reason"], earlier)


def deployment(entries: Iterable[Entry], start: datetime) -> Deployment | None:
    """The champion's deployment when a partition began; None: there was no champion.

    Args:
        entries: The whole ledger, oldest first.
        start: When the partition began, event time.
    """
    return next((each for each in reversed(ledger.deployments(entries)) if each.start <= start), None)
