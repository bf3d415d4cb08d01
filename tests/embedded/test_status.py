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
    assert states == {
        "Airflow": "external",
        "MLflow": "external",
        "PostgreSQL": "stopped",
        "Serving": "external",
    }


@pytest.mark.parametrize(("uri", "state"), [("", "stopped"), ("none", "external"), ("http://other:8090", "external")])
def test_the_prediction_server_may_be_elsewhere_or_nowhere(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch, uri: str, state: str
) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING_URI", uri)
    settings.cache_clear()
    assert embedded.services()[-1].state == state
