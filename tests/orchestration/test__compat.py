"""A task that pauses and continues, and canaries: each fails once Airflow's executor changed, or needs no fix."""

from __future__ import annotations

import ctypes
import inspect
import multiprocessing
from typing import Any
from uuid import uuid4

import pytest
from airflow.executors.base_executor import BaseExecutor
from airflow.executors.local_executor import LocalExecutor
from airflow.executors.workloads import ExecuteTask
from airflow.utils.state import TaskInstanceState

from perennial.orchestration.executor import PreloadingLocalExecutor


def without_workers(kind: type[LocalExecutor], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An executor whose queues are there, and nobody who reads them: the test is the worker."""
    monkeypatch.setattr("perennial.orchestration.executor.preload", lambda: None)
    monkeypatch.setattr(LocalExecutor, "_spawn_worker", lambda self: None)
    executor = kind(parallelism=2)
    executor.start()
    executor._unread_messages = multiprocessing.Value(ctypes.c_uint)
    return executor


def workload(attempt: int = 1) -> ExecuteTask:
    """An attempt at one task, as the scheduler hands it over."""
    return ExecuteTask.model_validate(
        {
            "ti": {
                "id": uuid4(),
                "dag_version_id": uuid4(),
                "dag_id": "flights.training",
                "task_id": "approve",
                "run_id": "by-hand",
                "try_number": attempt,
                "map_index": -1,
                "pool_slots": 1,
                "queue": "default",
                "priority_weight": 1,
            },
            "dag_rel_path": "training.py",
            "bundle_info": {"name": "dags", "version": None},
            "token": "none",
            "log_path": None,
        }
    )


def queue(executor: Any, work: ExecuteTask) -> None:
    executor.queue_workload(work, session=None)
    executor.heartbeat()


def taken(executor: Any) -> int:
    """How many workloads wait for a worker, each of which one takes now."""
    count = 0
    while not executor.activity_queue.empty():
        executor.activity_queue.get()
        count += 1
    return count


def test_a_resumed_task_waits_for_its_first_process_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = without_workers(PreloadingLocalExecutor, monkeypatch)
    queue(executor, workload())
    assert taken(executor) == 1
    queue(executor, answered := workload())
    assert taken(executor) == 0, "a worker still has it"
    executor.result_queue.put((answered.key, TaskInstanceState.SUCCESS, None))
    executor.heartbeat()
    assert executor.has_task(answered.ti), "so the scheduler does not take that end for the end of the second"
    assert set(executor.get_event_buffer()) == {answered.key}
    executor.heartbeat()
    assert taken(executor) == 1


def test_another_attempt_need_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = without_workers(PreloadingLocalExecutor, monkeypatch)
    queue(executor, workload())
    queue(executor, workload(attempt=2))
    assert taken(executor) == 2


def test_a_task_that_the_scheduler_gave_up_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = without_workers(PreloadingLocalExecutor, monkeypatch)
    queue(executor, lost := workload())
    executor.change_state(lost.key, TaskInstanceState.FAILED)
    queue(executor, workload())
    assert taken(executor) == 2


def test_airflows_own_executor_still_forgets_what_a_worker_has(monkeypatch: pytest.MonkeyPatch) -> None:
    # When this fails, `orchestration/_compat.py` may go.
    executor = without_workers(LocalExecutor, monkeypatch)
    queue(executor, workload())
    queue(executor, workload())
    assert taken(executor) == 2


def test_airflow_hands_tasks_to_workers_by_the_replaced_method() -> None:
    # Private by its name. When this fails, PreloadingLocalExecutor no longer learns which tasks a worker has.
    parameters = list(inspect.signature(LocalExecutor._process_workloads).parameters)
    assert (
        parameters
        == ["self", "workload_list"]
        == list(inspect.signature(PreloadingLocalExecutor._process_workloads).parameters)
    )
    assert "_process_workloads(" in inspect.getsource(BaseExecutor.trigger_tasks)


def test_airflows_mail_hook_still_sends_no_plain_text() -> None:
    # Once it does, `_compat.send_mail` can go.
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    parameters = set(inspect.signature(SmtpHook.send_email_smtp).parameters)
    assert parameters & {"text", "text_content", "plain_text", "body"} == set()
