"""`--dry-run` says what would be done, and does nothing. Those of decisions are beside what they decide about."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typed import NOWHERE, run

from perennial.embedded import processes
from perennial.settings import settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing was ever done."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    settings.cache_clear()
    yield folder
    for record in (folder / "run").glob("*.json"):
        processes.stop([record.stem], 0)
    monkeypatch.undo()
    settings.cache_clear()


def test_up_says_what_it_would_start(empty: Path) -> None:
    done = run("up", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"would_start": ["Airflow", "MLflow", "PostgreSQL", "Serving"]}
    assert done.stderr.count("would be started") == 4
    assert not empty.exists()


def test_up_says_that_a_port_is_taken(empty: Path) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("up", "--dry-run", PERENNIAL_MLFLOW_PORT=str(port))
    assert done.returncode == 1
    assert "PERENNIAL_MLFLOW_PORT" in done.stderr
    assert not empty.exists()


def test_down_says_what_it_would_stop(empty: Path) -> None:
    # By a process that has ended since: nobody waits for what it started, as after `perennial up`.
    start = f"import os; from perennial.embedded import processes; processes.start('mlflow', {SLEEP!r}, os.environ)"
    subprocess.run([sys.executable, "-c", start], check=True, timeout=60)
    record = processes.Record.read("mlflow")
    assert record is not None
    done = run("down", "--dry-run")
    assert done.stdout == "mlflow: would be stopped\n"
    assert record.process() is not None
    assert json.loads(run("down", "--json").stdout) == {"stopped": ["mlflow"]}
    assert run("down", "--dry-run").stdout == "Nothing is running.\n"


def test_trigger_says_what_it_would_start(empty: Path) -> None:
    done = run("trigger", "flights", "training", "--param", "max_iter=20", "--dry-run", "--json", **NOWHERE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "would_start": "flights.training",
        "partition": None,
        "params": {"max_iter": 20},
        "airflow": "no answer",
    }
    assert "with max_iter=20" in done.stderr
    assert not empty.exists()


def test_replay_says_what_it_would_go_through(empty: Path) -> None:
    done = run("replay", "flights", "--from", "2013-01", "--to", "2013-03", "--dry-run", "--json", **NOWHERE)
    assert done.returncode == 0, done.stderr
    assert [(one["partition"], one["todo"]) for one in json.loads(done.stdout)] == [
        ("2013-01", "unknown"),
        ("2013-02", "unknown"),
        ("2013-03", "unknown"),
    ]
    assert "Now it would fail" in done.stderr
    assert not empty.exists()


def test_what_would_fail_fails_in_a_dry_run_too(empty: Path) -> None:
    done = run("trigger", "flights", "scoring", "--partition", "2012-12", "--dry-run")
    assert done.returncode == 2
    assert "no partition '2012-12'" in done.stderr
