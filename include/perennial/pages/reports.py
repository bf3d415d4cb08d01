"""Serves pages that MLflow stores: Evidently's report on a partition, and the model card of a version.

They are not trusted: each is shown in a sandbox of its own, from which it reaches neither the other pages nor any other
server.
"""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from perennial import lake_cache
from perennial.pages.access import PartitionDep, UseCaseDep
from perennial.pages.layout import HEADERS
from perennial.pages.version import VersionDep
from perennial.registry import mlflow_artifacts, mlflow_records

router = APIRouter()

CARD = f"{mlflow_artifacts.CARD_FOLDER}/{mlflow_artifacts.CARD_HTML}"
#: `sandbox` takes a page's origin away, so that it has no cookie and reads nothing of ours; the rest leaves it nothing
#: to load or send to.
_ISOLATED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'self'; "
)
#: Evidently's report draws itself by inline scripts.
_WITH_SCRIPTS = _ISOLATED + "script-src 'unsafe-inline'; sandbox allow-scripts"
#: A card's links lead to MLflow, in a window of its own: a frame of ours shows nothing from elsewhere.
_WITHOUT = _ISOLATED + "sandbox allow-popups allow-popups-to-escape-sandbox"
_ELSEWHERE = (b"<head>", b'<head>\n<base target="_blank">')


@router.get("/use_cases/{use_case}/partitions/{partition}/drift_report")
def drift_report(use_case: UseCaseDep, partition: PartitionDep, run: str | None = None) -> Response:
    """Evidently's report on a partition: that of the current verdict, or of the one that MLflow's `run` belongs to.

    Args:
        use_case: Whose.
        partition: Which.
        run: The MLflow run of a verdict; None: of the current one.

    Raises:
        ServiceUnavailable: the lake or MLflow cannot be reached.
        HTTPException: 404, there is no such report.
    """
    table = use_case.tables.verdicts
    rows = lake_cache.records([table], {table: ("partition", "report", "recorded_at")})[table]
    own = sorted((row for row in rows if row["partition"] == partition.key), key=lambda row: row["recorded_at"])
    kept = [run_id for row in own if (run_id := mlflow_records.run_id_in(row["report"]))]
    # Only runs that a verdict names are read from MLflow, whatever the address says.
    if not kept or run not in (None, *kept):
        raise HTTPException(404, f"No drift report {run or ''} of {use_case.name} {partition.key} was recorded.")
    return _isolated(
        mlflow_records.quick.artifact(run or kept[-1], mlflow_artifacts.DRIFT_REPORT),
        "MLflow no longer has this report.",
        _WITH_SCRIPTS,
    )


@router.get("/use_cases/{use_case}/versions/{version}/card")
def card(version: VersionDep) -> Response:
    """The model card of a version, as it was attached last.

    Raises:
        ServiceUnavailable: the lake or MLflow cannot be reached.
    """
    html = mlflow_records.quick.artifact(version.run, CARD) if version.run else None
    linked = html.replace(*_ELSEWHERE, 1) if html else None
    return _isolated(linked, f"Version {version.number} has no model card.", _WITHOUT)


def _isolated(content: bytes | None, absent: str, policy: str) -> Response:
    """A page that is not trusted, isolated by its headers wherever it is shown."""
    if content is None:
        raise HTTPException(404, absent)
    headers = HEADERS | {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)
