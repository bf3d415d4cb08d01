"""The page of a model version: status, deployments, the gate's evaluation, production performance, training.

The ledger and the lake come first. What MLflow adds is shown if it answers; if it does not, the page says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from perennial import lake_cache
from perennial.errors import ServiceUnavailable
from perennial.gate import rollout_report
from perennial.gate.decision import CHALLENGER, CHAMPION, INCONCLUSIVE, from_evidence, in_words
from perennial.monitoring import alarms, roles
from perennial.pages import airflow_state, version_training
from perennial.pages.access import AllowedActionsDep, UseCaseDep
from perennial.pages.layout import page, version_colour
from perennial.registry import deployments, ledger, mlflow_artifacts, mlflow_records, rollouts
from perennial.registry.ledger import Entry
from perennial.use_case import UseCase
from perennial.use_case.metric_names import direction

router = APIRouter()

Row = Mapping[str, Any]
_METRICS = ("partition", "model_version", "role", "metric", "value", "rows", "labelled", "recorded_at")
_VERDICTS = ("partition", "model_version", "verdict", "reason", "explanation", "evidence", "recorded_at")
_REQUESTS = ("partition",)


@dataclass(frozen=True)
class RequestedVersion:
    """A version that there is.

    Attributes:
        entries: The use case's whole ledger, oldest first.
        run: The MLflow run that made it.
    """

    use_case: UseCase
    number: int
    entries: tuple[Entry, ...]
    run: str | None


def _version(use_case: UseCaseDep, version: str) -> RequestedVersion:
    """The version that a path names: known to the ledger, or, while nothing is decided about it, to MLflow."""
    table = use_case.tables.ledger
    entries = ledger.from_rows(lake_cache.records([table])[table])
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 9 else 0
    run = next((entry.model_run for entry in reversed(entries) if entry.model_version == number), None)
    if run is None:
        numbers = {entry.model_version for entry in entries}
        try:
            run = mlflow_records.quick.run_of(use_case.name, number) if number else None
            numbers.update(mlflow_records.quick.versions(use_case.name) if run is None else ())
        except ServiceUnavailable as error:
            if number:  # Whatever else is asked for, MLflow cannot know it either.
                raise ServiceUnavailable(
                    f"Version {number} of {use_case.name} is not in the ledger, which has {_listed(numbers)}, and"
                    " MLflow, which knows the others, does not answer.",
                    error.fix,
                ) from error
        if run is None:
            raise HTTPException(404, f"{use_case.name} has no version {version!r}; there are {_listed(numbers)}.")
    return RequestedVersion(use_case, number, tuple(entries), run)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(f"v{number}" for number in sorted(numbers)) or "none"


#: The version of the use case that the path names.
VersionDep = Annotated[RequestedVersion, Depends(_version)]


@router.get("/use_cases/{use_case}/versions/{version}")
def show(request: Request, version: VersionDep, allowed: AllowedActionsDep) -> HTMLResponse:
    """Everything that is recorded of a version.

    Args:
        request: Tells who asks, and where Airflow is mounted.
        version: Which.
        allowed: What the person may do.
    """
    use_case = version.use_case
    tables = {name: use_case.tables[name] for name in ("metrics", "verdicts", "requests")}
    columns = zip(tables.values(), (_METRICS, _VERDICTS, _REQUESTS), strict=True)
    rows = lake_cache.records(list(tables.values()), dict(columns))
    metrics, verdicts, requests = (rows[table] for table in tables.values())
    made, away = version_training.of(use_case, version.run)
    by = version_training.airflow_run(made)
    return page(
        request,
        "version",
        **view(version, metrics, verdicts, made, away, requests),
        made_by=by,
        airflow_run=airflow_state.run(*by) if by else None,
        may_roll_back="roll-back" in allowed,
    )


def view(
    version: RequestedVersion,
    metrics: Sequence[Row],
    verdicts: Sequence[Row],
    made: version_training.TrainingRecord | None = None,
    away: str = "",
    requests: Sequence[Row] = (),
) -> dict[str, Any]:
    """What the page shows.

    Args:
        version: Which.
        metrics: All rows of that table.
        verdicts: All rows of that table.
        made: What MLflow recorded of the run that trained it; None: nothing.
        away: Why MLflow did not answer; empty: it did.
        requests: All rows of that table: what is open waits for them.
    """
    use_case, number, entries = version.use_case, version.number, version.entries
    decided = ledger.decision_on(entries, number)
    decision = from_evidence(
        decided.evidence if decided else made.documents.get(mlflow_artifacts.GATE, {}) if made else {}
    )
    compared = decision.metrics if decision else {}
    expected = compared.get(CHALLENGER, {}).get(use_case.gate.metric)
    performance = _performance(use_case, number, metrics, verdicts)
    alarmed = alarms.states(use_case, verdicts, entries, requests)
    for row in performance:
        its = row["verdict"] and alarmed.get(row["partition"])
        row["alarm"] = its if its and its.version == number else None
    return {
        "use_case": use_case,
        "version": number,
        "status": status(entries, number),
        "champion": ledger.champion_among(entries),
        "decided": decided,
        "decision": decision,
        "outcome": in_words(decision.outcome) if decision else "",
        "compared": _compared(compared),
        "rollout": _rollout(entries, number, made),
        "expected": expected,
        "deployments": [
            {"deployment": deployment, "partitions": deployments.partitions_served(use_case, deployment)}
            for deployment in deployments.periods(entries)
            if deployment.version == number
        ],
        "mentions": [entry for entry in entries if number in ledger.versions_of(entry)],
        "performance": performance,
        "chart": _chart(number, performance, expected) if len(performance) > 1 else None,
        "run": version.run,
        "run_page": mlflow_records.run_page(version.run) if version.run else None,
        "model_page": mlflow_records.model_page(use_case.name, number),
        "made": version_training.view(made) if made else None,
        "away": away,
    }


def status(entries: Sequence[Entry], number: int) -> str:
    """What a version is now: `champion`, `former champion`, `refitted`, `rejected`, `inconclusive` or `challenger`.

    It is a challenger while nothing is decided about it, and `refitted` if its refit was promoted in its place.

    Args:
        entries: The use case's whole ledger, oldest first.
        number: The version.
    """
    serving = ledger.champion_among(entries)
    if serving is not None and serving.model_version == number:
        return "champion"
    if any(deployment.entry.model_version == number for deployment in ledger.deployments(entries)):
        return "former champion"
    decided = ledger.decision_on(entries, number)
    if decided is None:
        return "challenger"
    if decided.action == ledger.PROMOTED:
        return "refitted"
    decision = from_evidence(decided.evidence)
    return "inconclusive" if decision and decision.outcome == INCONCLUSIVE else "rejected"


def _rollout(
    entries: Sequence[Entry], number: int, made: version_training.TrainingRecord | None
) -> dict[str, Any] | None:
    """The stages of a version's rollout, and what was known of it at the newest look; None: it had none."""
    begun = rollouts.of_version(entries, number)
    if not begun:
        return None
    report = rollout_report.from_document(made.documents.get(mlflow_artifacts.ROLLOUT)) if made else None
    stages = [{"entry": entry, "stage": rollouts.Stage.of(entry.evidence[rollouts.STAGE])} for entry in begun]
    return {"stages": stages, "report": report, "compared": _compared(report.metrics) if report else []}


def _compared(metrics: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Challenger and the model it was evaluated against, on the same rows, by metric."""
    mine, its = metrics.get(CHALLENGER, {}), metrics.get(CHAMPION, {})
    return [
        {
            "name": name,
            "challenger": mine.get(name),
            "reference": its.get(name),
            "direction": direction(name),
        }
        for name in dict.fromkeys([*mine, *its])
    ]


def _performance(
    use_case: UseCase, number: int, metrics: Sequence[Row], verdicts: Sequence[Row]
) -> list[dict[str, Any]]:
    """How the version performed, partition by partition, by the gate's metric.

    As the champion that scored it; the first model also on the rows of its successors. Of each partition the newest
    measurement and verdict.
    """
    measured: dict[tuple[str, str], Row] = {}
    for row in sorted(metrics, key=lambda row: row["recorded_at"]):
        if row["model_version"] == number and row["metric"] == use_case.gate.metric:
            measured[row["partition"], row["role"]] = row
    judged = {
        row["partition"]: row
        for row in sorted(verdicts, key=lambda row: row["recorded_at"])
        if row["model_version"] == number
    }
    partitions = sorted({partition for partition, _ in measured} | judged.keys())
    shown = []
    for partition in partitions:
        as_champion = measured.get((partition, roles.CHAMPION))
        newest = as_champion or measured.get((partition, roles.FIRST_MODEL))
        scored = as_champion is not None or partition in judged
        shown.append(
            {
                "partition": partition,
                "role": "champion" if scored else "first model",
                "value": newest["value"] if newest else None,
                "coverage": newest["labelled"] / newest["rows"] if newest and newest["rows"] else None,
                "labelled": newest["labelled"] if newest else None,
                "recorded_at": newest["recorded_at"] if newest else None,
                "verdict": judged.get(partition),
            }
        )
    return shown


def _chart(number: int, performance: Sequence[Row], expected: float | None) -> dict[str, Any]:
    """The same for `charts.js`; links are relative to the page."""
    labels = {"champion": ("as champion", False), "first model": ("as the first model, never retrained", True)}
    series = [
        {
            "label": label,
            "values": [row["value"] if row["role"] == role else None for row in performance],
            "colour": f"--{version_colour(number)}" if role == "champion" else "--soft",
            "dashed": dashed,
        }
        for role, (label, dashed) in labels.items()
        if any(row["role"] == role for row in performance)
    ]
    lines = [{"value": expected, "label": "expected", "colour": "--good"}] if expected is not None else []
    return {
        "x": [row["partition"] for row in performance],
        "series": series,
        "lines": lines,
        "links": [f"../partitions/{row['partition']}" for row in performance],
    }
