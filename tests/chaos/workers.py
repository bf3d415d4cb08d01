"""The process that forks a child for each attempt at a step, as seen by those who ask it to."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from homes import ROOT, Home

_HERE = Path(__file__).parent
_SETTLED = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": "1",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONHASHSEED": "0",
}


class Worker:
    """A process that has imported everything, from a copy of the code: whoever edits the checkout changes nothing."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="perennial-chaos-"))
        paths = [self._folder / "use_cases", self._folder / "include", self._folder / "chaos"]
        for source, copy in zip((ROOT / "tests/second_use_case", ROOT / "include", _HERE), paths, strict=True):
            shutil.copytree(source, copy)
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._lanes: list[Lane] = []
        self._log = (self._folder / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, str(paths[2] / "worker.py"), self._address],
            stdin=subprocess.PIPE,  # Its end is the sign to end.
            stdout=self._log,
            stderr=self._log,
            env=inherited | _SETTLED | {"PYTHONPATH": os.pathsep.join(map(str, paths))} | (env or {}),
        )

    @property
    def _address(self) -> str:
        return str(self._folder / "socket")

    def lane(self) -> Lane:
        """One that runs attempts one after the other, beside other lanes; waits for the worker's start."""
        deadline = time.monotonic() + 600  # Fifteen seconds on a quiet machine.
        while True:
            try:
                self._lanes.append(Lane(self._address, self.log))
                return self._lanes[-1]
            except (FileNotFoundError, ConnectionRefusedError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"The worker did not start: {self.log()}") from None
                time.sleep(0.1)

    def log(self) -> str:
        """The last that it printed."""
        return (self._folder / "log").read_text()[-3000:]

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Lane:
    """A connection to a worker."""

    def __init__(self, address: str, log: Any) -> None:
        self._log = log
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rw")

    def attempt(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one step once, in a child (see `worker`)."""
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()
        reply = self._lines.readline()
        if not reply:
            raise RuntimeError(f"The worker died in {request['step']}: {self._log()}")
        return json.loads(reply)

    def close(self) -> None:
        """Whoever waits for an answer, in another thread, gets none."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._lines.close()
        self._socket.close()


@contextmanager
def stage(*homes: Home) -> Iterator[Worker]:
    """A worker, and these homes with their servers on the way up; all gone afterwards, whatever happens."""
    with ExitStack() as stack:
        worker = Worker()
        stack.callback(worker.close)
        for home in homes:
            stack.callback(home.stop)
            home.start()
        yield worker
