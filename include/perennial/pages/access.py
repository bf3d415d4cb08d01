"""Who may see a use case, and who may do what in it, as Airflow's auth manager decides.

Reading a use case's pages takes the permission to read the task logs of its DAG `features`; an action takes the
permission that Airflow requires for the same action on the DAG that carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request

from perennial import discovery
from perennial.dag_names import CHAMPION, FEATURES, TRAINING, dag_id
from perennial.errors import InvalidPartition
from perennial.pages._compat import (
    BaseUser,
    DagAccessEntity,
    DagDetails,
    DagModel,
    GetUserDep,
    get_auth_manager,
    requires_access_dag,
)
from perennial.pages.requests import host_of
from perennial.partitions import Partition
from perennial.use_case import UseCase


class Permission(NamedTuple):
    """A permission on a pipeline's DAG in Airflow, and its name for people."""

    pipeline: str
    method: Literal["POST", "PUT"]
    entity: DagAccessEntity
    permission: str


#: What a person can do on a page.
Action = Literal["retrain", "answer", "roll-back", "resume"]
PERMISSIONS: dict[Action, Permission] = {
    "retrain": Permission(TRAINING, "POST", DagAccessEntity.RUN, "start runs"),
    "answer": Permission(TRAINING, "PUT", DagAccessEntity.HITL_DETAIL, "answer required actions"),
    "roll-back": Permission(CHAMPION, "POST", DagAccessEntity.RUN, "start runs"),
    "resume": Permission(CHAMPION, "POST", DagAccessEntity.RUN, "start runs"),
}


#: What acknowledging an incident takes.
ACKNOWLEDGE = Permission(FEATURES, "POST", DagAccessEntity.RUN, "start runs")


def readable(names: Iterable[str], user: BaseUser) -> list[str]:
    """The use cases whose pages the user may read.

    Args:
        names: Those in question.
        user: Who is logged in.
    """
    dags = {name: dag_id(name, FEATURES) for name in names}
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dags.values()))
    return [name for name, dag in dags.items() if _may("GET", DagAccessEntity.TASK_LOGS, dag, teams.get(dag), user)]


def allowed(use_case: str, user: BaseUser) -> frozenset[Action]:
    """What the user may do in the use case.

    Args:
        use_case: Its name.
        user: Who is logged in.
    """
    dags = {dag_id(use_case, needed.pipeline) for needed in PERMISSIONS.values()}
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dags))
    return frozenset(
        action
        for action, needed in PERMISSIONS.items()
        if _may(needed.method, needed.entity, dag := dag_id(use_case, needed.pipeline), teams.get(dag), user)
    )


def _may(
    method: Literal["GET", "POST", "PUT"], entity: DagAccessEntity, dag: str, team: str | None, user: BaseUser
) -> bool:
    details = DagDetails(id=dag, team_name=team)
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)


def _may_read(use_case: str, request: Request, user: GetUserDep) -> None:
    """401 without a login, 403 without the permission to see the use case's runs."""
    requires_access_dag("GET", DagAccessEntity.TASK_LOGS, dag_id(use_case, FEATURES))(request, user)


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


def _allowed(use_case: UseCaseDep, user: GetUserDep) -> frozenset[Action]:
    return allowed(use_case.name, user)


#: What the user may do in that use case.
AllowedActionsDep = Annotated[frozenset[Action], Depends(_allowed)]


def can_acknowledge(use_case: UseCaseDep, user: GetUserDep) -> bool:
    """Whether the user may acknowledge incidents of the use case.

    Args:
        use_case: Whose.
        user: Who is logged in.
    """
    dag = dag_id(use_case.name, ACKNOWLEDGE.pipeline)
    team = DagModel.get_dag_id_to_team_name_mapping([dag]).get(dag)
    return _may(ACKNOWLEDGE.method, ACKNOWLEDGE.entity, dag, team, user)


#: Whether the user may acknowledge incidents of that use case.
MayAcknowledgeDep = Annotated[bool, Depends(can_acknowledge)]


def may_acknowledge(use_case: UseCaseDep, may: MayAcknowledgeDep) -> None:
    """Let only those pass who may acknowledge incidents of the use case.

    Args:
        use_case: Whose.
        may: Whether the user may.

    Raises:
        HTTPException: 403, the user may not.
    """
    if not may:
        needed = f"permission to {ACKNOWLEDGE.permission} of the DAG {dag_id(use_case.name, ACKNOWLEDGE.pipeline)}"
        raise HTTPException(403, f"Your role in Airflow does not let you do this: it requires {needed}.")


def _action(action: str, use_case: UseCaseDep, allowed_actions: AllowedActionsDep) -> Action:
    if action not in PERMISSIONS:
        raise HTTPException(404, f"There is no action {action!r}.")
    if action not in allowed_actions:
        needed = PERMISSIONS[action]
        raise HTTPException(
            403,
            f"Your role in Airflow does not let you do this: it requires permission to {needed.permission} of the DAG"
            f" {dag_id(use_case.name, needed.pipeline)}.",
        )
    return action


#: The action that the path names, for who may do it.
ActionDep = Annotated[Action, Depends(_action)]


def from_our_own_page(request: Request) -> None:
    """Reject what another site made the person's browser send: the browser adds the cookie by itself.

    Another site cannot set a token in the header. Browsers say where a request comes from in `Sec-Fetch-Site`, older
    ones in `Origin`; a request with neither is rejected.

    Raises:
        HTTPException: 403, it came from another site.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        # Behind a proxy the host that it was sent to is not the one that the browser knows.
        hosts = {request.headers.get("host"), host_of(conf.get("api", "base_url", fallback=""))} - {None, ""}
        ours = host_of(request.headers.get("origin", "")) in hosts
    if not ours:
        raise HTTPException(403, "This was sent from another site, not from a page of Perennial. Nothing was started.")
