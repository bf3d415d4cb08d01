"""Canaries: each fails once importing Feast or MLflow fast takes another way, or none."""

from __future__ import annotations

import subprocess
import sys


def test_mlflow_still_maps_packages_once_a_process() -> None:
    # When this fails, `_common/_compat.map_packages` may go.
    from mlflow.utils import requirements_utils

    assert callable(requirements_utils._init_packages_to_modules_map)


def test_feast_imports_faster_without_typeguard_intact_after() -> None:
    check = """
import gc, sys, time
from perennial._common.heavy_imports import fast_imports
import typeguard
original, began = typeguard.typechecked, time.process_time()
with fast_imports():
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
    # When this fails, Feast no longer pays for typeguard at import: `_common/_compat.without_typeguard` may go.
    assert quick < 0.7 * plain
