"""The smoke test: does the stored model load and predict the same in a fresh process?"""

from __future__ import annotations

import json
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
        predictions: (n,) of the rows that training stored with the model; None: it did not pass.
    """

    passed: bool
    note: str
    measured: dict[str, float] = field(default_factory=dict)
    predictions: np.ndarray | None = field(default=None, compare=False)


class SmokeTest:
    """A process that has nothing but the libraries, and then a stored model, beside whatever else this process does."""

    def __init__(self, scratch: Path) -> None:
        """Start it: it imports the libraries.

        Args:
            scratch: An empty folder for the result and the log.
        """
        self._result, self._log = scratch / "result.json", scratch / "log.txt"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", fresh_process.__name__, str(self._result)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env=child_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            )

    def begin(self, folder: str) -> None:
        """Let it load a model and predict.

        Args:
            folder: The stored model, which must be trusted.
        """
        self._folder, self._began = Path(folder), time.monotonic()
        assert self._process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError), self._process.stdin as line:  # It has ended: `result` says how.
            line.write(f"{folder}\n")

    def result(self, predict: Callable[[pd.DataFrame], np.ndarray]) -> SmokeResult:
        """Wait for it, once it has begun, and compare its predictions.

        Args:
            predict: The same model in this process: a frame of features in, (n,) floats out.

        Raises:
            ServiceUnavailable: somebody ended the process from outside; that says nothing about the model.
        """
        size = {"size_bytes": float(sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file()))}
        try:
            code = self._process.wait(timeout=max(TIMEOUT - (time.monotonic() - self._began), 0))
        except subprocess.TimeoutExpired:
            return SmokeResult(False, f"no answer in {TIMEOUT:.0f} s", size)
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            raise ServiceUnavailable(
                f"The smoke test of the model in {self._folder} was ended from outside (signal {-code}).",
                "Most often memory ran out; the task tries again by itself.",
            )
        if code != 0:
            return SmokeResult(False, self._last_line(code), size)
        result = json.loads(self._result.read_text())
        theirs = np.asarray(result.pop("predictions"), dtype=float)
        example: Any = Model.load(str(self._folder)).load_input_example(str(self._folder))
        ours = predict(example)
        # Of two classes, pyfunc gives the probability of each.
        theirs = theirs[:, 1] if theirs.ndim == 2 and theirs.shape[1] == 2 else theirs.reshape(-1)
        if differ := difference(theirs, ours):
            return SmokeResult(False, differ, size | result)
        equal = f"{len(ours)} rows, predicted the same as in this process, in {time.monotonic() - self._began:.1f} s"
        return SmokeResult(True, equal, size | result, ours)

    def end(self) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()

    def _last_line(self, code: int) -> str:
        lines = [line.strip() for line in self._log.read_text().splitlines() if line.strip()]
        return f"ended with code {code}: {lines[-1][:300] if lines else 'without any output'}"


def difference(theirs: np.ndarray, ours: np.ndarray) -> str:
    """How another process predicts otherwise than this one; empty: it predicts the same.

    Args:
        theirs: Its predictions.
        ours: (n,) those of this process.
    """
    if theirs.shape == ours.shape and np.allclose(theirs, ours, rtol=_TOLERANCE, atol=1e-12):
        return ""
    return f"predicts {theirs.tolist()} where this process predicts {ours.tolist()}"


@contextmanager
def started() -> Iterator[SmokeTest]:
    """Start the process of a smoke test, seconds before it has a model to test; it never outlives the block."""
    with tempfile.TemporaryDirectory(prefix="perennial-smoke-") as scratch:
        test = SmokeTest(Path(scratch))
        try:
            yield test
        finally:
            test.end()
