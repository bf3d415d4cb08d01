"""Airflow on SQLite in a folder of its own: enough to parse DAGs and to run one with `dag.test()`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Airflow reads its configuration when it is first imported, which is before any fixture runs.
_HOME = Path(tempfile.mkdtemp(prefix="perennial-airflow-"))
_DAGS = Path(__file__).parents[2] / "dags"
os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(_DAGS),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(_DAGS.parent / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
)

import shutil  # noqa: E402
from collections.abc import Iterator  # noqa: E402

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def airflow_database() -> Iterator[None]:
    from airflow.utils.db import initdb

    initdb()
    yield
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def dag_bag(airflow_database):
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(_DAGS))
