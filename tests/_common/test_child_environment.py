"""What child processes see of the environment, and what they must not see."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perennial._common.child_environment import GIT, PACKAGES, STORES, child_environment
from perennial.gate import smoke
from perennial.registry import provenance
from perennial.reproduce import checkout
from perennial.settings import settings

#: Secrets that an Airflow worker has.
AIRFLOWS = {
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW_CONN_WAREHOUSE",
    "_AIRFLOW__INTERNAL_TOKEN",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_BACKEND_STORE_URI",
    "SOME_API_TOKEN",
}
#: Secrets that open the stores.
STORES_SECRETS = {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "PERENNIAL_PASSWORD"}
SECRETS = AIRFLOWS | STORES_SECRETS


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, f"secret of {name}")


def environment_of(process: int) -> set[str]:
    """The names of the variables that a process was started with, once its program has been started."""
    deadline = time.monotonic() + 20
    while not (content := Path(f"/proc/{process}/environ").read_bytes()):
        assert time.monotonic() < deadline, "it has no environment"
    entries = content.split(b"\0")
    return {entry.partition(b"=")[0].decode() for entry in entries if entry}


@pytest.fixture
def dumping(tmp_path: Path) -> Path:
    """A program that writes down which variables it sees, whatever its arguments are."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nenv > "{tmp_path}/seen"\necho "{{}}"\n')
    program.chmod(0o755)
    return program


def seen(program: Path) -> set[str]:
    return {line.partition("=")[0] for line in program.with_name("seen").read_text().splitlines()}


def test_programs_and_libraries_are_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    given = child_environment()
    assert given["PATH"] == os.environ["PATH"]
    assert (given["LC_ALL"], given["PYTHONPATH"]) == ("C.UTF-8", "/somewhere")


@pytest.mark.parametrize("needed", [(), GIT, PACKAGES])
def test_no_secret_is_passed_on(secrets: None, needed: tuple[str, ...]) -> None:
    assert not SECRETS & child_environment(*needed).keys()


def test_who_reads_the_stores_gets_their_logins_only(secrets: None) -> None:
    assert SECRETS & child_environment(*STORES).keys() == STORES_SECRETS


def test_the_smoke_tests_process_gets_no_secret(secrets: None) -> None:
    with smoke.started() as test:
        names = environment_of(test._libraries.process.pid)
    assert "PATH" in names
    assert not SECRETS & names


def test_git_gets_no_secret(secrets: None, dumping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumping.rename(dumping.with_name("git"))
    monkeypatch.setenv("PATH", f"{dumping.parent}:{os.environ['PATH']}")
    provenance.git("rev-parse", "HEAD", environment={"GIT_INDEX_FILE": "index"})
    assert {"PATH", "GIT_INDEX_FILE"} <= seen(dumping)
    assert not SECRETS & seen(dumping)


def test_making_a_checkouts_environment_gets_no_secret(
    secrets: None, dumping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumping.rename(dumping.with_name("make"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "requirements.lock").write_text("# another\n")
    checkout._python(tmp_path, print)
    assert not SECRETS & seen(dumping)


def test_the_checkouts_process_gets_the_stores_logins_only(
    secrets: None, dumping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="failed in the checkout"):
        checkout._run(str(dumping), tmp_path, ["energy", "1"])
    assert SECRETS & seen(dumping) == STORES_SECRETS


def test_a_child_with_that_environment_imports_the_library() -> None:
    command = [sys.executable, "-c", "import perennial, ssl, locale; print(perennial.__file__)"]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("__init__.py")
    assert settings().project
