"""The command line as somebody types it: in a pipe, on a terminal, with Tab and Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "perennial.cli"]
#: What the tests' own paths hold beside the project: the use case `energy`.
PATHS = {"PYTHONPATH": str(Path(__file__).parents[1] / "second_use_case")}
#: Nothing answers there.
NOWHERE = {"PERENNIAL_AIRFLOW_URI": "http://127.0.0.1:9", "PERENNIAL_MLFLOW_URI": "http://127.0.0.1:9"}
#: What a command that answers at once does not import: each takes from a quarter of a second to several.
SLOW = {"airflow", "evidently", "feast", "great_expectations", "ibis", "mlflow", "numpy", "pandas", "pyarrow"}
SLOW |= {"pyiceberg", "rich", "sklearn", "sqlalchemy"}
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a pipe."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=os.environ | PATHS | environment, timeout=120
    )


def imported(profile: str) -> set[str]:
    """The modules that a command imported, of what `PYTHONPROFILEIMPORTTIME` made it write."""
    return {line.rpartition("|")[2].strip() for line in profile.splitlines() if line.startswith("import time:")}


def complete(shell: str, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the shell is told when Tab is pressed at the end of `line`."""
    words = line.split(" ")
    request = {
        "_PERENNIAL_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    return subprocess.run(
        [str(Path(sys.executable).parent / "perennial")],
        capture_output=True,
        text=True,
        env=os.environ | PATHS | request | environment,
        timeout=120,
    )


@dataclass
class Terminal:
    """A command on a terminal of 100 columns."""

    process: subprocess.Popen[bytes]
    handle: int
    shown: str = ""

    @classmethod
    def start(cls, *arguments: str, **environment: str) -> Terminal:
        ours, theirs = pty.openpty()
        plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CI")}
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=plain | PATHS | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"} | environment,
            preexec_fn=_own_terminal,
        )
        os.close(theirs)
        return cls(process, ours)

    def type(self, keys: str) -> None:
        os.write(self.handle, keys.encode())

    def wait_for(self, text: str, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} did not appear in {self.shown!r}"
            if not self._read():
                assert text in self.shown, f"{text!r} is not in {self.shown!r}"

    def end(self, timeout: float = 60) -> int:
        """Wait for the end of the command and return its exit code."""
        deadline = time.monotonic() + timeout
        while self._read():
            assert time.monotonic() < deadline, f"it did not end: {self.shown!r}"
        os.close(self.handle)
        return self.process.wait(10)

    def _read(self) -> bool:
        """Read what is there; False once nobody writes any more."""
        if select.select([self.handle], [], [], 0.1)[0]:
            try:
                self.shown += os.read(self.handle, 65536).decode(errors="replace")
            except OSError:
                return False
        return True


def _own_terminal() -> None:
    """Ctrl-C reaches the session that the terminal belongs to."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
