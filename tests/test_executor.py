"""The libraries that tasks find already imported."""

from __future__ import annotations

import subprocess
import sys


def test_preloading_silences_gx_and_leaves_typeguard_as_it_was() -> None:
    check = """
import logging, sys, typeguard
original = typeguard.typechecked
from perennial.orchestration.executor import LIBRARIES, preload
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
    # When this fails, `_map_packages` of the executor may go.
    from mlflow.utils import requirements_utils

    assert callable(requirements_utils._init_packages_to_modules_map)
