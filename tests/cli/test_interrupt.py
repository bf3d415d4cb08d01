"""Ctrl-C: exit code 130, one line that says what goes on, no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typed import COMMAND, NOWHERE, Terminal, run

from perennial.embedded import processes
from perennial.settings import settings


def test_a_replay_that_waits_for_airflow_ends_at_once(tmp_path: Path) -> None:
    shell = Terminal.start(
        *("replay", "flights", "--from", "2013-01", "--to", "2013-02"), PERENNIAL_HOME=str(tmp_path), **NOWHERE
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "login.json").exists():  # Written right before the first request.
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shell.type("\x03")
    assert shell.end() == 130
    assert "Interrupted. What Airflow is running continues; the same command resumes where it was." in shell.shown
    assert "Traceback" not in shell.shown


def test_a_question_can_be_left_unanswered(tmp_path: Path, home: Path) -> None:
    shell = Terminal.start("quarantine", "discard", "flights", "--partition", "2013-01", PERENNIAL_HOME=str(home))
    shell.wait_for("Why discard it?")
    shell.type("\x03")
    assert shell.end() == 130
    assert "Interrupted. Nothing continues in the background; you can run the same command again." in shell.shown
    assert "Traceback" not in shell.shown


def test_the_doctor_can_be_interrupted(tmp_path: Path) -> None:
    shell = Terminal.start("doctor", PERENNIAL_HOME=str(tmp_path))
    shell.wait_for("side by side")
    shell.type("\x03")
    assert shell.end() == 130
    assert "Interrupted. Nothing was changed, and nothing continues." in shell.shown
    assert "Traceback" not in shell.shown


def test_a_background_thread_in_c_code_does_not_abort_exit() -> None:
    left = """
import duckdb
from perennial._common import background_threads
from perennial.cli import frame

def count():
    connection = duckdb.connect()
    while True:
        connection.execute("SELECT 1").fetchall()

@frame.app.command()
def leave():
    for _ in range(8):
        background_threads.start(count)
    raise KeyboardInterrupt

frame.main()
"""
    ended = _python(left, "leave")
    assert (ended.returncode, ended.stderr.strip()) == (
        130,
        "Interrupted. Nothing continues in the background; you can run the same command again.",
    )


def test_ctrl_c_after_the_end_does_not_change_the_exit_code() -> None:
    """While the interpreter tidies up."""
    ended = _python(
        """
import atexit, signal
from perennial.cli import frame

@frame.app.command()
def leave():
    atexit.register(signal.raise_signal, signal.SIGINT)

frame.main()
""",
        "leave",
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_ctrl_c_during_the_imports_is_answered() -> None:
    ended = _python(
        """
import signal, sys

class Interrupted:
    def find_spec(name, path, target=None):
        if name == "perennial.cli.pipelines":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted)
import perennial.cli
""",
    )
    assert (ended.returncode, ended.stderr.strip()) == (130, "Interrupted. Nothing was started.")


def test_an_interrupted_up_says_what_runs_and_up_works_again(tmp_path: Path) -> None:
    where = {"PERENNIAL_HOME": str(tmp_path)} | NOWHERE
    shell = Terminal.start("up", **where)
    shell.wait_for("PostgreSQL: starting")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("postgres*/PG_VERSION")):  # Written early on: in the middle of setting it up.
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shell.type("\x03")
    assert shell.end() == 130
    assert (
        "Interrupted. What was started keeps running: `perennial up` starts the rest, `perennial down` stops"
        in shell.shown
    )
    assert "Traceback" not in shell.shown
    done = run("up", **where)
    assert done.returncode == 0, done.stderr
    assert run("down", **where).stdout.split() == ["postgresql:", "stopped"]
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(each.info["cmdline"] or [])
    ]


def test_an_interrupted_down_says_so_and_down_stops_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    settings.cache_clear()
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    record = processes.start("mlflow", [sys.executable, "-c", deaf], os.environ)
    assert processes.wait_until(lambda: "deaf" in processes.log_tail("mlflow"), 30)
    shell = Terminal.start("down", PERENNIAL_HOME=str(tmp_path), **NOWHERE)
    assert processes.wait_until(lambda: (tmp_path / "run/lock").exists(), 30)
    time.sleep(1)
    shell.type("\x03")
    assert shell.end() == 130
    assert "Interrupted. Some services are still running: `perennial down` stops the rest." in shell.shown
    assert record.process() is not None
    assert json.loads(run("down", "--json", PERENNIAL_HOME=str(tmp_path), **NOWHERE).stdout) == {"stopped": ["mlflow"]}
    assert record.process() is None
    settings.cache_clear()


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C as a shell's user has it: pytest may have been started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_what_was_started_is_written_down_before_ctrl_c_is_heard() -> None:
    done = []

    def start() -> None:
        with processes.delay_interrupt():
            signal.raise_signal(signal.SIGINT)
            done.append("written down")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert done


@pytest.mark.parametrize("delay", [0.1, 0.2, 0.3, 0.5, 0.8])
def test_at_no_moment_of_its_start_a_traceback_is_shown(tmp_path: Path, delay: float) -> None:
    process = subprocess.Popen(
        [*COMMAND, "replay", "flights", "--from", "2013-01", "--to", "2013-02"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_nowhere(tmp_path),
        # As a shell starts it: pytest may have been started with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=60)
    # Python's own start ends by the signal, or with 1 and a traceback of its own, until the package's first lines have
    # been imported: nothing of ours can hear the signal before.
    of_ours = output.partition("Traceback")[2].replace("include/perennial/__init__.py", "")
    assert "include/perennial" not in of_ours, output
    is_of_python = process.returncode == 1 and "KeyboardInterrupt" in output
    assert process.returncode in (130, -signal.SIGINT) or is_of_python, output


def _python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        # As a shell starts it: pytest may have been started with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _nowhere(home: Path) -> dict[str, str]:
    return os.environ | NOWHERE | {"PERENNIAL_HOME": str(home)}
