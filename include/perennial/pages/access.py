"""Who may see a use case and who may change something in it: Airflow's own answer, asked of its auth manager.

Reading a use case's pages is reading the logs of its DAG `features`; doing something is what Airflow asks for the same
act on the DAG that does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request

from perennial import discovery
from perennial.errors import InvalidPartition
from perennial.partitions import Partition
from perennial.use_case import UseCase


class Need(NamedTuple):
    """What Airflow asks of who wants to do something: a right on a pipeline's DAG, and how people call it."""

    pipeline: str
    method: Literal["POST", "PUT"]
    entity: DagAccessEntity
    right: str


#: What a person can do on a page.
Act = Literal["retrain", "answer", "roll-back", "resume"]
NEEDS: dict[Act, Need] = {
    "retrain": Need("training", "POST", DagAccessEntity.RUN, "start runs"),
    "answer": Need("training", "PUT", DagAccessEntity.HITL_DETAIL, "answer required actions"),
    "roll-back": Need("champion", "POST", DagAccessEntity.RUN, "start runs"),
    "resume": Need("champion", "POST", DagAccessEntity.RUN, "start runs"),
}


def readable(names: Iterable[str], user: BaseUser) -> list[str]:
    """Those of the use cases whose pages the user may read."""
    dags = {name: f"{name}.features" for name in names}
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dags.values()))
    return [name for name, dag in dags.items() if _may("GET", DagAccessEntity.TASK_LOGS, dag, teams.get(dag), user)]


def allowed(use_case: str, user: BaseUser) -> frozenset[Act]:
    """What the user may do in the use case."""
    dags = {f"{use_case}.{need.pipeline}" for need in NEEDS.values()}
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dags))
    return frozenset(
        act
        for act, need in NEEDS.items()
        if _may(need.method, need.entity, dag := f"{use_case}.{need.pipeline}", teams.get(dag), user)
    )


def _may(
    method: Literal["GET", "POST", "PUT"], entity: DagAccessEntity, dag: str, team: str | None, user: BaseUser
) -> bool:
    details = DagDetails(id=dag, team_name=team)
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)


def _may_read(use_case: str, request: Request, user: GetUserDep) -> None:
    """Refuse who may not see the use case's runs: 401 without a login, 403 without the right."""
    requires_access_dag("GET", DagAccessEntity.TASK_LOGS, f"{use_case}.features")(request, user)


def _use_case(use_case: str, _: Annotated[None, Depends(_may_read)]) -> UseCase:
    if use_case not in discovery.names():  # Never imported because somebody asks for it.
        raise HTTPException(404, f"There is no use case {use_case!r}.")
    return discovery.load(use_case)


#: The use case that the path names, for who may read it.
UseCaseDep = Annotated[UseCase, Depends(_use_case)]


def _partition(use_case: UseCaseDep, partition: str) -> Partition:
    try:
        return use_case.partition(partition)
    except InvalidPartition as error:
        raise HTTPException(404, str(error)) from error


#: The partition of that use case that the path names.
PartitionDep = Annotated[Partition, Depends(_partition)]


def _acts(use_case: UseCaseDep, user: GetUserDep) -> frozenset[Act]:
    return allowed(use_case.name, user)


#: What the user may do in that use case.
ActsDep = Annotated[frozenset[Act], Depends(_acts)]


def _act(act: str, use_case: UseCaseDep, acts: ActsDep) -> Act:
    if act not in NEEDS:
        raise HTTPException(404, f"There is no act {act!r}.")
    if act not in acts:
        need = NEEDS[act]
        raise HTTPException(
            403,
            f"Your role in Airflow does not let you do this: it takes the right to {need.right} of the DAG"
            f" {use_case.name}.{need.pipeline}.",
        )
    return act


#: The act that the path names, for who may do it.
ActDep = Annotated[Act, Depends(_act)]


def from_our_own_page(request: Request) -> None:
    """Refuse, with 403, what another site made the person's browser send: it brings the cookie along by itself.

    A token in the header is nothing that another site could have sent. Browsers say where a request comes from in
    `Sec-Fetch-Site`, older ones in `Origin`; one that says neither is not believed.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        # Behind a proxy the host that it was sent to is not the one that the browser knows.
        hosts = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="")).netloc} - {None, ""}
        ours = urlsplit(request.headers.get("origin", "")).netloc in hosts
    if not ours:
        raise HTTPException(403, "This was sent from another site, not from a page of Perennial. Nothing was done.")
