"""Starting one run of a pipeline on demand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from perennial import dag_names, discovery
from perennial._common.suggestions import did_you_mean
from perennial.errors import InvalidParams
from perennial.runs.params import optional_pipelines, params_model
from perennial.services.airflow_api import AirflowClient
from perennial.services.airflow_records import DagRun
from perennial.use_case import UseCase
from perennial.use_case.declarations import problems


def check_request(use_case: UseCase, pipeline: str, partition: str | None, params: dict[str, Any]) -> None:
    """Check a request for a run as far as that is possible without Airflow.

    Args:
        use_case: Whose pipeline is to run.
        pipeline: One of `perennial.dag_names.ALL`, or `refresh` or `ahead` if the use case has that.
        partition: The partition to run it on; None: no partition.
        params: The run's parameters; those left out have their defaults.

    Raises:
        InvalidParams: no such pipeline or parameter, or a value out of range.
        InvalidPartition: the use case has no such partition.
        PerennialError: the use case is retired.
    """
    discovery.check_active(use_case.name)
    if pipeline == dag_names.REFRESH and not use_case.refresh:
        raise InvalidParams(
            f"Use case {use_case.name!r} has no pipeline {pipeline!r}: it does not refresh the partition under way.",
            f"Declare `refresh` in include/use_cases/{use_case.name}/use_case.py.",
        )
    if pipeline == dag_names.AHEAD and not use_case.examples.ahead:
        raise InvalidParams(
            f"Use case {use_case.name!r} has no pipeline {pipeline!r}: it predicts nothing ahead.",
            f"Declare `ahead` of its examples in include/use_cases/{use_case.name}/use_case.py.",
        )
    on_the_clock = optional_pipelines(use_case)
    known = (*dag_names.ALL, *on_the_clock)
    if pipeline not in known:
        guess = did_you_mean(pipeline, known)
        raise InvalidParams(f"There is no pipeline {pipeline!r}.", f"{guess}Choose one of {', '.join(known)}.")
    if partition is None and pipeline not in (*dag_names.ON_DEMAND, *on_the_clock):
        raise InvalidParams(f"{pipeline} runs on one partition.", f"Add --partition, for instance {use_case.start}.")
    if partition is not None and pipeline in on_the_clock:
        span = "the partition under way" if pipeline == dag_names.REFRESH else "what is still to come"
        raise InvalidParams(f"{pipeline} runs on {span}.", "Leave --partition out.")
    if partition is not None:
        use_case.partition(partition)
    _check_params(use_case, pipeline, params)


def _check_params(use_case: UseCase, pipeline: str, params: dict[str, Any]) -> None:
    dag = dag_names.dag_id(use_case.name, pipeline)
    model = params_model(use_case, pipeline)
    names = sorted(model.model_fields) if model else []
    if unknown := sorted(params.keys() - set(names)):
        guess = did_you_mean(unknown[0], names)
        fix = f"{guess}Known: {', '.join(names)}." if names else f"{pipeline} has no parameters."
        raise InvalidParams(f"{dag} has no parameter {', '.join(unknown)}.", fix)
    if model is not None:
        try:
            model(**params)
        except ValidationError as error:
            raise InvalidParams(
                f"Parameters of {dag}: {problems(error)}.",
                f"The form of {dag} in Airflow lists each parameter and its range.",
            ) from error


def start(
    client: AirflowClient, use_case: UseCase, pipeline: str, *, partition: str | None, params: dict[str, Any]
) -> DagRun:
    """Start a run of `pipeline`, under a new run id.

    Args:
        client: The Airflow to start it on; a paused DAG is unpaused there.
        use_case: See `check_request`, as the other arguments.
        pipeline: The pipeline.
        partition: The partition to run it on; None: no partition.
        params: The run's parameters.

    Raises:
        InvalidParams: see `check_request`; or the DAG rejects a value.
        InvalidPartition: see `check_request`.
    """
    check_request(use_case, pipeline, partition, params)
    dag = dag_names.dag_id(use_case.name, pipeline)
    if client.dags(dag).get(dag):
        client.unpause(dag)
    run_id = f"manual__{datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%S.%f')}"
    return client.trigger(dag, run_id, partition=partition, conf=params)
