"""Airflow's API server with people of four roles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import airflow_world
import pytest
from machines import airflow_on_sqlite

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

_HOME = airflow_on_sqlite()
os.environ.update(
    PERENNIAL_AIRFLOW_ALLOWED_HOSTS='["testserver"]',
    AIRFLOW__API_AUTH__JWT_SECRET="s" * 64,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS="ada:admin,otto:op,uma:user,vera:viewer",
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(_HOME / "passwords.json"),
)
(_HOME / "passwords.json").write_text('{"ada": "lovelace", "otto": "hahn", "uma": "rani", "vera": "rubin"}')


@pytest.fixture(scope="module")
def http(project: Path) -> TestClient:
    """Airflow's API server with the plugin, without a port; no run is left of another file's."""
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import initdb
    from fastapi.testclient import TestClient

    initdb()
    airflow_world.forget_runs()
    return TestClient(create_app(apps="core"), base_url="http://testserver")


@pytest.fixture(scope="module")
def access(http: TestClient) -> dict[str, str]:
    """The headers of an admin."""
    return airflow_world.login(http, "ada", "lovelace")


@pytest.fixture(scope="module")
def viewing(http: TestClient) -> dict[str, str]:
    """The headers of a viewer."""
    return airflow_world.login(http, "vera", "rubin")
