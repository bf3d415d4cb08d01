"""The second use case for backtests: labels mature three hours late, and a model is retrained when three days old."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from perennial import DriftPolicy, discovery
from perennial.use_case import ColumnPolicy, UseCase

LAST = "2024-01-12"


def energy() -> UseCase:
    """Energy with refits, without a schedule, and without alarms for drift, which backtests do not replay."""
    declared = discovery.load("energy")
    columns = {"prediction": ColumnPolicy(ignore=True)}
    drift = DriftPolicy(performance_drop=0.5, min_rows=50, ratio=1e6, quarantine_growth=None, columns=columns)
    retraining = declared.retraining.model_copy(update={"schedule": None, "max_age": 3})
    gate = declared.gate.model_copy(update={"refit": True})
    return declared.model_copy(update={"retraining": retraining, "drift": drift, "gate": gate})


@contextmanager
def labels_mature_late() -> Iterator[None]:
    """The label of a reading is known three hours after its hour began: the last ones of a day are not by its end."""
    transforms = discovery.load("energy").module("transforms")
    in_time = transforms.examples

    def late(readings):
        rows = in_time(readings)
        return rows.mutate(label_timestamp=rows.label_timestamp + timedelta(hours=2))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transforms, "examples", late)
        yield


#: Backtests energy with slow fits; its arguments are the number of jobs and the seconds of a fit.
_SCRIPT = """
import json, sys, time
import backtested
from perennial.backtesting import fits, running
from perennial.training import fit

def main():
    jobs, seconds = int(sys.argv[1]), float(sys.argv[2])
    if jobs == 1:
        make = fits.make
        fits.make = lambda *wanted: (time.sleep(seconds), make(*wanted))
    energy = backtested.energy()
    report = running.run(energy, energy.first, energy.partition(backtested.LAST), jobs=jobs)
    print(json.dumps(report.as_json(), default=str))

if __name__ == "__main__":
    main()
"""


def start(folder: Path, *, jobs: int = 1, seconds: float = 0.0) -> subprocess.Popen[str]:
    """A backtest in a process group of its own.

    Args:
        folder: For its script.
        jobs: How many fits at once.
        seconds: By how much each fit of a single job is slowed down.
    """
    script = folder / "backtest_energy.py"
    script.write_text(_SCRIPT)
    command = [sys.executable, str(script), str(jobs), str(seconds)]
    path = os.pathsep.join(each for each in sys.path if each)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "PYTHONPATH": path}
    )


def kill_once(process: subprocess.Popen[str], folder: Path, files: int) -> None:
    """Kill a backtest, as an outage does, once it has made some fits.

    Args:
        process: As `start` gave it.
        folder: Where predictions are kept.
        files: How many fits.
    """
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.parquet"))) < files:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "it made no fits in two minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
