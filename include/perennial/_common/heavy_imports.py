"""Importing heavy libraries once, and without what costs only time.

A process that forks tasks preloads `LIBRARIES` before it forks: what it has imported costs a task nothing, instead of
the 10-20 s that feast, evidently, great_expectations and mlflow take in a process of their own.
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from perennial._common import _compat

#: What the pipelines use. One that is missing is not an error here but in the task.
LIBRARIES = (
    "skops.io",  # First: it looks its types up in every module that is already imported.
    "pandas",
    "pyarrow.parquet",
    "pyarrow.dataset",
    "pyarrow.acero",
    "polars",
    "duckdb",
    "ibis.backends.duckdb",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.inspection",
    "sklearn.metrics",
    "sklearn.pipeline",
    "psycopg",
    "psycopg2.extras",
    "pyiceberg.catalog.sql",
    "pyiceberg.table",
    "pyiceberg.io.pyarrow",
    "feast",
    "feast.repo_operations",
    "feast.infra.offline_stores.duckdb",
    "feast.infra.online_stores.sqlite",
    "feast.infra.registry.sql",
    "mlflow",
    "mlflow.sklearn",
    "mlflow.pyfunc",
    "mlflow.tracking.request_header.registry",  # At the first request it would import Feast, by an entry point.
    "mlflow.data.meta_dataset",
    "mlflow.tracing.provider",
    "mlflow.data.sources",
    "matplotlib.pyplot",  # scikit-learn's displays import it.
    "PIL.PngImagePlugin",
    "matplotlib.backends.backend_agg",
    "sklearn.calibration",
    "evidently.legacy.calculations.stattests",
    "plotly.graph_objs",
    "plotly.offline",
    "git",
    "tabulate",
    "jinja2",
    "markdown_it",
    "great_expectations",
    "great_expectations.expectations",
    "evidently",
    "evidently.presets",
    "airflow.sdk.definitions.decorators",  # Airflow imports these when a DAG file first names them.
    "airflow.providers.standard.operators.hitl",
)

log = logging.getLogger(__name__)


def preload(libraries: tuple[str, ...] = LIBRARIES) -> float:
    """Import `libraries` and return the seconds it took."""
    began = time.perf_counter()
    # Importing it prints hundreds of "Skipping registering function" lines; the workers inherit the level.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with fast_imports(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Other people's deprecations.
        for name in libraries:
            try:
                importlib.import_module(name)
            except Exception:
                log.warning("Could not preload %s; tasks that need it import it themselves", name, exc_info=True)
    _compat.map_packages()
    seconds = time.perf_counter() - began
    log.info("Preloaded %d libraries in %.1f s", len(libraries), seconds)
    return seconds


@contextmanager
def fast_imports() -> Iterator[None]:
    """Import what is inside the block without typeguard's rewriting and without garbage collection.

    typeguard takes two thirds of `import feast`, garbage collection a tenth of any large import. Both are restored.
    """
    if "feast" in sys.modules:
        yield
        return
    collects = gc.isenabled()
    gc.disable()
    try:
        with _compat.without_typeguard():
            yield
    finally:
        if collects:
            gc.enable()
