"""Replaying history: one partition after another through the real DAGs, by Airflow's REST API.

Only `<use case>.features` is triggered. Scoring, monitoring and, when asked for, training start by themselves from the
asset events of what came before, with the same partition key; the replay follows them. Everything it needs to know is
in Airflow: a replay that was stopped anywhere picks up where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.errors import InvalidPartition, PerennialError, ServiceUnavailable
from perennial.partitions import Partition
from perennial.runs.dags import (
    AWAITING_INPUT,
    FEATURES,
    LOOP,
    MONITORING,
    REQUEST_RETRAINING,
    SCORING,
    TRAINING,
    dag_id,
)
from perennial.services.airflow_api import AirflowClient, Run, failure
from perennial.use_case import UseCase

_POLL = 0.3
_HEALTH_EVERY = 10.0
_ILL_CHECKS = 3
#: How long the scheduler may take to turn an asset event into a run, in seconds.
_EVENT_PATIENCE = 120.0
_DAG_PATIENCE = 120.0


class ReplayFailed(PerennialError):
    """A run of the replay failed; the error shows its last words and where to read on."""


@dataclass(frozen=True)
class Step:
    """One pipeline of one partition, as the replay goes through it."""

    partition: str
    pipeline: str
    state: str  #: started, waiting-for-approval, done or already-done
    seconds: float = 0.0
    url: str = ""


def partitions(use_case: UseCase, first: str, last: str) -> list[Partition]:
    """The partitions from `first` to `last`, both included.

    Raises:
        InvalidPartition: one of them does not exist, or `first` is after `last`.
    """
    begin, end = use_case.partition(first), use_case.partition(last)
    if begin > end:
        raise InvalidPartition(f"--from {first} is after --to {last}.", "Swap them.")
    return list(begin.through(end))


def replay(client: AirflowClient, use_case: UseCase, wanted: Sequence[Partition]) -> Iterator[Step]:
    """Bring each partition through its pipelines, in order, and yield what happens.

    A partition that is already through is passed over. A run that failed in an earlier try is run again, once.

    Raises:
        ReplayFailed: a run failed.
        ServiceUnavailable: Airflow, or a part of it, went away.
    """
    _prepare(client, use_case)
    for partition in wanted:
        yield from _Passage(client, use_case.name, partition.key).steps()


def _prepare(client: AirflowClient, use_case: UseCase) -> None:
    """Wait until Airflow has read the use case's DAGs, and let them run."""
    wanted = {dag_id(use_case.name, pipeline) for pipeline in LOOP}
    deadline = time.monotonic() + _DAG_PATIENCE
    while missing := wanted - (known := client.dags(f"{use_case.name}.")).keys():
        errors = client.import_errors()
        if errors or time.monotonic() > deadline:
            reasons = "\n".join(f"{file}:\n{trace.strip()}" for file, trace in errors.items())
            raise PerennialError(
                f"Airflow does not know {', '.join(sorted(missing))}.\n{reasons}".rstrip(),
                "Mend the file named above." if errors else "Look at `dags/` and at the log of the dag-processor.",
            )
        time.sleep(0.5)
    for dag in wanted:
        if known[dag]:
            client.unpause(dag)


class _Passage:
    """One partition's way through the pipelines."""

    def __init__(self, client: AirflowClient, use_case: str, partition: str) -> None:
        self._client = client
        self._use_case = use_case
        self._partition = partition
        self._began = datetime.now(UTC)
        self._checked = time.monotonic()
        self._ill = 0

    def steps(self) -> Iterator[Step]:
        features = yield from self._follow(FEATURES, self._features, after=None)
        scoring = yield from self._follow(SCORING, None, after=features)
        monitoring = yield from self._follow(MONITORING, None, after=scoring)
        if self._asked_for_training(monitoring):
            yield from self._follow(TRAINING, None, after=monitoring)

    def _features(self) -> Run:
        dag = dag_id(self._use_case, FEATURES)
        return self._client.trigger(dag, f"replay__{self._partition}", partition=self._partition)

    def _follow(self, pipeline: str, start: Callable[[], Run] | None, after: Run | None) -> Generator[Step, None, Run]:
        """Follow the pipeline's run to its end and return it.

        Args:
            start: Starts the run when there is none; None: an asset event does.
            after: The run whose event starts it; a run that is older belongs to an earlier pass.
        """
        began, announced = time.monotonic(), False
        retried: set[str] = set()
        while True:
            run = self._latest(pipeline, after)
            if run is None and start is not None:
                run = start()
            if run is not None and run.state == "success":
                break
            if run is not None and run.state == "failed":
                old = run.ended is not None and run.ended < self._began
                if run.id in retried or not old:
                    raise failure(self._client, run, ReplayFailed)
                retried.add(run.id)
                self._client.clear(run)
            if not announced:
                yield Step(self._partition, pipeline, "started", url=self._client.run_url(run) if run else "")
                announced = True
            if run is None and time.monotonic() - began > _EVENT_PATIENCE:
                raise self._silence(pipeline, after)
            if self._is_time_to_check() and run is not None and self._awaits_approval(run):
                yield Step(self._partition, pipeline, "waiting-for-approval", url=self._client.run_url(run))
            time.sleep(_POLL)
        seconds = time.monotonic() - began
        yield Step(self._partition, pipeline, "done" if announced else "already-done", seconds)
        return run

    def _latest(self, pipeline: str, after: Run | None) -> Run | None:
        dag = dag_id(self._use_case, pipeline)
        since = after.started if after is not None else None
        runs = [
            run
            for run in self._client.runs(self._partition, prefix=f"{self._use_case}.")
            if run.dag == dag and (since is None or run.queued is None or run.queued >= since)
        ]
        return runs[-1] if runs else None

    def _asked_for_training(self, monitoring: Run) -> bool:
        return any(
            task.task == REQUEST_RETRAINING and task.state == "success"
            for task in self._client.task_instances(monitoring)
        )

    def _awaits_approval(self, run: Run) -> bool:
        return any(task.state == AWAITING_INPUT for task in self._client.task_instances(run))

    def _is_time_to_check(self) -> bool:
        """Every few seconds: is the part of Airflow that starts tasks alive?"""
        if time.monotonic() - self._checked < _HEALTH_EVERY:
            return False
        self._checked = time.monotonic()
        health = self._client.health()
        ill = [part for part in ("metadatabase", "scheduler") if health[part]["status"] != "healthy"]
        self._ill = self._ill + 1 if ill else 0
        if self._ill == _ILL_CHECKS:  # Once may be a heartbeat that came late on a busy machine.
            raise ServiceUnavailable(
                f"Airflow's {' and '.join(ill)} does not run: nothing is being started.",
                "Run `perennial up`, then the same replay again: it picks up where it was.",
            )
        return True

    def _silence(self, pipeline: str, after: Run | None) -> ReplayFailed:
        source = f" by the asset event of {after.dag} ({after.id})" if after else ""
        return ReplayFailed(
            f"{self._use_case}.{pipeline} was not started for partition {self._partition}{source}"
            f" within {_EVENT_PATIENCE:.0f} s.",
            f"Look at the DAG's schedule and whether it is paused: {self._client.uri}/dags/{self._use_case}.{pipeline}",
        )
