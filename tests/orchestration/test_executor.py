"""The executors: the libraries that their tasks find already imported."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from airflow.executors.base_executor import BaseExecutor

from perennial.orchestration import executor
from perennial.orchestration.executor import PreloadingLocalExecutor


def test_preloading_silences_gx_and_leaves_typeguard_as_it_was() -> None:
    check = """
import logging, sys, typeguard
original = typeguard.typechecked
import perennial.orchestration.executor
from perennial._common.heavy_imports import LIBRARIES, preload
assert not {"feast", "mlflow", "great_expectations"} & set(sys.modules), "importing the executor must stay light"
preload()
assert typeguard.typechecked is original
missing = [name for name in LIBRARIES if name not in sys.modules]
assert not missing, missing
assert logging.getLogger("great_expectations").level == logging.WARNING
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Skipping registering" not in done.stdout + done.stderr


def test_only_a_celery_worker_preloads_before_it_forks() -> None:
    check = """
import sys
from importlib import import_module
from celery.signals import worker_init
from perennial.orchestration import celery
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
assert celery.CONFIG == DEFAULT_CELERY_CONFIG
assert not {"feast", "mlflow", "great_expectations"} & set(sys.modules), "a scheduler reads it too"
preloaded = []
celery.preload = lambda: preloaded.append(True)
worker_init.send(sender=None)
assert preloaded == [True]
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


class Work:
    """What the executor needs of a workload."""

    key, running_state, success_state, failure_state, display_name = "a", None, "success", "failed", "a"


@pytest.fixture
def idle(monkeypatch) -> Iterator[PreloadingLocalExecutor]:
    """An executor that has had nothing to do for a minute; its pauses are counted, not made."""
    monkeypatch.setattr(executor, "preload", lambda: 0.0)
    monkeypatch.setattr(BaseExecutor, "run_workload", staticmethod(lambda workload, **_: None))
    started = PreloadingLocalExecutor(parallelism=2)
    started.start()
    started.pauses = []
    monkeypatch.setattr(executor.time, "sleep", started.pauses.append)
    started._last_busy -= 60
    yield started
    started.end()


def test_an_executor_without_work_pauses_and_ends_its_workers_later(idle) -> None:
    idle.heartbeat()
    assert idle.pauses == [executor.PAUSE]
    assert len(idle.workers) == 2
    idle._last_busy -= executor.WORKERS_END_AFTER
    idle.heartbeat()
    idle.heartbeat()
    assert not idle.workers, "they have ended, and are forgotten"


def test_an_executor_with_work_does_not_pause(idle) -> None:
    idle.queued_tasks["a"] = Work()
    idle.trigger_tasks = lambda slots: None
    idle.heartbeat()
    del idle.queued_tasks["a"]
    idle.heartbeat()
    assert idle.pauses == [], "nor at once after it"


def test_work_after_the_workers_ended_is_done_by_others(idle) -> None:
    idle._last_busy -= executor.WORKERS_END_AFTER
    idle.heartbeat()
    idle.queued_tasks["a"] = Work()
    idle._process_workloads([Work()])
    deadline = time.monotonic() + 60
    while "a" not in idle.event_buffer and time.monotonic() < deadline:
        idle.sync()
    assert idle.event_buffer["a"][0] == "success"
    assert len(idle.workers) == 2
