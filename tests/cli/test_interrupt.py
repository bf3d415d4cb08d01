"""Ctrl-C: exit code 130, one line that says what goes on, no traceback."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from typed import COMMAND, NOWHERE, Terminal


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
    assert "Interrupted. What Airflow runs now goes on; the same command picks up where it was." in shell.shown
    assert "Traceback" not in shell.shown


def test_a_question_can_be_left_unanswered(tmp_path: Path, home: Path) -> None:
    shell = Terminal.start("quarantine", "discard", "flights", "--partition", "2013-01", PERENNIAL_HOME=str(home))
    shell.wait_for("Why discard it?")
    shell.type("\x03")
    assert shell.end() == 130
    assert "Interrupted. Nothing goes on; the same command may be run again." in shell.shown
    assert "Traceback" not in shell.shown


def test_the_doctor_can_be_sent_away(tmp_path: Path) -> None:
    shell = Terminal.start("doctor", PERENNIAL_HOME=str(tmp_path))
    shell.wait_for("side by side")
    shell.type("\x03")
    assert shell.end() == 130
    assert "Interrupted. Nothing was changed, and nothing goes on." in shell.shown
    assert "Traceback" not in shell.shown


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
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT), said  # By the signal: before Python had begun.
    assert "perennial" not in said.partition("Traceback")[2], said


def _nowhere(home: Path) -> dict[str, str]:
    import os

    return os.environ | NOWHERE | {"PERENNIAL_HOME": str(home)}
