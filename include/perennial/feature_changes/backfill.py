"""Computes partitions again through Airflow, one after the other.

Newest first: what is online is then right as soon as possible, and `features.parity` compares it with what is new too.
Oldest first where a raw table must be fetched: features look back into what was ingested before.

A partition is one run of `<use case>.features` that computes from the raw rows the lake holds. What remains to be done
follows from the lake and the registry, and a run's name from what it computes: stopped anywhere and started again, a
backfill goes on where it was, and two at once follow the same runs.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from perennial import dag_names, lake_cache
from perennial.errors import InvalidPartition, PerennialError
from perennial.feature_store import fingerprints
from perennial.partitions import Cadence, Partition
from perennial.runs.follow import RunFollower
from perennial.runs.progress import Step
from perennial.services.airflow_api import AirflowClient
from perennial.services.airflow_records import DagRun

if TYPE_CHECKING:
    from perennial.use_case import UseCase

_FORMATS = {"%Y-%m-%dT%H": Cadence.HOURLY, "%Y-%m-%d": Cadence.DAILY, "%Y-%m": Cadence.MONTHLY}


class BackfillFailed(PerennialError):
    """A run of the backfill failed, or computed something else than this checkout would."""


def parse_period(text: str) -> tuple[datetime, datetime]:
    """The time that a year and month, a day or an hour names, half-open, UTC.

    Raises:
        InvalidPartition: it is none of these.
    """
    for form, cadence in _FORMATS.items():
        try:
            start = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return start, cadence.after(start)
    raise InvalidPartition(f"{text!r} is not a month, a day or an hour.", "Write 2013-03, 2013-03-01 or 2013-03-01T06.")


def partitions_between(partitions: Sequence[Partition], first: str | None, last: str | None) -> list[Partition]:
    """The partitions that overlap with the time from `first` to `last`.

    Args:
        partitions: The partitions to choose from.
        first: A month, a day or an hour, included; None: no limit.
        last: A month, a day or an hour, included; None: no limit.

    Raises:
        InvalidPartition: a limit is malformed, or they are the wrong way round.
    """
    begin = parse_period(first)[0] if first else datetime.min.replace(tzinfo=UTC)
    end = parse_period(last)[1] if last else datetime.max.replace(tzinfo=UTC)
    if begin >= end:
        raise InvalidPartition(f"--from {first} is after --to {last}.", "Swap them.")
    return [partition for partition in partitions if partition.start < end and begin < partition.end]


def order_partitions(use_case: UseCase, partitions: Sequence[Partition]) -> list[Partition]:
    """The partitions in the order in which they are to be computed: see the top of this module.

    Args:
        use_case: The use case.
        partitions: The partitions to compute.
    """
    table = use_case.tables.batches
    loaded: dict[str, set[str]] = {}
    for row in lake_cache.records([table])[table]:
        loaded.setdefault(row["partition"], set()).add(row["table"])
    raw = {each.name for each in use_case.raw}
    must_fetch = any(raw - loaded.get(partition.key, set()) for partition in partitions)
    return sorted(partitions, reverse=not must_fetch)


def backfill(
    client: AirflowClient,
    use_case: UseCase,
    partitions: Sequence[Partition],
    target: str,
    sources: Mapping[str, str] | None = None,
) -> Iterator[Step]:
    """Compute each partition again, in order, and yield what happens.

    Args:
        client: Starts and follows the runs.
        use_case: The use case.
        partitions: The partitions to compute, in order.
        target: What the runs compute, as part of their names: see `target_digest`.
        sources: The parameter `sources` of the runs, which fetch what the lake lacks.

    Raises:
        BackfillFailed: a run failed, or Airflow's workers run other transforms than this checkout has.
        PerennialError: Airflow does not know the DAG.
        ServiceUnavailable: Airflow, or a part of it, went away.
    """
    dag = dag_names.dag_id(use_case.name, dag_names.FEATURES)
    paused = client.dags(dag)
    if dag not in paused:
        raise PerennialError(
            f"Airflow does not know {dag}.", "Is its DAG processor running, and `dags/` what it reads?"
        )
    if paused[dag]:
        client.unpause(dag)
    for partition in partitions:
        yield from _Partition(client, use_case, partition, target, sources or {}).steps()


def target_digest(use_case: UseCase) -> str:
    """A digest of what a backfill of the use case computes now: its transforms and the definitions."""
    from perennial.feature_store import definitions
    from perennial.settings import settings

    content = "".join(f"{name}{print_}" for name, print_ in sorted(fingerprints.of_transforms(use_case).items()))
    content += definitions.digest(settings().feature_repo)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


class _Partition:
    """One partition's run."""

    def __init__(
        self,
        client: AirflowClient,
        use_case: UseCase,
        partition: Partition,
        target: str,
        sources: Mapping[str, str],
    ) -> None:
        self._client = client
        self._use_case = use_case
        self._partition = partition
        self._dag = dag_names.dag_id(use_case.name, dag_names.FEATURES)
        self._name = f"apply__{target}__{partition.key}"
        self._began = datetime.now(UTC)
        self._conf = {"refetch": False} | ({"sources": dict(sources)} if sources else {})

    def steps(self) -> Iterator[Step]:
        started = time.monotonic()
        run = self._run()
        yield Step(self._partition.key, dag_names.FEATURES, "started", url=self._client.run_url(run))
        RunFollower(self._client, BackfillFailed).follow(run)
        self._check_transforms(run)
        yield Step(self._partition.key, dag_names.FEATURES, "done", time.monotonic() - started)

    def _run(self) -> DagRun:
        """The run that is under way or has failed, else a new one.

        One that has succeeded is another plan's: the partition would not be computed again had it done what is needed.
        """
        earlier = [
            run
            for run in self._client.runs_of_partition(self._partition.key, prefix=self._dag)
            if run.dag == self._dag and re.fullmatch(rf"{re.escape(self._name)}(\.\d+)?", run.id)
        ]
        unfinished = [run for run in earlier if run.state != "success"]
        if unfinished:
            run = unfinished[-1]
            # What failed before this command began is tried again; what fails meanwhile is an error.
            return self._client.clear(run) if run.state == "failed" else run
        name = f"{self._name}.{len(earlier) + 1}" if earlier else self._name
        return self._client.trigger(self._dag, name, partition=self._partition.key, conf=self._conf)

    def _check_transforms(self, run: DagRun) -> None:
        """What the run computed must be what this checkout would have: workers may run another commit."""
        from perennial.feature_store import computations

        recorded = computations.recorded_transforms(self._use_case).get(self._partition.key, {})
        expected = fingerprints.of_transforms(self._use_case)
        other = [name for name, fingerprint in expected.items() if recorded.get(name) != fingerprint]
        if other:
            raise BackfillFailed(
                f"{self._dag} succeeded for partition {self._partition}, but {', '.join(other)} was computed by another"
                " transform than this checkout has.",
                f"Airflow's workers run other code: deploy this commit to them, then run the same command again."
                f" The run: {self._client.run_url(run)}",
            )
