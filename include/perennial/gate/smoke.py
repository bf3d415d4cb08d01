"""The smoke test: does the stored model load and predict the same in a fresh process?"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import Model

from perennial._common.child_environment import child_environment
from perennial.errors import ServiceUnavailable
from perennial.gate import fresh_process
from perennial.lake import prediction_columns
from perennial.settings import settings
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS

#: Seconds for a fresh interpreter to import MLflow and scikit-learn (six on a quiet machine), to load and to predict.
TIMEOUT = 300.0
#: Relative: other threads may add up a sum in another order.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class SmokeResult:
    """The result of a smoke test.

    Attributes:
        passed: The model loaded, and predicted the same as in the process that asks.
        note: What went wrong, or how long it took.
        measured: `size_bytes` always; `latency_seconds` of one row and `rows_per_second` if it predicted.
        predictions: (n,) or (n, K) of the rows that training stored with the model; None: it did not pass.
    """

    passed: bool
    note: str
    measured: dict[str, float] = field(default_factory=dict)
    predictions: np.ndarray | None = field(default=None, compare=False)


class _Libraries:
    """A process with nothing but the libraries in it, which forks one for each model that is tested."""

    def __init__(self) -> None:
        self.started_as = _environment()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", fresh_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=self.started_as[0],
        )

    def ask(self, **test: str) -> None:
        """Begin a test; `fresh_process` says of what."""
        assert self.process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # It has ended: `answer` says how.
            self.process.stdin.write(f"{json.dumps(test)}\n")
            self.process.stdin.flush()

    def answer(self, seconds: float) -> int | None:
        """The exit code of the test, or else of this process; None: neither in that time."""
        assert self.process.stdout is not None  # noqa: S101
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        line = self.process.stdout.readline()
        return int(line) if line else self.process.wait()

    def printed(self) -> str:
        """What it printed itself, before any test."""
        self._errors.seek(0)
        return self._errors.read()

    def end(self) -> None:
        """End it, and the test that it may run."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]


#: Processes without a test: this process's next one needs no seconds of imports.
_idle: list[_Libraries] = []
os.register_at_fork(after_in_child=_idle.clear)


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


def _environment() -> tuple[dict[str, str], str]:
    """What a process is started with: its variables and its folder."""
    # An estimator may be of a class in a use case's `model.py`, by which it is stored.
    path = [str(settings().project / "include"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": os.pathsep.join(path)}
    return child_environment() | variables, str(Path.cwd())


def _libraries() -> _Libraries:
    """An idle process that was started as one would be now, or a new one."""
    while _idle:
        libraries = _idle.pop()
        if libraries.process.poll() is None and libraries.started_as == _environment():
            return libraries
        libraries.end()
    return _Libraries()


class SmokeTest:
    """A stored model in a process that has nothing but the libraries, beside whatever else this process does."""

    def __init__(self, scratch: Path) -> None:
        """Start the process: it imports the libraries.

        Args:
            scratch: An empty folder for the result and the log.
        """
        self._result, self._log = scratch / "result.json", scratch / "log.txt"
        self._libraries: _Libraries = _libraries()
        self._is_running = False

    def begin(self, folder: str) -> None:
        """Let it load a model and predict.

        Args:
            folder: The stored model, which must be trusted.
        """
        self._folder, self._began, self._is_running = Path(folder), time.monotonic(), True
        self._libraries.ask(folder=folder, result=str(self._result), log=str(self._log))

    def result(self, use_case: UseCase, predict: Callable[[pd.DataFrame], np.ndarray]) -> SmokeResult:
        """Wait for it, once it has begun, and compare its predictions.

        Args:
            use_case: Whose model.
            predict: The same model in this process: a frame of features in, predictions out.

        Raises:
            ServiceUnavailable: somebody ended the process from outside; that says nothing about the model.
        """
        size = {"size_bytes": float(sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file()))}
        code = self._libraries.answer(max(TIMEOUT - (time.monotonic() - self._began), 0))
        if code is None:
            return SmokeResult(False, f"no answer in {TIMEOUT:.0f} s", size)
        self._is_running = False
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            raise ServiceUnavailable(
                f"The smoke test of the model in {self._folder} was ended from outside (signal {-code}).",
                "Most often memory ran out; the task tries again by itself.",
            )
        if code != 0:
            return SmokeResult(False, self._last_line(code), size)
        result = json.loads(self._result.read_text())
        theirs, classes = np.asarray(result.pop("predictions"), dtype=float), result.pop("classes", [])
        example: Any = Model.load(str(self._folder)).load_input_example(str(self._folder))
        ours = predict(example)
        if use_case.task == MULTICLASS:
            theirs = prediction_columns.aligned(use_case, classes, theirs)
        else:  # Of two classes, pyfunc gives the probability of each.
            theirs = theirs[:, 1] if theirs.ndim == 2 and theirs.shape[1] == 2 else theirs.reshape(-1)
        if differ := difference(theirs, ours):
            return SmokeResult(False, differ, size | result)
        equal = f"{len(ours)} rows, predicted the same as in this process, in {time.monotonic() - self._began:.1f} s"
        return SmokeResult(True, equal, size | result, ours)

    def end(self) -> None:
        """Let the process wait for the next test of this one, or end it with what it still runs."""
        if self._is_running or self._libraries.process.poll() is not None:
            self._libraries.end()
        else:
            _idle.append(self._libraries)

    def _last_line(self, code: int) -> str:
        printed = self._log.read_text() if self._log.exists() else self._libraries.printed()
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        return f"ended with code {code}: {lines[-1][:300] if lines else 'without any output'}"


def difference(theirs: np.ndarray, ours: np.ndarray) -> str:
    """How another process predicts otherwise than this one; empty: it predicts the same.

    Args:
        theirs: Its predictions.
        ours: (n,) or (n, K) those of this process.
    """
    if theirs.shape == ours.shape and np.allclose(theirs, ours, rtol=_TOLERANCE, atol=1e-12):
        return ""
    return f"predicts {theirs.tolist()} where this process predicts {ours.tolist()}"


@contextmanager
def started() -> Iterator[SmokeTest]:
    """Start the process of a smoke test, seconds before it has a model to test; no test outlives the block."""
    with tempfile.TemporaryDirectory(prefix="perennial-smoke-") as scratch:
        test = SmokeTest(Path(scratch))
        try:
            yield test
        finally:
            test.end()
