"""A LocalExecutor whose workers have the heavy libraries imported, and that rests while there is nothing to do."""

from __future__ import annotations

import time

from perennial._common.heavy_imports import preload
from perennial.embedded.status import WORKERS_END_AFTER
from perennial.orchestration._compat import OneProcessPerTask

#: Seconds without a task after which the scheduler looks for work less often, and the pause that it then makes each
#: time: a run that is started meanwhile begins so much later, and none of its further tasks do.
RESTS_AFTER, PAUSE = 10.0, 2.0


class PreloadingLocalExecutor(OneProcessPerTask):
    """`LocalExecutor` that imports `perennial._common.heavy_imports.LIBRARIES` before it forks its workers.

    The scheduler calls `heartbeat` ten times a second (`scheduler_idle_sleep_time`), so that a task follows the one
    before at once. While no task runs that would cost an eighth of a core, and a twentieth for the database.
    """

    def start(self) -> None:
        """Import, then start the workers."""
        preload()
        self._last_busy = time.monotonic()
        super().start()

    def heartbeat(self) -> None:
        """Do the executor's work; without any, pause, and later end the workers."""
        super().heartbeat()
        if self.slots_occupied:
            self._last_busy = time.monotonic()
            return
        idle = time.monotonic() - self._last_busy
        if idle >= WORKERS_END_AFTER:
            self._end_workers()
        if idle >= RESTS_AFTER:
            time.sleep(PAUSE)

    def _end_workers(self) -> None:
        """Ask each worker to end; Airflow's executor finds that they have, and forks others for the next task."""
        for worker in self.workers.values():
            if worker.is_alive():
                self.activity_queue.put(None)
        for worker in self.workers.values():
            worker.join(PAUSE)
