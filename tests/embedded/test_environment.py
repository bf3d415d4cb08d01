"""The environment of the embedded servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.embedded import environment
from perennial.errors import ServiceUnavailable
from perennial.services.credentials import login
from perennial.settings import settings


def test_environment_points_to_the_embedded_servers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    seen = environment.environment()
    assert "PYTHONDONTWRITEBYTECODE" not in seen
    assert seen["PERENNIAL_HOME"] == str(home)
    assert seen["MLFLOW_TRACKING_URI"] == settings().mlflow_uri
    assert seen["MLFLOW_TRACKING_PASSWORD"] == login().password
    assert seen["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert len(bytes.fromhex(seen["AIRFLOW__API_AUTH__JWT_SECRET"])) == 64
    assert seen == environment.environment(), "keys must not change between two starts"


def test_environment_needs_postgresql(empty_home: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="perennial up"):
        environment.environment()
