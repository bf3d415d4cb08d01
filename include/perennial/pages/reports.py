"""Pages that others made and MLflow keeps: Evidently's report on a partition, and the card of a version.

They are shown in ours as what they are, somebody else's pages: in a sandbox of their own, from which they reach neither
our pages nor any other place.
"""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from perennial import lake_cache
from perennial.pages.access import PartitionDep, UseCaseDep
from perennial.pages.layout import HEADERS
from perennial.pages.version import VersionDep
from perennial.registry import mlflow_records

router = APIRouter()

#: Where a run keeps them: as `perennial.monitoring.monitor` and `perennial.model_card` do, which are heavy to import.
REPORT = "drift.html"
CARD = "model_card/model_card.html"
#: `sandbox` takes a page's origin away, so that it has no cookie and reads nothing of ours; the rest leaves it nothing
#: to load or send to.
_ENCLOSED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'self'; "
)
#: Evidently's report draws itself by scripts that stand in it.
_WITH_SCRIPTS = _ENCLOSED + "script-src 'unsafe-inline'; sandbox allow-scripts"
#: A card's links lead to MLflow, in a window of its own: a frame of ours shows nothing from elsewhere.
_WITHOUT = _ENCLOSED + "sandbox allow-popups allow-popups-to-escape-sandbox"
_ELSEWHERE = (b"<head>", b'<head>\n<base target="_blank">')


@router.get("/use_cases/{use_case}/partitions/{partition}/drift_report")
def drift_report(use_case: UseCaseDep, partition: PartitionDep, run: str | None = None) -> Response:
    """Evidently's report on a partition: that of the verdict that holds, or of the one that MLflow's `run` is of.

    Raises:
        ServiceUnavailable: the lake or MLflow cannot be reached.
    """
    table = use_case.tables.verdicts
    rows = lake_cache.records([table], {table: ("partition", "report", "recorded_at")})[table]
    own = sorted((row for row in rows if row["partition"] == partition.key), key=lambda row: row["recorded_at"])
    kept = [found for row in own if (found := mlflow_records.run_id_in(row["report"]))]
    # Only what a verdict names is asked of MLflow, whatever an address says.
    if not kept or run not in (None, *kept):
        raise HTTPException(404, f"No drift report {run or ''} of {use_case.name} {partition.key} is kept.")
    return _enclosed(
        mlflow_records.quick.artifact(run or kept[-1], REPORT), "MLflow no longer holds this report.", _WITH_SCRIPTS
    )


@router.get("/use_cases/{use_case}/versions/{version}/card")
def card(version: VersionDep) -> Response:
    """The model card of a version, as it was attached last.

    Raises:
        ServiceUnavailable: the lake or MLflow cannot be reached.
    """
    found = mlflow_records.quick.artifact(version.run, CARD) if version.run else None
    linked = found.replace(*_ELSEWHERE, 1) if found else None
    return _enclosed(linked, f"Version {version.number} has no model card.", _WITHOUT)


def _enclosed(content: bytes | None, absent: str, policy: str) -> Response:
    """Somebody else's page, as an answer that is locked up wherever it is shown."""
    if content is None:
        raise HTTPException(404, absent)
    headers = HEADERS | {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)
