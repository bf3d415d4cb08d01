"""Starting one pipeline by hand, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from perennial._common.suggestions import did_you_mean
from perennial.errors import InvalidParams
from perennial.runs import dags
from perennial.services.airflow_api import AirflowClient, Run, failure
from perennial.use_case import UseCase, problems

_POLL = 0.5


def check(use_case: UseCase, pipeline: str, partition: str | None, params: dict[str, Any]) -> None:
    """Refuse what could not be started, as far as that can be told without Airflow.

    Raises:
        InvalidParams: no such pipeline or parameter, or a value out of range.
        InvalidPartition: the use case has no such partition.
    """
    if pipeline not in dags.ALL:
        guess = did_you_mean(pipeline, dags.ALL)
        raise InvalidParams(f"There is no pipeline {pipeline!r}.", f"{guess}Choose one of {', '.join(dags.ALL)}.")
    if partition is None and pipeline not in dags.ON_DEMAND:
        raise InvalidParams(f"{pipeline} runs on one partition.", f"Add --partition, for instance {use_case.start}.")
    if partition is not None:
        use_case.partition(partition)
    form = dags.params_model(use_case, pipeline)
    known = sorted(form.model_fields) if form else []
    if unknown := sorted(params.keys() - set(known)):
        guess = did_you_mean(unknown[0], known)
        fix = f"{guess}Known: {', '.join(known)}." if known else f"{pipeline} has no parameters."
        raise InvalidParams(f"{use_case.name}.{pipeline} has no parameter {', '.join(unknown)}.", fix)
    if form is not None:
        try:
            form(**params)
        except ValidationError as error:
            raise InvalidParams(
                f"Parameters of {use_case.name}.{pipeline}: {problems(error)}.",
                f"The form of {use_case.name}.{pipeline} in Airflow lists each parameter and its range.",
            ) from error


def start(
    client: AirflowClient, use_case: UseCase, pipeline: str, *, partition: str | None, params: dict[str, Any]
) -> Run:
    """Start a run of `pipeline`, under a new run id.

    Raises:
        InvalidParams, InvalidPartition: see `check`; or the DAG refuses a value.
    """
    check(use_case, pipeline, partition, params)
    dag = dags.dag_id(use_case.name, pipeline)
    if client.dags(dag).get(dag):
        client.unpause(dag)
    run_id = f"manual__{datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%S.%f')}"
    return client.trigger(dag, run_id, partition=partition, conf=params)


def follow(client: AirflowClient, run: Run, seen: Callable[[Run], None] = lambda run: None) -> Run:
    """Wait until the run is over.

    Args:
        seen: Told what the run is like, each time it is looked at.

    Raises:
        PerennialError: it failed; the error shows the failed task's last words.
    """
    while not run.is_over:
        seen(run)
        time.sleep(_POLL)
        run = client.run(run.dag, run.id)
    if run.state == "failed":
        raise failure(client, run)
    return run
