"""The one part of the library that knows Airflow: what every DAG shares, and the way from a run to a library call.

A DAG file is read as a sentence; what would be repeated in each of them lives here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    PartitionedAssetTimetable,
    RetryAction,
    RetryRule,
    get_current_context,
    get_parsing_context,
)
from airflow.sdk.exceptions import AirflowSkipException

from perennial import discovery
from perennial.errors import InvalidParams, InvalidPartition, PerennialError, ServiceUnavailable
from perennial.gate import rollback_plan
from perennial.orchestration.forms import form as form
from perennial.orchestration.forms import reason as reason
from perennial.partitions import Partition
from perennial.use_case import UseCase

#: A service that does not answer is worth another try; what a user has to mend is not.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(ServiceUnavailable, RetryAction.RETRY, reason="a service does not answer"),
        RetryRule(PerennialError, RetryAction.FAIL, reason="needs a person: see the error for the fix"),
    ]
)


def use_cases() -> Iterator[UseCase]:
    """The use cases whose DAGs this process needs: all of them to the DAG processor, one to a running task."""
    wanted = get_parsing_context().dag_id
    for name in discovery.names() if wanted is None else [wanted.partition(".")[0]]:
        yield discovery.load(name)


def features_asset(use_case: UseCase) -> Asset:
    """A partition's features are in the lake and in the online store."""
    return _asset(use_case, "features")


def predictions_asset(use_case: UseCase) -> Asset:
    """A partition is scored."""
    return _asset(use_case, "predictions")


def retraining_asset(use_case: UseCase) -> Asset:
    """A monitor asks for retraining; the event carries reason, evidence and the new data."""
    return _asset(use_case, "retraining")


def champion_asset(use_case: UseCase) -> Asset:
    """A model version became champion: a new one was promoted, or an earlier one serves again."""
    return _asset(use_case, "champion")


def _asset(use_case: UseCase, what: str) -> Asset:
    # Airflow looks through all its providers, which imports their libraries, for whom to ask about a scheme; not if
    # the scheme begins with x-.
    return Asset(name=f"{use_case.name}.{what}", uri=f"x-perennial://{use_case.name}/{what}", group="perennial")


def by_clock(use_case: UseCase) -> CronPartitionTimetable:
    """A run for each partition, when it has ended."""
    cadence = use_case.cadence
    return CronPartitionTimetable(cadence.cron, timezone="UTC", run_offset=-1, key_format=cadence.key_format)


def by_schedule(cron: str) -> CronTriggerTimetable:
    """A run, of no partition, whenever the expression says so."""
    return CronTriggerTimetable(cron, timezone="UTC")


def by_asset(asset: Asset) -> PartitionedAssetTimetable:
    """A run for each partition that an asset's event names."""
    return PartitionedAssetTimetable(assets=asset)


def pipeline(use_case: UseCase, kind: str, doc: str | None, **more: Any) -> dict[str, Any]:
    """The arguments of `@dag` that every pipeline shares: name, owner, docs with triage notes, retries, tags.

    Args:
        kind: The pipeline's name, like `features` or `training`; the DAG is called `<use_case>.<kind>`.
        doc: What the pipeline does; the DAG file's docstring.
        more: Further arguments, which win.
    """
    end = use_case.cadence.partition(use_case.end).start if use_case.end else None
    return {
        "dag_id": f"{use_case.name}.{kind}",
        "description": f"{use_case.title}: {kind}",
        "doc_md": _docs(use_case, doc or ""),
        "tags": ["perennial", use_case.name, kind, *use_case.tags],
        "start_date": use_case.first.start,
        "end_date": end,
        "catchup": False,
        "max_active_runs": 4,
        "default_args": {
            "owner": use_case.owner,
            "retries": 2,
            "retry_delay": timedelta(seconds=20),
            "retry_exponential_backoff": 2.0,
            "retry_policy": RETRY_POLICY,
            "execution_timeout": timedelta(hours=6),
        },
        **more,
    }


def _docs(use_case: UseCase, doc: str) -> str:
    until = f", before {use_case.end}" if use_case.end else ""
    return f"""{doc.strip()}

**{use_case.title}.** {use_case.description}

- **Owner:** {use_case.owner}
- **Partitions:** {use_case.cadence}, named like `{use_case.first.key}`, from {use_case.start}{until}
- **Defined in:** `include/use_cases/{use_case.name}/`
- **Page:** [{use_case.name} in Perennial](plugin/perennial/perennial/use_cases/{use_case.name})

**When a run fails.** {use_case.triage}
"""


def here() -> tuple[UseCase, Partition]:
    """The use case and the partition of the running task.

    Raises:
        InvalidPartition: the run has no partition key, or the use case has no such partition.
        InvalidParams: the run's conf has keys that the DAG does not know.
    """
    use_case = of_run()
    key = partition_key()
    if key is None:
        dag_id = get_current_context()["dag"].dag_id
        raise InvalidPartition(
            f"This run of {dag_id} names no partition.",
            f"Trigger it with a partition key, for instance {use_case.start!r}.",
        )
    return use_case, use_case.partition(key)


def of_run() -> UseCase:
    """The use case of the running task, once its run's conf is known to hold no unknown key."""
    context = get_current_context()
    dag = context["dag"]
    unknown = sorted(set(context["dag_run"].conf or {}) - set(dag.params))
    if unknown:
        known = ", ".join(dag.params) or "none"
        raise InvalidParams(f"{dag.dag_id} knows no parameter {', '.join(map(repr, unknown))}.", f"Known: {known}.")
    return discovery.load(dag.dag_id.partition(".")[0])


def partition_key() -> str | None:
    """The partition key of the run, if it has one."""
    return get_current_context()["dag_run"].partition_key


def run_name() -> str:
    """What the running DAG run is known by to MLflow and the lake; unique over all DAGs."""
    run = get_current_context()["dag_run"]
    return f"{run.dag_id}/{run.run_id}"


def person() -> str:
    """Who triggered the run: the name by which Airflow knows that user."""
    return get_current_context()["dag_run"].triggering_user_name or "unknown"


def conf() -> dict[str, Any]:
    """The run's parameters, the form's defaults included."""
    return dict(get_current_context()["params"])


def wish(action: str) -> tuple[UseCase, rollback_plan.RollbackRequest]:
    """The use case of the running task and what the run asks of its champion; skips the task if it is another action.

    Raises:
        InvalidParams: the run's conf is not what the DAG knows.
    """
    use_case = of_run()
    wished = rollback_plan.parse_request(use_case.name, conf())
    if wished.action != action:
        skip(f"This run is for the action {wished.action}.")
    return use_case, wished


def announce(asset: Asset, evidence: dict[str, Any], partition: str | None = None) -> None:
    """Attach `evidence` to the event that goes out when this task succeeds.

    Args:
        partition: The event's partition key, where the run itself has none.
    """
    event = get_current_context()["outlet_events"][asset]
    event.extra = evidence
    if partition is not None:
        event.add_partitions(partition)


def skip(why: str) -> NoReturn:
    """End this task as skipped; nothing behind it runs and no event goes out."""
    raise AirflowSkipException(why)


def answer() -> tuple[bool, str, str]:
    """What a person said to the request for approval, who, and why: nobody was asked is a yes by the gate itself."""
    response = get_current_context()["ti"].xcom_pull(task_ids="approve")
    if response is None:
        return True, "gate", ""
    person = (response.get("responded_by_user") or {}).get("name", "nobody in time")
    why = (response.get("params_input") or {}).get("reason") or ""
    return response["chosen_options"] == ["Approve"], person, why.strip()
