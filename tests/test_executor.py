"""The libraries that tasks find already imported."""

from __future__ import annotations

import subprocess
import sys


def test_preloading_silences_gx_and_leaves_typeguard_as_it_was() -> None:
    check = """
import logging, sys, typeguard
original = typeguard.typechecked
import perennial.orchestration.executor
from perennial.imports import LIBRARIES, preload
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


def test_mlflow_still_maps_packages_once_a_process() -> None:
    # When this fails, `_map_packages` of perennial.imports may go.
    from mlflow.utils import requirements_utils

    assert callable(requirements_utils._init_packages_to_modules_map)


def test_a_celery_worker_preloads_before_it_forks_and_nobody_else_does() -> None:
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


def test_feast_is_quick_without_typeguard_and_both_are_whole_afterwards() -> None:
    check = """
import gc, sys, time
from perennial.imports import quickly
import typeguard
original, began = typeguard.typechecked, time.process_time()
with quickly():
    assert not gc.isenabled()
    import feast
assert typeguard.typechecked is original
assert gc.isenabled()
print(time.process_time() - began)
"""
    slow = "import time, typeguard; began = time.process_time(); import feast; print(time.process_time() - began)"
    quick, plain = (
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for code in (check, slow)
    )
    # When this fails, Feast no longer pays for typeguard at import: `_without_typeguard` of perennial.imports may go.
    assert quick < 0.7 * plain
