"""Leads from a DAG, a run or a task in Airflow to its page."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from perennial import dag_names, discovery
from perennial.errors import InvalidPartition
from perennial.pages import access, airflow_state
from perennial.pages._compat import GetUserDep
from perennial.pages.layout import page, root

router = APIRouter()


@router.get("/of")
def of(request: Request, user: GetUserDep, dag: str, run: str | None = None, task: str | None = None) -> Response:
    """Redirect to the page of a DAG, a run or a task.

    That is the version that the run registered, the partition it worked on, or the use case. A DAG of somebody else has
    no page, and the answer says so.

    Args:
        request: Tells where Airflow is mounted.
        user: Who is logged in.
        dag: Which DAG.
        run: Which run; None: the page of the use case.
        task: Which task; all tasks of a run share a page.

    Raises:
        HTTPException: 403, the person may not read the use case.
    """
    name, _, pipeline = dag.rpartition(".")
    if name not in discovery.names() or pipeline not in dag_names.ALL:
        return page(request, "no_page", dag=dag, names=access.readable(discovery.names(), user))
    if not access.readable([name], user):
        raise HTTPException(403, f"Your role in Airflow does not let you read the use case {name!r}.")
    return RedirectResponse(f"{root(request)}/use_cases/{name}{_below(name, dag, run)}", 303)


def _below(name: str, dag: str, run_id: str | None) -> str:
    """The page of a run, below its use case's."""
    run = airflow_state.run(dag, run_id) if run_id else None
    if run is None:
        return ""
    if run.pipeline == dag_names.TRAINING and (version := airflow_state.version(dag, run.id)):
        return f"/versions/{version}"
    if run.partition is None:
        return ""
    try:
        return f"/partitions/{quote(discovery.load(name).partition(run.partition).key)}"
    except InvalidPartition:  # A run of before the use case began later, or of a mistyped key.
        return ""
