"""A LocalExecutor whose workers start with the heavy libraries imported, and that takes up no task twice at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import State

from perennial._common.heavy_imports import preload


class PreloadingLocalExecutor(LocalExecutor):
    """`LocalExecutor` that imports `perennial._common.heavy_imports.LIBRARIES` before it forks its workers.

    A task that pauses, for a person's answer or for a trigger, ends its process and goes on under the same key in
    another. Airflow's own executor forgets a task once a worker has it. If the answer comes before the end of the first
    process is known, the scheduler takes that end for the second's, fails the attempt, and the person is asked again
    (apache/airflow issue 72716). Here the second waits until the first has ended.
    """

    def start(self) -> None:
        """Import, then start the workers."""
        self._with_a_worker: set[Any] = set()
        preload()
        super().start()

    def order_queued_tasks_by_priority(self) -> list[tuple[Any, Any]]:
        """What may be given to a worker, by priority: nothing that one of them still has."""
        return [(key, task) for key, task in super().order_queued_tasks_by_priority() if key not in self._with_a_worker]

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        super()._process_workloads(workload_list)
        self._with_a_worker.update(workload.key for workload in workload_list)

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Note that a worker has ended a task, or that the scheduler has given it up."""
        if state in State.finished:
            self._with_a_worker.discard(key)
        super().change_state(key, state, info, remove_running)
