"""Environments: their files in git, their places, and that two on the same servers do not meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from perennial import discovery, lake
from perennial.doctor import configuration
from perennial.errors import InvalidSetting, UnknownVersion
from perennial.registry import mlflow_records, tracking
from perennial.services import postgres
from perennial.settings import Settings, settings, use_project, variable


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes the file of `staging` in a project, which is this process's environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.setenv("PERENNIAL_PROJECT", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_ENVIRONMENT", "staging")
    (tmp_path / "environments").mkdir()

    def _write(content: str) -> None:
        (tmp_path / "environments/staging.toml").write_text(content)
        settings.cache_clear()

    yield _write
    monkeypatch.undo()
    settings.cache_clear()


def test_the_file_of_an_environment_sets_its_settings(write: Callable[[str], None]) -> None:
    write('mlflow_uri = "http://mlflow:5000"\nprices = { currency = "EUR", cpu_hour = 0.04 }')
    assert settings().mlflow_uri == "http://mlflow:5000"
    assert settings().prices.cpu_hour == 0.04


def test_a_variable_wins_over_the_file(write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_PORT", "5700")
    write("mlflow_port = 5600\nairflow_port = 8180")
    assert (settings().mlflow_port, settings().airflow_port) == (5700, 8180)


def test_the_places_of_an_environment_are_its_own(write: Callable[[str], None], tmp_path: Path) -> None:
    write('warehouse = "s3://team/lake"')
    where = settings()
    assert where.home == tmp_path / ".perennial/environments/staging"
    assert where.warehouse == "s3://team/lake/staging"
    assert where.training_sets == f"{where.home}/training_sets"


def test_places_handed_to_another_process_stay(
    write: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("home", "warehouse", "training_sets", "environments"):
        monkeypatch.setenv(variable(name), "")  # So that what is set below is gone afterwards.
    write('warehouse = "s3://team/lake"')
    before = settings()
    use_project(tmp_path / "another")
    for name in ("home", "warehouse", "training_sets", "environments"):
        assert getattr(settings(), name) == getattr(before, name)


@pytest.mark.parametrize(
    "content",
    [
        'serving_token = "abc"',
        'database = "postgresql://user:word@host/postgres"',
        'catalog = { "s3.secret-access-key" = "abc" }',
        'mlflow_uri = "https://host/?token=abc"',
    ],
    ids=["token", "password", "property", "query"],
)
def test_a_secret_in_a_file_is_refused(content: str, write: Callable[[str], None]) -> None:
    write(content)
    with pytest.raises(InvalidSetting, match="looks like a secret") as refusal:
        settings()
    assert "abc" not in str(refusal.value)
    assert "word" not in str(refusal.value)


@pytest.mark.parametrize(
    "content", ["mlflow_prt = 5600", 'environment = "prod"', "= 1"], ids=["unknown", "own", "toml"]
)
def test_a_wrong_file_is_refused_by_its_name(content: str, write: Callable[[str], None]) -> None:
    write(content)
    with pytest.raises(InvalidSetting, match=r"staging\.toml"):
        settings()


def test_an_environment_without_a_file_is_refused(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("")
    monkeypatch.setenv("PERENNIAL_ENVIRONMENT", "stagin")
    with pytest.raises(InvalidSetting, match=r"no file .*stagin\.toml(.|\n)*has one: staging"):
        settings()


@pytest.mark.parametrize("name", ["../prod", "Prod", "a-b", "a" * 21])
def test_a_name_that_fits_nowhere_is_refused(
    name: str, write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("")
    monkeypatch.setenv("PERENNIAL_ENVIRONMENT", name)
    with pytest.raises(InvalidSetting, match="PERENNIAL_ENVIRONMENT"):
        settings()


def test_the_doctor_says_what_the_file_sets(write: Callable[[str], None]) -> None:
    write("mlflow_port = 5600")
    found = {each.name: str(each) for each in configuration.values()}
    assert "5600 (from environments/staging.toml)" in found["mlflow_port"]
    assert "environment 'staging'" in found["Settings"]


@pytest.fixture
def enter(home: Path, mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes this process one of an environment on the same PostgreSQL and the same MLflow."""
    address = postgres.url("postgres").render_as_string(hide_password=False)
    monkeypatch.setenv("PERENNIAL_DATABASE", address)
    monkeypatch.setenv("PERENNIAL_ENVIRONMENTS", str(tmp_path))

    def _enter(name: str) -> None:
        from perennial.embedded import postgres as embedded_postgres

        if name:
            (tmp_path / f"{name}.toml").touch()
        monkeypatch.setenv("PERENNIAL_ENVIRONMENT", name)
        _forget()
        embedded_postgres.create_databases()

    yield _enter
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for each in (settings, postgres.engine, lake.catalog):
        each.cache_clear()


def test_environments_on_one_server_do_not_meet(enter: Callable[[str], None]) -> None:
    import pyarrow as pa

    use_case = discovery.load("flights")
    enter("staging")
    lake.replace("flights.tried", "2024-01", pa.table({"a": [1]}))
    with tracking.run(use_case, "training", "first", "first") as run:
        mlflow.log_text("nothing", "model/MLmodel")
    tracking.client().create_registered_model(tracking.model_name(use_case))
    tracking.client().create_model_version(
        tracking.model_name(use_case), f"{run.info.artifact_uri}/model", run.info.run_id
    )
    tracking.promote(use_case, 1)
    assert tracking.run_of(use_case, 1) == run.info.run_id

    for other in ("prod", ""):
        enter(other)
        assert lake.records("flights.tried") == []
        assert tracking.find_run(use_case, "training", "first") is None
        assert mlflow_records.patient.version_with_alias("flights", "champion") is None
        with pytest.raises(UnknownVersion):
            tracking.run_of(use_case, 1)

    enter("staging")
    assert [row["a"] for row in lake.records("flights.tried")] == [1]
    assert mlflow_records.patient.version_with_alias("flights", "champion") == 1
