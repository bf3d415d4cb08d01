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


def test_a_tool_gets_what_it_needs_and_no_key_of_a_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRELATED", "1")
    monkeypatch.setenv("PERENNIAL_PARALLELISM", "3")
    settings.cache_clear()
    seen, servers = environment.tool_environment(), environment.environment()
    assert {name: servers[name] for name in seen} == seen, "the same as the servers have"
    assert {"AIRFLOW_HOME", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"} <= seen.keys()
    assert seen["PERENNIAL_PARALLELISM"] == "3", "a tool in another shell has the same settings"
    assert "UNRELATED" not in seen
    assert not {"AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"} & seen.keys()
    assert not [name for name, value in seen.items() if value in (servers["AIRFLOW__API__SECRET_KEY"], "")]


def test_the_path_does_not_grow_when_it_is_set_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = environment.tool_environment()
    for name in ("PATH", "PYTHONPATH"):
        monkeypatch.setenv(name, first[name])
    assert environment.tool_environment() == first


def test_elsewhere_no_login_is_generated_or_sent(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", "https://mlflow.example.com")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URI", "https://airflow.example.com")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    seen = environment.tool_environment()
    assert seen["MLFLOW_TRACKING_URI"] == "https://mlflow.example.com"
    assert not [name for name in seen if name.startswith(("AIRFLOW", "MLFLOW_TRACKING_USER", "MLFLOW_TRACKING_PASS"))]
    assert list(empty_home.iterdir()) == []
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t")
    assert environment.tool_environment()["MLFLOW_TRACKING_TOKEN"] == "t"
