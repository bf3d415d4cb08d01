"""Writes a home with records of every kind by the code as it is here, for the tests of later code to open.

    python tests/stored_home/write.py

It leaves beside itself `<commit>.tar.xz`, the home, and `<commit>.json`, what the code that wrote it reads from it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.resolve()
sys.path[:0] = [str(HERE.parent / name) for name in ("support", "second_use_case")]
os.environ |= {"OMP_NUM_THREADS": "1", "GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}

import days  # noqa: E402
import facts  # noqa: E402
import machines  # noqa: E402
import stored  # noqa: E402

from perennial import discovery  # noqa: E402
from perennial.gate import rollback  # noqa: E402
from perennial.gate.rollback_plan import RollbackRequest  # noqa: E402
from perennial.ingestion import compute, ingest, publish  # noqa: E402
from perennial.monitoring import monitor  # noqa: E402
from perennial.quarantine import review  # noqa: E402
from perennial.use_case import UseCase  # noqa: E402


def main() -> None:
    """Run ten days, then store the home and what is read from it."""
    commit = subprocess.run(
        ["git", "-C", str(stored.ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    with machines.home() as home, stored.project(home, commit), machines.mlflow_server(home):
        # MLflow records the program, and where the git repository around it came from.
        os.chdir(home)
        sys.argv[0] = "perennial"
        energy = discovery.load("energy")
        with days.spoiled_source(energy):
            run(energy)
        expected = {"commit": commit, **facts.all_of(energy)}
        stored.store(home, HERE / f"{commit[:7]}.tar.xz")
    (HERE / f"{commit[:7]}.json").write_text(f"{json.dumps(expected, sort_keys=True)}\n")


def run(energy: UseCase) -> None:
    """Three days without a model, two like them, three of more consumption, one after retraining, one refused."""
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        run_day(energy, day)
    review_quarantine(energy, days.SPOILED_DAY)
    days.refuse_batch(energy, "2024-01-04")
    for day in ("2024-01-04", "2024-01-05"):
        run_day(energy, day)
    days.retrain(energy, None, "energy.training/manual__1", window_end="2024-01-05", alpha=100.0)
    for day in ("2024-01-06", "2024-01-07", "2024-01-08"):
        run_day(energy, day)
    roll_back_and_return(energy)
    run_day(energy, "2024-01-09")
    days.refuse_batch(energy, "2024-01-10")


def run_day(energy: UseCase, day: str) -> None:
    """All pipelines on one partition, and the retraining that the monitor asks for."""
    verdict = days.run_day(energy, day)
    if monitor.request_retraining(energy, energy.partition(day), verdict, made_by=f"energy.monitoring/{day}"):
        days.retrain(energy, day, f"energy.training/{day}")


def review_quarantine(energy: UseCase, day: str) -> None:
    """Of three refused rows one is released, one discarded, one left; the days' features are computed again."""
    partition = energy.partition(day)
    released, discarded, _ = days.SPOILED
    named = days.quarantined_rows(energy, day)
    accept = [days.TOO_HIGH]
    review.release(energy, partition, actor="ada", reason="a factory started", named=[named[released]], accept=accept)
    review.discard(energy, partition, actor="grace", reason="the meter was exchanged", named=[named[discarded]])
    ingest.ingest_partition(energy, partition)
    for corrected in (partition, partition.next):
        compute.compute_features(energy, corrected)
        publish.publish_features(energy, corrected)


def roll_back_and_return(energy: UseCase) -> None:
    """A rollback, the end of its pause, and the return of the version, with a pause that nobody has ended."""
    request = RollbackRequest(reason="wrong at night", pause="7d")
    back = rollback.roll_back(energy, request, made_by="energy.champion/manual__1", actor="ada")
    request = RollbackRequest(action="resume", reason="it was the gateway")
    rollback.resume(energy, request, made_by="energy.champion/manual__2", actor="grace")
    request = RollbackRequest(to=back.previous_version, reason="right at night after all")
    rollback.roll_back(energy, request, made_by="energy.champion/manual__3", actor="ada")


if __name__ == "__main__":
    main()
