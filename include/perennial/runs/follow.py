"""Following a run in Airflow until it is over, while watching that Airflow still starts tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

from perennial.errors import InvalidParams, PerennialError, ServiceUnavailable, UnknownVersion
from perennial.services.airflow_api import AirflowClient
from perennial.services.airflow_records import DagRun
from perennial.services.outage import Outage

_POLL = 0.3
_HEALTH_EVERY = 10.0
#: Consecutive unhealthy checks before it is an error: one may be a late heartbeat on a busy machine.
_UNHEALTHY_CHECKS = 3
#: How the log of a task begins that refused what was asked of it: the same request is refused again.
_REFUSED = tuple(f"{error.__name__}: " for error in (InvalidParams, UnknownVersion))


class RunFollower:
    """Looks at a run every 0.3 seconds, and every ten seconds at the health of Airflow's scheduler and database.

    What goes away is waited for if the client tells somebody (`AirflowClient.tell`); otherwise it is an error.
    """

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
        self._outage = Outage(client.tell or (lambda line: None))
        self._lost_before = client.lost
        self._retried: set[str] = set()

    @property
    def lost(self) -> float:
        """For how long Airflow, or a part of it, was away since this was made, in seconds."""
        return self._client.lost - self._lost_before + self._outage.lost

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
        for state in self.states(lambda: self.retried(self._client.run(run.dag, run.id))):
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

    def retried(self, run: DagRun, began: datetime | None = None) -> DagRun:
        """The run as it is; or cleared, once, if it failed and Airflow was away meanwhile, which may be why.

        Args:
            run: Any run.
            began: A run that failed before this moment is cleared, too.

        Returns:
            The run after that.
        """
        is_old = began is not None and run.ended is not None and run.ended < began
        if run.state != "failed" or run.id in self._retried or not (is_old or self.lost):
            return run
        self._retried.add(run.id)
        return self._client.clear(run)

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
        lines = self._client.log_tail(run, failed) if failed else []
        tail = "\n".join(f"    {line}" for line in lines)
        partition = f" for partition {run.partition}" if run.partition else ""
        url = self._client.run_url(run)
        fix = f"Read {url}, fix the cause, and run the same command again: it continues from here."
        if any(line.startswith(_REFUSED) for line in lines):
            fix = f"Correct the request, as said above. The whole log: {url}"
        return self._error(f"{where} failed{partition}:\n{tail}".rstrip(": \n"), fix)

    def _check_health(self) -> None:
        if time.monotonic() - self._checked < _HEALTH_EVERY:
            return
        self._checked = time.monotonic()
        health = self._client.health()
        unhealthy = [
            component for component in ("metadatabase", "scheduler") if health[component]["status"] != "healthy"
        ]
        if not unhealthy:
            self._unhealthy = 0
            self._outage.back("Airflow starts tasks again")
            return
        self._unhealthy += 1
        problem = f"Airflow's {' and '.join(unhealthy)} does not run: nothing is being started"
        if self._client.tell is not None:
            self._outage.away(problem)
        elif self._unhealthy == _UNHEALTHY_CHECKS:
            raise ServiceUnavailable(
                f"{problem}.", "Run `perennial up`, then the same command again: it picks up where it was."
            )
