"""The machines that tests run on: a home with PostgreSQL, MLflow, Airflow on SQLite, a checkout, free ports."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import mlflow_servers
import pytest

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def inherited() -> dict[str, str]:
    """The environment without what belongs to the home, the Airflow or the login of the test file before."""
    leave_out = ("PERENNIAL_", "AIRFLOW_", "MLFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(leave_out)}


@cache
def airflow_on_sqlite() -> Path:
    """The home of the Airflow of this process, which is gone when the process ends.

    Called by the first conftest: Airflow reads its configuration when first imported, which is before any fixture.
    """
    home = Path(tempfile.mkdtemp(prefix="perennial-airflow-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__UNIT_TEST_MODE="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
    )
    return home


def energy_checkout(prefix: str) -> tuple[Path, dict[str, str]]:
    """A folder with the project and `energy` as its only use case, and the environment of whatever runs in it.

    Not below pytest's folder: each pytest that starts closes that to other users, PostgreSQL's among them.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    for name in ("dags", "plugins", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/second_use_case/use_cases", folder / "code/use_cases")
    (folder / "feature_repo").mkdir()
    shutil.copy(ROOT / "feature_repo/feature_store.yaml", folder / "feature_repo")
    shutil.copy(ROOT / "tests/second_use_case/feature_repo/energy.py", folder / "feature_repo")
    return folder, inherited() | {
        "PERENNIAL_PROJECT": str(folder),
        "PERENNIAL_HOME": str(folder / "home"),
        "PERENNIAL_AIRFLOW_PORT": str(free_port()),
        "PERENNIAL_MLFLOW_PORT": str(free_port()),
        "PERENNIAL_SERVING_PORT": str(free_port()),
        "PERENNIAL_PARALLELISM": "2",
        "PYTHONPATH": str(folder / "code"),
    }


@cache
def _cluster() -> Path:
    """The folder of a PostgreSQL as a home begins with, gone when this process ends: copied faster than made again."""
    from perennial.embedded import postgres as server
    from perennial.services import postgres
    from perennial.services.postgres_address import folder as place
    from perennial.settings import settings

    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("PERENNIAL_HOME", str(folder))
        settings.cache_clear()
        server.start()
        server.create_databases()
        for name in postgres.DATABASES:
            postgres.engine(name).dispose()
        server.stop()
        made = place()
    for cached in (settings, postgres.engine):
        cached.cache_clear()
    return made


@contextmanager
def home() -> Iterator[Path]:
    """A folder with an embedded PostgreSQL and an empty lake, gone afterwards; `PERENNIAL_HOME` points there."""
    from perennial import lake
    from perennial.embedded import postgres as server
    from perennial.services import postgres
    from perennial.settings import settings

    cluster = _cluster()
    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    os.environ["PERENNIAL_HOME"] = str(folder)
    # As it is, with its owner.
    subprocess.run(["cp", "-a", cluster, folder], check=True)
    # What another file's process signed in to MLflow with is not of this home.
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        os.environ.pop(name, None)
    settings.cache_clear()
    server.start()
    server.create_databases()
    try:
        yield folder
    finally:
        for name in postgres.DATABASES:
            postgres.engine(name).dispose()
        server.stop()
        for cached in (settings, postgres.engine, lake.catalog):
            cached.cache_clear()
        del os.environ["PERENNIAL_HOME"]
        shutil.rmtree(folder, ignore_errors=True)


def mlflow_arguments(home: Path, port: int) -> list[str]:
    """Those of an MLflow tracking server for a home."""
    from perennial.services import postgres

    return [
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", postgres.url("mlflow").render_as_string(hide_password=False)),
        *("--artifacts-destination", str(home / "mlflow")),
    ]


@contextmanager
def mlflow_server(home: Path) -> Iterator[str]:
    """The address of an MLflow tracking server for a home; `PERENNIAL_MLFLOW_URI` names it."""
    from perennial.settings import settings

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = mlflow_arguments(home, port)
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = mlflow_servers.start(arguments, environment, home / "mlflow.log")
    try:
        deadline = time.monotonic() + 120
        while not answers(f"{address}/health"):
            assert server.is_alive(), (home / "mlflow.log").read_text()
            assert time.monotonic() < deadline, "MLflow did not start in two minutes"
            time.sleep(0.2)
        os.environ["PERENNIAL_MLFLOW_URI"] = address
        settings.cache_clear()
        yield address
    finally:
        os.environ.pop("PERENNIAL_MLFLOW_URI", None)
        settings.cache_clear()
        server.terminate()
        server.join(timeout=30)
        assert not server.is_alive()


def answers(address: str) -> bool:
    """Whether a GET of the address succeeds."""
    try:
        return httpx.get(address, timeout=2).is_success
    except httpx.HTTPError:
        return False
