"""A home of its own for every test file: an embedded PostgreSQL and an empty lake, gone when the file is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import examples
import hypothesis
import machines
import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from changes_cases import Checkout

    from perennial.use_case import UseCase

# One thread a process: tests run in parallel, and waiting OpenMP threads would burn the cores they share.
os.environ.update(OMP_WAIT_POLICY="PASSIVE", OMP_NUM_THREADS="1", GX_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Whichever test file imports Airflow first, directly or not, it is this one.
machines.airflow_on_sqlite()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Test files that import Feast do so in a third of the time."""
    from perennial._common.heavy_imports import fast_imports

    with fast_imports():
        return (yield)


#: Fixtures that start a server, or stand on one that does.
_SERVERS = {"home", "mlflow_server", "s3_server", "airflow_home", "machine"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a server, by the fixtures it uses: `make test-fast` leaves that out."""
    for item in items:
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("stores")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fast`, for `make test-fast`: see its help."""
    what = (
        "skip a test at the moment it starts a process, unless that is a quick program; try properties on few examples"
    )
    parser.addoption("--fast", action="store_true", help=what)


#: Programs that end in milliseconds.
_QUICK = {"file", "git", "jq", "lscpu", "make", "uname"}


def pytest_configure(config: pytest.Config) -> None:
    """Try properties on the same examples as CI does, unless another profile is asked for; make `--fast` fast."""
    if not config.getoption("--hypothesis-profile"):
        hypothesis.settings.load_profile("ci")
    if config.getoption("--fast"):
        examples.limit = 5
        hypothesis.settings.register_profile("fast", max_examples=examples.limit)
        hypothesis.settings.load_profile("fast")
        # Python tells it of each process, whether a test, a fixture or the library starts it.
        sys.addaudithook(_skip_if_slow)


def _skip_if_slow(event: str, details: tuple[Any, ...]) -> None:
    if event != "subprocess.Popen" or "PYTEST_CURRENT_TEST" not in os.environ:
        return
    command = details[1]
    program = Path(os.fsdecode(command if isinstance(command, str | bytes | os.PathLike) else command[0])).name
    if program not in _QUICK:
        pytest.skip(f"starts {program}, which `make test-fast` leaves out")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """With `-n`, a file's tests stay in one process, because they share a home."""
    return _ByHome(config, log)


class _ByHome(LoadFileScheduling):
    """The files of tests/browser share the same servers, and depend on each other's order."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "tests/browser" if file.startswith("tests/browser/") else file


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The folder of this test file, with PostgreSQL running in it; `PERENNIAL_HOME` points there."""
    with machines.home() as folder:
        yield folder


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


@pytest.fixture
def checkout(home: Path, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout of one test's own, whose files it may edit."""
    from changes_cases import checkout_in

    with checkout_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def energy() -> UseCase:
    """The second use case as it is declared. A file's own `energy` says what has happened to it before the tests."""
    from perennial import discovery

    return discovery.load("energy")


@pytest.fixture(scope="module")
def mlflow_server(home: Path) -> Iterator[str]:
    """A real MLflow tracking server on a free port of loopback; `PERENNIAL_MLFLOW_URI` names it."""
    with machines.mlflow_server(home) as address:
        yield address


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of moto, which speaks S3, with the bucket `bucket`; the environment holds a login for it."""
    import boto3

    port = machines.free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not machines.answers(f"{address}/moto-api/"):
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
    server.kill()  # Asked to end, it first waits for whoever is still connected.
    server.wait(timeout=30)
