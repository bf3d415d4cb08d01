"""Replaying history: one partition after another through the real DAGs, by Airflow's REST API.

Only `<use case>.features` is triggered. Scoring, monitoring and, when requested, training start by themselves from the
asset events of what came before, with the same partition key; the replay follows them. Everything it needs to know is
in Airflow: a replay that was stopped anywhere picks up where it was.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from perennial import dag_names, discovery
from perennial.errors import InvalidPartition, PerennialError
from perennial.partitions import Partition
from perennial.runs.follow import RunFollower
from perennial.runs.progress import Step
from perennial.services.airflow_api import AirflowClient
from perennial.services.airflow_records import DagRun
from perennial.use_case import UseCase

#: How long the scheduler may take to turn an asset event into a run, in seconds.
_EVENT_PATIENCE = 120.0
#: How long Airflow may take to read the DAG files, in seconds.
_DAG_PATIENCE = 120.0
#: How often a run that goes on is asked whether it waits for approval, in seconds.
_APPROVAL_EVERY = 10.0


class ReplayFailed(PerennialError):
    """A run of the replay failed; the error shows its last words and where to read on."""


def partitions_between(use_case: UseCase, first: str, last: str) -> list[Partition]:
    """The partitions from `first` to `last`, both included.

    Args:
        use_case: Whose partitions they are.
        first: The key of the first.
        last: The key of the last.

    Raises:
        InvalidPartition: one of them does not exist, or `first` is after `last`.
    """
    begin, end = use_case.partition(first), use_case.partition(last)
    if begin > end:
        raise InvalidPartition(f"--from {first} is after --to {last}.", "Swap them.")
    return list(begin.through(end))


def replay(
    client: AirflowClient, use_case: UseCase, partitions: Sequence[Partition], sources: Mapping[str, str] | None = None
) -> Iterator[Step]:
    """Bring each partition through its pipelines, in order, and yield what happens.

    A partition that is already through is passed over. A run that failed in an earlier try is run again, once; one that
    somebody started with parameters of their own, and that failed, is left alone: it would fail again for them. A run
    that fails after Airflow was away for a time is run again once, too.

    Args:
        client: The Airflow to run them on.
        use_case: Whose pipelines are run.
        partitions: The partitions, in order.
        sources: The parameter `sources` of the runs that are triggered.

    Raises:
        ReplayFailed: a run failed, or was not started.
        PerennialError: Airflow cannot read the DAG files.
        ServiceUnavailable: Airflow, or a part of it, went away.
    """
    _prepare(client, use_case)
    for partition in partitions:
        yield from _PartitionReplay(client, use_case.name, partition.key, sources or {}).steps()


def _prepare(client: AirflowClient, use_case: UseCase) -> None:
    """Wait until Airflow has read the use case's DAGs, and let them run."""
    discovery.check_active(use_case.name)
    required = {dag_names.dag_id(use_case.name, pipeline) for pipeline in dag_names.LOOP}
    began, lost = time.monotonic(), client.lost
    while missing := required - (parsed := client.dags(f"{use_case.name}.")).keys():
        errors = client.import_errors()
        if errors or time.monotonic() - began - (client.lost - lost) > _DAG_PATIENCE:
            reasons = "\n".join(f"{file}:\n{trace.strip()}" for file, trace in errors.items())
            raise PerennialError(
                f"Airflow does not know {', '.join(sorted(missing))}.\n{reasons}".rstrip(),
                "Fix the file named above." if errors else "Look at `dags/` and at the log of the dag-processor.",
            )
        time.sleep(0.5)
    for dag in required:
        if parsed[dag]:
            client.unpause(dag)


def counts(run: DagRun) -> bool:
    """Whether a run says anything about its partition to a replay: not if it failed with parameters of somebody's own.

    Run again it would be given them again, whatever was wrong with them.
    """
    return run.state != "failed" or not run.conf


class _PartitionReplay:
    """One partition's way through the pipelines."""

    def __init__(self, client: AirflowClient, use_case: str, partition: str, sources: Mapping[str, str]) -> None:
        self._client = client
        self._use_case = use_case
        self._partition = partition
        self._conf = {"sources": dict(sources)} if sources else {}
        self._began = datetime.now(UTC)
        self._follower = RunFollower(client, ReplayFailed)

    def steps(self) -> Iterator[Step]:
        features = yield from self._follow(dag_names.FEATURES)
        scoring = yield from self._follow(dag_names.SCORING, after=features)
        monitoring = yield from self._follow(dag_names.MONITORING, after=scoring)
        if self._requested_retraining(monitoring):
            yield from self._follow(dag_names.TRAINING, after=monitoring)

    def _follow(self, pipeline: str, after: DagRun | None = None) -> Generator[Step, None, DagRun]:
        """Follow the pipeline's run to its end and return it.

        Args:
            pipeline: Which pipeline.
            after: The run whose asset event starts it; None: it is triggered here.
        """
        began = looked_at = time.monotonic()
        lost = self._follower.lost
        started = False
        for run in self._follower.states(lambda: self._current(pipeline, after)):
            if run is not None and run.is_over:
                break
            if not started:
                yield Step(self._partition, pipeline, "started", url=self._client.run_url(run) if run else "")
                started = True
            if run is None and time.monotonic() - began - (self._follower.lost - lost) > _EVENT_PATIENCE:
                raise self._not_started(pipeline, after)
            if run is not None and time.monotonic() - looked_at > _APPROVAL_EVERY:
                looked_at = time.monotonic()
                if self._awaits_approval(run):
                    yield Step(self._partition, pipeline, "waiting-for-approval", url=self._client.run_url(run))
        assert run is not None  # noqa: S101 - the loop ends with a run
        self._follower.successful(run)
        yield self._ended(pipeline, run, time.monotonic() - began if started else None)
        return run

    def _ended(self, pipeline: str, run: DagRun, followed: float | None) -> Step:
        """The step of a run that is over, which was followed for so many seconds; None: it was over at the first look.

        Such a run belongs to this pass if it ended during it: then its seconds are those that Airflow knows.
        """
        if followed is not None:
            return Step(self._partition, pipeline, "done", followed)
        if run.started is not None and run.ended is not None and run.ended >= self._began:
            return Step(self._partition, pipeline, "done", (run.ended - run.started).total_seconds())
        return Step(self._partition, pipeline, "already-done")

    def _current(self, pipeline: str, after: DagRun | None) -> DagRun | None:
        """The pipeline's run; triggered where no event starts it, cleared if it failed in an earlier try."""
        run = self._latest(pipeline, after)
        if run is None and after is None:
            dag = dag_names.dag_id(self._use_case, pipeline)
            run = self._client.trigger(dag, f"replay__{self._partition}", partition=self._partition, conf=self._conf)
        return self._follower.retried(run, self._began) if run is not None else None

    def _latest(self, pipeline: str, after: DagRun | None) -> DagRun | None:
        """The newest run of the pipeline on this partition; runs from before `after` belong to an earlier pass."""
        dag = dag_names.dag_id(self._use_case, pipeline)
        since = after.started if after is not None else None
        runs = [
            run
            for run in self._client.runs_of_partition(self._partition, prefix=f"{self._use_case}.")
            if run.dag == dag and (since is None or run.queued is None or run.queued >= since) and counts(run)
        ]
        return runs[-1] if runs else None

    def _requested_retraining(self, monitoring: DagRun) -> bool:
        return any(
            task.task == dag_names.REQUEST_RETRAINING and task.state == "success"
            for task in self._client.task_instances(monitoring)
        )

    def _awaits_approval(self, run: DagRun) -> bool:
        return any(task.state == dag_names.AWAITING_INPUT for task in self._client.task_instances(run))

    def _not_started(self, pipeline: str, after: DagRun | None) -> ReplayFailed:
        dag = dag_names.dag_id(self._use_case, pipeline)
        source = f" by the asset event of {after.dag} ({after.id})" if after else ""
        return ReplayFailed(
            f"{dag} was not started for partition {self._partition}{source} within {_EVENT_PATIENCE:.0f} s.",
            f"Look at the DAG's schedule and whether it is paused: {self._client.uri}/dags/{dag}",
        )
