"""Starting one pipeline by hand, and waiting for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from perennial.airflow_api import AirflowClient, Run, failure
from perennial.errors import InvalidParams
from perennial.replay import PIPELINES
from perennial.undo import UndoParams
from perennial.use_case import UseCase

_POLL = 0.5
#: Pipelines that need no partition, which are those that take parameters.
_BY_HAND = ("training", "champion")


def start(
    client: AirflowClient, use_case: UseCase, pipeline: str, *, partition: str | None, params: dict[str, Any]
) -> Run:
    """Start a run of `pipeline`, under a new run id.

    Raises:
        InvalidParams: no such pipeline or parameter, or the DAG refuses a value.
        InvalidPartition: the use case has no such partition.
    """
    if pipeline not in (*PIPELINES, *_BY_HAND):
        known_ones = ", ".join(dict.fromkeys((*PIPELINES, *_BY_HAND)))
        raise InvalidParams(f"There is no pipeline {pipeline!r}.", f"Choose one of {known_ones}.")
    if partition is None and pipeline not in _BY_HAND:
        raise InvalidParams(f"{pipeline} runs on one partition.", f"Add --partition, for instance {use_case.start}.")
    if partition is not None:
        use_case.partition(partition)
    forms: dict[str, type[BaseModel]] = {"training": use_case.params, "champion": UndoParams}
    known = set(forms[pipeline].model_fields) if pipeline in forms else set()
    if unknown := sorted(params.keys() - known):
        fix = f"Known: {', '.join(sorted(known))}." if known else f"{pipeline} has no parameters."
        raise InvalidParams(f"{use_case.name}.{pipeline} has no parameter {', '.join(unknown)}.", fix)
    dag = f"{use_case.name}.{pipeline}"
    if client.dags(dag).get(dag):
        client.unpause(dag)
    run_id = f"manual__{datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%S.%f')}"
    return client.trigger(dag, run_id, partition=partition, conf=params)


def follow(client: AirflowClient, run: Run) -> Run:
    """Wait until the run is over.

    Raises:
        PerennialError: it failed; the error shows the failed task's last words.
    """
    while not run.is_over:
        time.sleep(_POLL)
        run = client.run(run.dag, run.id)
    if run.state == "failed":
        raise failure(client, run)
    return run
