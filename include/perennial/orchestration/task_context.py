"""What a running task asks Airflow: its use case, partition and parameters; and what it tells: an event, or a skip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from airflow.sdk import Asset, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from perennial import dag_names, discovery
from perennial.errors import InvalidParams, InvalidPartition, UnknownVersion
from perennial.gate import rollback_plan, rollout_request
from perennial.orchestration.assets import champion_asset
from perennial.partitions import Partition
from perennial.use_case import UseCase


def partition_of_run() -> tuple[UseCase, Partition]:
    """The use case and the partition of the running task.

    Raises:
        InvalidPartition: the run has no partition key, or the use case has no such partition.
        InvalidParams: the run's conf has keys that the DAG does not know.
    """
    use_case = use_case_of_run()
    key = partition_key()
    if key is None:
        dag_id = get_current_context()["dag"].dag_id
        raise InvalidPartition(
            f"This run of {dag_id} names no partition.",
            f"Trigger it with a partition key, for instance {use_case.start!r}.",
        )
    return use_case, use_case.partition(key)


def use_case_of_run() -> UseCase:
    """The use case of the running task.

    Raises:
        InvalidParams: the run's conf has keys that the DAG does not know.
    """
    context = get_current_context()
    dag = context["dag"]
    unknown = sorted(set(context["dag_run"].conf or {}) - set(dag.params))
    if unknown:
        names = ", ".join(dag.params) or "none"
        raise InvalidParams(f"{dag.dag_id} knows no parameter {', '.join(map(repr, unknown))}.", f"Known: {names}.")
    return discovery.load(dag_names.use_case_name(dag.dag_id))


def partition_key() -> str | None:
    """The partition key of the run, if it has one."""
    return get_current_context()["dag_run"].partition_key


def moment_of_run() -> datetime:
    """The moment that the run is of (UTC): the one its parameter `until` names, else when it was due.

    Raises:
        InvalidParams: `until` is no time, has no time zone, or is later than the run.
    """
    due: datetime = get_current_context()["dag_run"].run_after
    given = params_of_run().get("until")
    if given is None:
        return due.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment > due:
        raise InvalidParams(
            f"until={given!r} is no moment before this run, which was due at {due.isoformat()}.",
            "Write it like 2013-03-05T10:00Z.",
        )
    return moment.astimezone(UTC)


def run_reference() -> str:
    """The running DAG run as MLflow and the lake record it; unique over all DAGs."""
    run = get_current_context()["dag_run"]
    return f"{run.dag_id}/{run.run_id}"


def triggering_user() -> str:
    """Who triggered the run: the user's name in Airflow."""
    return get_current_context()["dag_run"].triggering_user_name or "unknown"


def params_of_run() -> dict[str, Any]:
    """The run's parameters, the form's defaults included."""
    return dict(get_current_context()["params"])


def rollback_request(action: str) -> tuple[UseCase, rollback_plan.RollbackRequest]:
    """The use case of the running task and the parameters of its run; skips the task if the run has another action.

    Raises:
        InvalidParams: the run's conf is not what the DAG knows.
    """
    use_case = use_case_of_run()
    request = rollback_plan.parse_request(use_case.name, params_of_run())
    if request.action != action:
        skip(f"This run is for the action {request.action}.")
    return use_case, request


def request_about_rollout() -> tuple[UseCase, rollout_request.RolloutRequest]:
    """The use case of the running task, and what its run is to do with the rollout under way.

    Raises:
        InvalidParams: the run's conf is not what the DAG knows.
    """
    use_case = use_case_of_run()
    return use_case, rollout_request.parse(use_case.name, params_of_run())


@contextmanager
def noting_refusal() -> Iterator[None]:
    """Leave with the task that it refused what a person asked for, if it does: nothing is to be fixed.

    Raises:
        InvalidParams: and others: whatever is raised within.
    """
    try:
        yield
    except (InvalidParams, UnknownVersion) as error:
        context = get_current_context()
        if context["dag_run"].triggering_user_name is not None:  # Of a run by the clock nobody knows: it has failed.
            context["ti"].xcom_push(key=dag_names.REFUSED, value=str(error))
        raise


def approval_response() -> tuple[bool, str, str]:
    """The response to the request for approval.

    Returns:
        Whether it was approved, by whom, and why. Without a request: approved by `gate`.
    """
    response = get_current_context()["ti"].xcom_pull(task_ids=dag_names.APPROVE)
    if response is None:
        return True, "gate", ""
    user = (response.get("responded_by_user") or {}).get("name", "nobody in time")
    why = (response.get("params_input") or {}).get("reason") or ""
    return response["chosen_options"] == ["Approve"], user, why.strip()


def emit_asset_event(asset: Asset, evidence: dict[str, Any], partition: str | None = None) -> None:
    """Set what the event of `asset` carries, which Airflow emits when this task succeeds.

    Args:
        asset: An outlet of this task.
        evidence: The event's content, JSON-ready.
        partition: The event's partition key, where the run itself has none.
    """
    event = get_current_context()["outlet_events"][asset]
    event.extra = evidence
    if partition is not None:
        event.add_partitions(partition)


def emit_promotion(is_promoted: bool, evidence: dict[str, Any]) -> None:
    """Let the event of the asset `champion` go out with a promotion; without one, end this task as skipped.

    Args:
        is_promoted: Whether there is a new champion.
        evidence: The event's content, JSON-ready; its `reason` says why there is none.

    Raises:
        AirflowSkipException: nothing was promoted.
    """
    if not is_promoted:
        skip(evidence["reason"])
    emit_asset_event(champion_asset(use_case_of_run()), evidence)


def skip(why: str) -> NoReturn:
    """End this task as skipped; nothing behind it runs and no event goes out.

    Raises:
        AirflowSkipException: always, with `why` for the task's log.
    """
    raise AirflowSkipException(why)
