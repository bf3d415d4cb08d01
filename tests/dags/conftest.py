"""Enough of Airflow to parse DAGs and to run one with `dag.test()`."""

from __future__ import annotations

import pytest
from machines import ROOT


@pytest.fixture(scope="session")
def airflow_database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def dag_bag(airflow_database):
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))
