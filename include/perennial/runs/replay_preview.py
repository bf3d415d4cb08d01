"""What a replay would do with each partition, from the runs that Airflow has now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from perennial.dag_names import LOOP, TRAINING
from perennial.partitions import Partition
from perennial.runs.replay import counts
from perennial.services.airflow_api import AirflowClient
from perennial.use_case import UseCase


@dataclass(frozen=True)
class PartitionPreview:
    """One partition of a replay.

    Attributes:
        todo: What the replay would do with it: `skip`, `run`, `run again`, `follow` or `unknown`.
        states: The state of the newest run of each pipeline of the loop that has one.
    """

    partition: str
    todo: str
    states: dict[str, str] = field(default_factory=dict)


def preview(client: AirflowClient, use_case: UseCase, partitions: Sequence[Partition]) -> list[PartitionPreview]:
    """What `perennial.runs.replay.replay` would do with each partition.

    Training is left out: whether it is requested is only known once a partition was monitored.

    Args:
        client: The Airflow that would be used; it is only read.
        use_case: Whose pipelines would run.
        partitions: The partitions, in order.
    """
    return [_of_partition(client, use_case, partition) for partition in partitions]


def _of_partition(client: AirflowClient, use_case: UseCase, partition: Partition) -> PartitionPreview:
    newest = {
        run.dag.rpartition(".")[2]: run.state
        for run in client.runs_of_partition(partition.key, prefix=f"{use_case.name}.")
        if counts(run)
    }
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
    return PartitionPreview(partition.key, todo, states)
