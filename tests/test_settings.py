"""Settings as the environment gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from perennial.settings import Settings, variable


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_variable_sets_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = Settings()
    monkeypatch.setenv(variable(name), "")
    assert Settings() == default


def test_a_relative_place_is_below_the_project_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_PROJECT", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_HOME", "kept")
    monkeypatch.setenv("PERENNIAL_WAREHOUSE", "data/lake")
    monkeypatch.setenv("PERENNIAL_TRAINING_SETS", "data/sets")
    loaded = Settings()
    assert (loaded.home, loaded.warehouse, loaded.training_sets) == (
        tmp_path / "kept",
        f"{tmp_path}/data/lake",
        f"{tmp_path}/data/sets",
    )


def test_public_addresses_default_to_internal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", "http://mlflow:5000")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URI", "http://airflow:8080")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_PUBLIC_URI", "https://airflow.example.org")
    loaded = Settings()
    assert (loaded.mlflow_public_uri, loaded.airflow_public_uri) == (
        "http://mlflow:5000",
        "https://airflow.example.org",
    )


def test_compose_sets_public_addresses_to_published_ports() -> None:
    composed = yaml.safe_load((Path(__file__).parents[1] / "docker-compose.yaml").read_text())
    for name, service in (("MLFLOW", "mlflow"), ("AIRFLOW", "airflow-api-server")):
        published, _, _ = composed["services"][service]["ports"][0].rpartition(":")
        assert composed["x-environment"][f"PERENNIAL_{name}_PUBLIC_URI"] == f"http://{published}"


@pytest.mark.parametrize("place", ["s3://bucket/lake", "file:///srv/lake", "/srv/lake"])
def test_an_absolute_place_stays_as_it_is(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_WAREHOUSE", place)
    assert Settings().warehouse == place
