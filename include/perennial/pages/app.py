"""The web application that serves Perennial's pages inside Airflow's API server, behind Airflow's own access control.

Who may read a use case's DAG `features` may read its pages.
"""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse

from perennial import discovery, judgements
from perennial.errors import InvalidPartition, ServiceUnavailable
from perennial.pages import validation as page
from perennial.partitions import Partition
from perennial.use_case import UseCase

#: Nothing is loaded from anywhere, and no script runs, whatever a page may hold.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def _may_read(use_case: str, request: Request, user: GetUserDep) -> None:
    """Refuse who may not see the use case's runs: 401 without a login, 403 without the right."""
    requires_access_dag("GET", DagAccessEntity.TASK_LOGS, f"{use_case}.features")(request, user)


def _partition(use_case: str, partition: str, _: Annotated[None, Depends(_may_read)]) -> tuple[UseCase, Partition]:
    if use_case not in discovery.names():  # Never imported because somebody asks for it.
        raise HTTPException(404, f"There is no use case {use_case!r}.")
    try:
        found = discovery.load(use_case)
        return found, found.partition(partition)
    except InvalidPartition as error:
        raise HTTPException(404, str(error)) from error


app = FastAPI(title="Perennial", openapi_url=None, dependencies=[Depends(_may_read)])


@app.get("/validations/{use_case}/{partition}", response_class=HTMLResponse)
@app.get("/validations/{use_case}/{partition}/{validation}", response_class=HTMLResponse)
def validation(
    which: Annotated[tuple[UseCase, Partition], Depends(_partition)], validation: str | None = None
) -> HTMLResponse:
    """What Great Expectations found in a partition: in one run, or in the newest."""
    use_case, partition = which
    try:
        rows = judgements.of_partition(use_case, partition)
        return HTMLResponse(page.render(use_case, partition.key, rows, validation), headers=_HEADERS)
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
    except ServiceUnavailable as error:
        raise HTTPException(503, str(error)) from error
