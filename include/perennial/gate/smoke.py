"""The smoke test: does the stored model load and predict in a process that knows nothing of the one it was made in?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import Model

from perennial.errors import ServiceUnavailable

#: Seconds for a fresh interpreter to import MLflow and scikit-learn (six on a quiet machine), to load and to predict.
TIMEOUT = 300.0
#: Relative: other threads may add up a sum in another order.
_SAME = 1e-9


@dataclass(frozen=True)
class Smoked:
    """What came of it.

    Attributes:
        passed: The model loaded, predicted, and said the same as in the process that asks.
        note: What went wrong, or how long it took.
        measured: `size_bytes` always; `latency_seconds` of one row and `rows_per_second` if it predicted.
    """

    passed: bool
    note: str
    measured: dict[str, float] = field(default_factory=dict)


class SmokeTest:
    """A smoke test under way beside whatever else the process does."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder, self._said, self._log = folder, scratch / "said.json", scratch / "log.txt"
        self._began = time.monotonic()
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "perennial.gate.fresh_process", str(folder), str(self._said)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            )

    def result(self, predict: Callable[[pd.DataFrame], np.ndarray]) -> Smoked:
        """Wait for it and compare.

        Args:
            predict: The same model in this process: a frame of features in, (n,) floats out.

        Raises:
            ServiceUnavailable: somebody ended the process from outside; that says nothing about the model.
        """
        size = {"size_bytes": float(sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file()))}
        try:
            code = self._process.wait(timeout=max(TIMEOUT - (time.monotonic() - self._began), 0))
        except subprocess.TimeoutExpired:
            return Smoked(False, f"no answer in {TIMEOUT:.0f} s", size)
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            raise ServiceUnavailable(
                f"The smoke test of the model in {self._folder} was ended from outside (signal {-code}).",
                "Most often memory ran out; the task tries again by itself.",
            )
        if code != 0:
            return Smoked(False, self._last_words(code), size)
        said = json.loads(self._said.read_text())
        theirs = np.asarray(said.pop("predictions"), dtype=float)
        example: Any = Model.load(str(self._folder)).load_input_example(str(self._folder))
        ours = predict(example)
        # Of two classes, pyfunc gives the probability of each.
        theirs = theirs[:, 1] if theirs.ndim == 2 and theirs.shape[1] == 2 else theirs.reshape(-1)
        if theirs.shape != ours.shape or not np.allclose(theirs, ours, rtol=_SAME, atol=1e-12):
            return Smoked(False, f"predicts {theirs.tolist()} where this process predicts {ours.tolist()}", size | said)
        return Smoked(
            True, f"{len(ours)} rows, the same as here, in {time.monotonic() - self._began:.1f} s", size | said
        )

    def end(self) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _last_words(self, code: int) -> str:
        lines = [line.strip() for line in self._log.read_text().splitlines() if line.strip()]
        return f"ended with code {code}: {lines[-1][:300] if lines else 'it said nothing'}"


@contextmanager
def started(folder: str) -> Iterator[SmokeTest]:
    """Begin a smoke test of the model in `folder`, which must be trusted; its process never outlives the block."""
    with tempfile.TemporaryDirectory(prefix="perennial-smoke-") as scratch:
        test = SmokeTest(Path(folder), Path(scratch))
        try:
            yield test
        finally:
            test.end()
