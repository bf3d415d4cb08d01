"""Progress of long work: a live line with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from typed import Terminal

from perennial.cli.waiting import _span

#: Long work in two steps.
WORK = """
import time
from perennial.cli.waiting import watched
with watched("flights v1", expected={expected}) as step:
    step("building", 0, 2)
    time.sleep(1.2)
    step("fitting", 1, 2)
    time.sleep(1.2)
print("result")
"""


@pytest.mark.parametrize("expected", [None, 60.0])
def test_in_a_pipe_each_step_is_a_line_beside_the_result(expected: float | None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(expected=expected)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "result\n"
    lines = done.stderr.splitlines()
    assert lines[-2].endswith("s  flights v1 [0/2]: building")
    assert lines[-1].endswith("s  flights v1 [1/2]: fitting")
    assert lines[:-2] == (["flights v1: usually takes 60 s"] if expected else [])
    assert "\x1b" not in done.stderr


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    def start(expected: float | None) -> Terminal:
        monkeypatch.setattr("typed.COMMAND", [sys.executable, "-c", WORK.format(expected=expected)])
        return Terminal.start()

    return start


def test_a_terminal_shows_an_estimate_from_earlier_runs(on_a_terminal) -> None:
    shell = on_a_terminal(60.0)
    assert shell.end() == 0
    assert "flights v1 0/2: building" in shell.shown
    assert any(f"about {left} s left" in shell.shown for left in (57, 58, 59))


def test_a_terminal_shows_an_estimate_from_finished_steps(on_a_terminal) -> None:
    shell = on_a_terminal(None)
    assert shell.end() == 0
    assert "flights v1 1/2: fitting" in shell.shown
    assert any(f"about {left} s left" in shell.shown for left in (1, 2, 3))


def test_what_takes_longer_than_usual_says_so(on_a_terminal) -> None:
    shell = on_a_terminal(0.5)
    assert shell.end() == 0
    assert "longer than usual" in shell.shown


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3000, "50 min"), (7200, "2.0 h")]
)
def test_durations_are_shown_roughly(seconds: float, told: str) -> None:
    assert _span(seconds) == told


def test_nothing_is_left_of_the_live_line(on_a_terminal) -> None:
    began = time.monotonic()
    shell = on_a_terminal(60.0)
    assert shell.end() == 0
    assert shell.shown.rstrip().endswith("result")
    assert time.monotonic() - began < 60
