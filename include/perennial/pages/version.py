"""The page of a model version: what it is, what it was made of, how it was judged, and how it has lived.

The ledger and the lake come first. What MLflow adds is shown if it answers; where it does not, the page says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from perennial import lake_cache
from perennial.errors import ServiceUnavailable
from perennial.pages import airflow_state, version_training
from perennial.pages.access import ActsDep, UseCaseDep
from perennial.pages.layout import page, version_colour
from perennial.registry import deployments, ledger, mlflow_records
from perennial.registry.ledger import Entry
from perennial.use_case import LOWER_IS_BETTER, UseCase

router = APIRouter()

Row = Mapping[str, Any]
_METRICS = ("partition", "model_version", "role", "metric", "value", "rows", "labelled", "recorded_at")
_VERDICTS = ("partition", "model_version", "verdict", "explanation", "recorded_at")


#: What earlier gates did not say of a decision.
_UNTOLD: dict[str, Any] = {
    **dict.fromkeys(("champion", "rows", "gained", "interval", "confidence")),
    "reason": "",
    "borderline": False,
    "rules": (),
    "not_judged": (),
    "measured": {},
}


@dataclass(frozen=True)
class Version:
    """A version that there is.

    Attributes:
        entries: The use case's whole ledger, oldest first.
        run: The MLflow run that made it.
    """

    use_case: UseCase
    number: int
    entries: tuple[Entry, ...]
    run: str | None


def _version(use_case: UseCaseDep, version: str) -> Version:
    """The version that a path names: known to the ledger, or, while nothing is decided about it, to MLflow."""
    table = use_case.tables.ledger
    entries = ledger.from_rows(lake_cache.records([table])[table])
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 9 else 0
    run = next((entry.model_run for entry in reversed(entries) if entry.model_version == number), None)
    if run is None:
        known = {entry.model_version for entry in entries}
        try:
            run = mlflow_records.quick.run_of(use_case.name, number) if number else None
            known.update(mlflow_records.quick.versions(use_case.name) if run is None else ())
        except ServiceUnavailable as error:
            raise ServiceUnavailable(
                f"Version {number} of {use_case.name} is not in the ledger, which has {_listed(known)}, and MLflow,"
                " which knows the others, does not answer.",
                error.fix,
            ) from error
        if run is None:
            raise HTTPException(404, f"{use_case.name} has no version {version!r}; there are {_listed(known)}.")
    return Version(use_case, number, tuple(entries), run)


def _listed(known: Iterable[int]) -> str:
    return ", ".join(f"v{number}" for number in sorted(known)) or "none"


#: The version of the use case that the path names.
VersionDep = Annotated[Version, Depends(_version)]


@router.get("/use_cases/{use_case}/versions/{version}")
def show(request: Request, version: VersionDep, acts: ActsDep) -> HTMLResponse:
    """Everything that is recorded of a version."""
    use_case = version.use_case
    tables = {name: use_case.tables[name] for name in ("metrics", "verdicts")}
    rows = lake_cache.records(list(tables.values()), {tables["metrics"]: _METRICS, tables["verdicts"]: _VERDICTS})
    made, away = version_training.of(version.run)
    by = version_training.airflow_run(made)
    return page(
        request,
        "version",
        **view(version, rows[tables["metrics"]], rows[tables["verdicts"]], made, away),
        made_by=by,
        airflow_run=airflow_state.run(*by) if by else None,
        may_roll_back="roll-back" in acts,
    )


def view(
    version: Version,
    metrics: Sequence[Row],
    verdicts: Sequence[Row],
    made: version_training.Made | None = None,
    away: str = "",
) -> dict[str, Any]:
    """What the page shows.

    Args:
        metrics, verdicts: All rows of those tables.
        made: What MLflow holds of the run that made it; None: nothing.
        away: Why MLflow was not heard; empty: it was.
    """
    use_case, number, entries = version.use_case, version.number, version.entries
    decided = ledger.decision_on(entries, number)
    decision = decided.evidence if decided else made.documents.get("gate.json", {}) if made else {}
    if decision:
        decision = _UNTOLD | {"outcome": "promote" if decision.get("promote") else "reject"} | decision
    promised = decision.get("metrics", {}).get("challenger", {}).get(use_case.gate.metric)
    lived = _lived(use_case, number, metrics, verdicts)
    return {
        "use_case": use_case,
        "version": number,
        "status": status(entries, number),
        "champion": ledger.champion_among(entries),
        "decided": decided,
        "decision": decision,
        "compared": _compared(decision.get("metrics", {})),
        "promised": promised,
        "deployments": [
            {"deployment": deployment, "partitions": deployments.partitions_served(use_case, deployment)}
            for deployment in deployments.periods(entries)
            if deployment.version == number
        ],
        "mentions": [entry for entry in entries if number in (entry.model_version, entry.previous_version)],
        "lived": lived,
        "chart": _chart(number, lived, promised) if len(lived) > 1 else None,
        "run": version.run,
        "run_page": mlflow_records.run_page(version.run) if version.run else None,
        "model_page": mlflow_records.model_page(use_case.name, number),
        "made": version_training.view(made) if made else None,
        "away": away,
    }


def status(entries: Sequence[Entry], number: int) -> str:
    """What a version is now: `champion`, `served before`, `rejected`, `not enough evidence`, or, while nothing is
    decided about it, `challenger`."""
    serving = ledger.champion_among(entries)
    if serving is not None and serving.model_version == number:
        return "champion"
    if any(deployment.entry.model_version == number for deployment in ledger.deployments(entries)):
        return "served before"
    decided = ledger.decision_on(entries, number)
    if decided is None:
        return "challenger"
    return "not enough evidence" if decided.evidence.get("outcome") == "not-enough-evidence" else "rejected"


def _compared(metrics: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Challenger and rival on the same rows, by metric."""
    mine, its = metrics.get("challenger", {}), metrics.get("rival", {})
    return [
        {
            "name": name,
            "challenger": mine.get(name),
            "rival": its.get(name),
            "lower_is_better": name in LOWER_IS_BETTER,
        }
        for name in dict.fromkeys([*mine, *its])
    ]


def _lived(use_case: UseCase, number: int, metrics: Sequence[Row], verdicts: Sequence[Row]) -> list[dict[str, Any]]:
    """How the version did, partition by partition, by the gate's metric: as the champion that scored it, and, of the
    first model, on the rows of those that came after it. Of each the newest measurement and verdict."""
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
    found = []
    for partition in partitions:
        as_champion = measured.get((partition, "champion"))
        newest = as_champion or measured.get((partition, "first"))
        scored = as_champion is not None or partition in judged
        found.append(
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
    return found


def _chart(number: int, lived: Sequence[Row], promised: float | None) -> dict[str, Any]:
    """The same for `charts.js`; links are relative to the page."""
    roles = {"champion": ("as champion", False), "first model": ("as the stale first model", True)}
    series = [
        {
            "label": label,
            "values": [row["value"] if row["role"] == role else None for row in lived],
            "colour": f"--{version_colour(number)}" if role == "champion" else "--soft",
            "dashed": dashed,
        }
        for role, (label, dashed) in roles.items()
        if any(row["role"] == role for row in lived)
    ]
    lines = [{"value": promised, "label": "promised by the gate", "colour": "--good"}] if promised is not None else []
    return {
        "x": [row["partition"] for row in lived],
        "series": series,
        "lines": lines,
        "links": [f"../partitions/{row['partition']}" for row in lived],
    }
