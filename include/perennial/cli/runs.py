"""Starting a run of a pipeline from the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from perennial.cli.frame import if_interrupted, note, say
from perennial.cli.quarantined import QuarantineRemarks
from perennial.dag_names import FEATURES

if TYPE_CHECKING:
    from perennial.services.airflow_api import AirflowClient
    from perennial.use_case import UseCase

#: For how long a dry run waits for an Airflow that does not answer, in seconds.
_DRY_RUN_PATIENCE = 2.0


def run(
    use_case: UseCase,
    pipeline: str,
    *,
    partition: str | None,
    params: dict[str, Any],
    wait: bool,
    tell: Callable[[str], None] = say,
    failed: Callable[[dict[str, Any]], None] = lambda result: None,
) -> dict[str, Any]:
    """Start one run, print its address, and wait for its end if asked to; then tell what is in quarantine.

    Args:
        use_case: The use case.
        pipeline: The pipeline's name, for instance `features`.
        partition: The partition to run, for pipelines that take one.
        params: Parameters of the run.
        wait: Whether to wait for its end.
        tell: Prints a line.
        failed: Called with what would be returned, if the run was waited for and failed.

    Returns:
        The run for JSON: `dag`, `run`, `partition`, `url`, `state`, and `quarantine` if it ingested and was waited for.

    Raises:
        InvalidParams, InvalidPartition: see `perennial.runs.trigger.start`.
        PerennialError: it was waited for, and failed.
    """
    from perennial.cli.waiting import tasks_of, usual_seconds, watched
    from perennial.errors import PerennialError, ServiceUnavailable
    from perennial.runs.follow import RunFollower
    from perennial.runs.trigger import start
    from perennial.services.airflow_api import AirflowClient

    name = f"{use_case.name}.{pipeline}"
    with AirflowClient(tell=note) as client:
        if_interrupted(f"Whether {name} was started is not known: its page says so, {client.uri}/dags/{name}.")
        run = start(client, use_case, pipeline, partition=partition, params=params)
        url = client.run_url(run)
        if_interrupted(f"The run continues: {url}")
        tell(f"{run.dag}: {run.id} {url}")
        result = {"dag": run.dag, "run": run.id, "partition": run.partition, "url": url, "state": run.state}
        if not wait:
            return result
        remarks = QuarantineRemarks(use_case) if pipeline == FEATURES and partition else None
        try:
            with watched(run.dag, usual_seconds(client, run.dag)) as step:
                run = RunFollower(client).follow(run, tasks_of(client, step))
        except ServiceUnavailable:
            raise
        except PerennialError as error:
            if remarks and partition:
                remarks.add_to(error, partition)
            failed(_ended(result, "failed", remarks))
            raise
    tell(f"{run.dag}: {run.state}")
    for line in remarks.of_partition(partition) if remarks and partition else ():
        tell(line)
    return _ended(result, run.state, remarks)


def _ended(result: dict[str, Any], state: str, remarks: QuarantineRemarks | None) -> dict[str, Any]:
    """The JSON of a run that was waited for."""
    return result | {"state": state} | ({"quarantine": remarks.as_json(result["partition"])} if remarks else {})


def would_run(
    use_case: UseCase,
    pipeline: str,
    *,
    partition: str | None,
    params: dict[str, Any],
    tell: Callable[[str], None] = say,
) -> dict[str, Any]:
    """Print what `run` would start, and return it for JSON. Changes nothing.

    Args:
        use_case: The use case.
        pipeline: The pipeline's name.
        partition: The partition to run.
        params: Parameters of the run.
        tell: Prints a line.

    Raises:
        InvalidParams, InvalidPartition: see `perennial.runs.trigger.check_request`.
    """
    from perennial.errors import PerennialError
    from perennial.runs.trigger import check_request

    check_request(use_case, pipeline, partition, params)
    name = f"{use_case.name}.{pipeline}"
    with_params = f" with {', '.join(f'{key}={value}' for key, value in params.items())}" if params else ""
    tell(f"Would start {name}{f' for partition {partition}' if partition else ''}{with_params}.")
    preview: dict[str, Any] = {"would_start": name, "partition": partition, "params": params, "airflow": "no answer"}
    try:
        with asking() as client:
            dags = client.dags(name)
    except PerennialError as error:
        tell(f"Now it would fail: {error.problem}")
        return preview
    preview["airflow"] = "paused" if dags.get(name) else "ready" if name in dags else "DAG unknown"
    if dags.get(name):
        tell(f"{name} is paused in Airflow, and would be unpaused.")
    elif name not in dags:
        tell(f"Now it would fail: Airflow at {client.uri} does not know {name}. `perennial doctor` says why.")
    return preview


@contextmanager
def asking() -> Iterator[AirflowClient]:
    """A client for a dry run: it waits for no Airflow that is down, and generates no login.

    Raises:
        ServiceUnavailable: Airflow was never started from here, or does not answer.
    """
    from perennial.errors import ServiceUnavailable
    from perennial.services import credentials
    from perennial.services.airflow_api import AirflowClient
    from perennial.settings import settings

    access = credentials.existing_login()
    if access is None:
        raise ServiceUnavailable(
            f"There is no login for Airflow at {settings().airflow_uri}: nothing was started yet.",
            "Run `perennial up`.",
        )
    with AirflowClient(access=access, patience=_DRY_RUN_PATIENCE) as client:
        yield client
