"""What a replay would do, asked beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from perennial.partitions import Partition
from perennial.runs.dags import LOOP, TRAINING
from perennial.services.airflow_api import AirflowClient
from perennial.use_case import UseCase


@dataclass(frozen=True)
class Outlook:
    """One partition of a replay.

    Attributes:
        states: The state of the newest run of each pipeline of the loop that has one.
        todo: What the replay would do with it, in a word: `skip`, `run`, `run again`, `follow` or `unknown`.
    """

    partition: str
    todo: str
    states: dict[str, str] = field(default_factory=dict)


def outlook(client: AirflowClient, use_case: UseCase, wanted: Sequence[Partition]) -> list[Outlook]:
    """What `perennial.runs.replay.replay` would do with each partition, by the runs that Airflow has now.

    Training is left out: whether it is asked for is only known once a partition was monitored.
    """
    return [_of(client, use_case, partition) for partition in wanted]


def _of(client: AirflowClient, use_case: UseCase, partition: Partition) -> Outlook:
    newest = {run.dag.rpartition(".")[2]: run.state for run in client.runs(partition.key, prefix=f"{use_case.name}.")}
    states = {pipeline: newest[pipeline] for pipeline in LOOP if pipeline in newest}
    always = [states.get(pipeline) for pipeline in LOOP if pipeline != TRAINING]
    if not states:
        todo = "run"
    elif "failed" in states.values():
        todo = "run again"
    elif all(state == "success" for state in always) and set(states.values()) == {"success"}:
        todo = "skip"
    else:
        todo = "follow"
    return Outlook(partition.key, todo, states)
