"""Starting a run of a pipeline from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.cli.frame import say

if TYPE_CHECKING:
    from perennial.use_case import UseCase


def run(use_case: UseCase, pipeline: str, *, partition: str | None, params: dict[str, Any], wait: bool) -> None:
    """Start one run, say where it is, and wait for its end if that is wanted.

    Raises:
        InvalidParams, InvalidPartition: see `perennial.trigger.start`.
        PerennialError: it was waited for, and failed.
    """
    from perennial.airflow_api import AirflowClient
    from perennial.trigger import follow, start

    with AirflowClient() as client:
        started = start(client, use_case, pipeline, partition=partition, params=params)
        say(f"{started.dag}: {started.id} {client.run_url(started)}")
        if wait:
            say(f"{started.dag}: {follow(client, started).state}")
