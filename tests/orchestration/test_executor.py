"""The executors: the libraries that their tasks find already imported."""

from __future__ import annotations

import subprocess
import sys


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
