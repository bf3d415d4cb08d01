"""Which servers are used and run."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial import embedded
from perennial.settings import settings


def test_running_can_be_asked_twice(empty_home: Path) -> None:
    assert embedded.running() == embedded.running() == []


def test_servers_elsewhere_are_external(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URI", "http://airflow.example:8080")
    settings.cache_clear()
    states = {service.name: service.state for service in embedded.services()}
    assert states == {"Airflow": "external", "MLflow": "external", "PostgreSQL": "stopped"}
