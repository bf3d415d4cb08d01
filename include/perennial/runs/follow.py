"""Following a run in Airflow until it is over, while watching that Airflow still starts tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from perennial.errors import PerennialError, ServiceUnavailable
from perennial.services.airflow_api import AirflowClient
from perennial.services.airflow_records import DagRun

_POLL = 0.3
_HEALTH_EVERY = 10.0
#: Consecutive unhealthy checks before it is an error: one may be a late heartbeat on a busy machine.
_UNHEALTHY_CHECKS = 3


class RunFollower:
    """Looks at a run every 0.3 seconds, and every ten seconds at the health of Airflow's scheduler and database."""

    def __init__(self, client: AirflowClient, error: type[PerennialError] = PerennialError) -> None:
        """Nothing is asked yet.

        Args:
            client: The Airflow that has the runs.
            error: What to raise when a run has failed.
        """
        self._client = client
        self._error = error
        self._checked = time.monotonic()
        self._unhealthy = 0

    def follow(self, run: DagRun, observe: Callable[[DagRun], None] = lambda run: None) -> DagRun:
        """Wait until a run is over.

        Args:
            run: The run to follow.
            observe: Called with the run each time it was looked at and was not over.

        Returns:
            The run, successful.

        Raises:
            PerennialError: it failed; of the class given to the constructor, with the last lines of the task's log.
            ServiceUnavailable: Airflow, or its scheduler, went away.
        """
        current = run
        for state in self.states(lambda: self._client.run(run.dag, run.id)):
            if state is not None:
                current = state
            if not current.is_over:
                observe(current)
        return self.successful(current)

    def states(self, look: Callable[[], DagRun | None]) -> Iterator[DagRun | None]:
        """What `look` returns, again and again, until that is a run that is over.

        Args:
            look: Returns the run as it is now; None while there is none.

        Raises:
            ServiceUnavailable: Airflow, or its scheduler, went away.
        """
        while True:
            run = look()
            yield run
            if run is not None and run.is_over:
                return
            time.sleep(_POLL)
            self._check_health()

    def successful(self, run: DagRun) -> DagRun:
        """A run that is over, if it did not fail.

        Raises:
            PerennialError: it failed; of the class given to the constructor, with the last lines of the task's log.
        """
        if run.state == "failed":
            raise self._failure(run)
        return run

    def _failure(self, run: DagRun) -> PerennialError:
        """Why a run failed: the task, the last lines of its log, and a link to the rest."""
        failed = next((task for task in self._client.task_instances(run) if task.state == "failed"), None)
        where = f"{run.dag}, task {failed.task}," if failed else run.dag
        tail = "\n".join(f"    {line}" for line in (self._client.log_tail(run, failed) if failed else []))
        partition = f" for partition {run.partition}" if run.partition else ""
        return self._error(
            f"{where} failed{partition}:\n{tail}".rstrip(": \n"),
            f"Read {self._client.run_url(run)}, fix the cause, and run the same command again: it continues from here.",
        )

    def _check_health(self) -> None:
        if time.monotonic() - self._checked < _HEALTH_EVERY:
            return
        self._checked = time.monotonic()
        health = self._client.health()
        unhealthy = [
            component for component in ("metadatabase", "scheduler") if health[component]["status"] != "healthy"
        ]
        self._unhealthy = self._unhealthy + 1 if unhealthy else 0
        if self._unhealthy == _UNHEALTHY_CHECKS:
            raise ServiceUnavailable(
                f"Airflow's {' and '.join(unhealthy)} does not run: nothing is being started.",
                "Run `perennial up`, then the same command again: it picks up where it was.",
            )
