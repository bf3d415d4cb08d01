"""The private parts of Airflow that are touched, each with its reason.

`tests/orchestration/test__compat.py` fails once Airflow no longer needs the fix of its LocalExecutor, or calls the
method in another way, and once its mail hook sends a message that is plain text too.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import State


class OneProcessPerTask(LocalExecutor):
    """`LocalExecutor` that runs no task in two processes at once.

    A task that pauses, for a person's response or for a trigger, ends its process and continues under the same key in
    another. Airflow's own executor forgets a task once a worker has it. If the response comes before the executor has
    learned that the first process ended, the scheduler takes that end for the second's, fails the attempt, and asks the
    person again (apache/airflow issue 72716). Here the second process waits until the first has ended.
    """

    def start(self) -> None:
        """Begin with no task in a worker."""
        self._with_a_worker: set[Any] = set()
        super().start()

    def order_queued_tasks_by_priority(self) -> list[tuple[Any, Any]]:
        """The tasks that a worker may take, by priority; not those that a worker still has."""
        return [(key, task) for key, task in super().order_queued_tasks_by_priority() if key not in self._with_a_worker]

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        super()._process_workloads(workload_list)
        self._with_a_worker.update(workload.key for workload in workload_list)

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Record that a worker has ended a task, or that the scheduler has given it up.

        Args:
            key: The task's, with its attempt.
            state: The task's new state.
            info: What Airflow passes on; see `BaseExecutor`, also for `remove_running`.
            remove_running: Whether the task no longer runs.
        """
        if state in State.finished:
            self._with_a_worker.discard(key)
        super().change_state(key, state, info, remove_running)


def send_mail(hook: Any, mail: EmailMessage, sender: str, recipients: Sequence[str]) -> dict[str, Any]:
    """Send a mail over the connection that Airflow's `SmtpHook` has opened; return the recipients that were refused.

    What the hook sends itself has no plain text beside the HTML, and is sent again after an error up to five times.

    Args:
        hook: An open `SmtpHook`.
        mail: With all its headers.
        sender: The address that errors are returned to.
        recipients: Addresses.
    """
    return dict(hook._smtp_client.send_message(mail, from_addr=sender, to_addrs=list(recipients)))
