"""Backtests that are killed, run at the same time, or in parallel; and what they leave alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

import backtested
import psutil
import pytest

from perennial import lake
from perennial.backtesting import fits, history, policies, running
from perennial.backtesting.report import BacktestReport
from perennial.errors import InvalidParams, TrainingFailed
from perennial.use_case import UseCase

ALL_RECORDS = ("ledger", "requests", "model_files", "metrics", "verdicts", "predictions")


def backtest(energy: UseCase, **options) -> BacktestReport:
    return running.run(energy, energy.first, energy.partition(backtested.LAST), **options)


def content(report: BacktestReport) -> dict:
    """What does not depend on who made which fit, and how fast."""
    whole = json.loads(json.dumps(report.as_json()))
    return comparable(whole)


def comparable(whole: dict) -> dict:
    for policy in whole["policies"]:
        policy.pop("fit_seconds")
    return {name: value for name, value in whole.items() if not name.startswith("fits_")}


@pytest.fixture
def folder(energy: UseCase) -> Path:
    """Where predictions are kept, empty."""
    shutil.rmtree(fits.folder_of(energy), ignore_errors=True)
    return fits.folder_of(energy)


@pytest.fixture(scope="module")
def undisturbed(energy: UseCase) -> BacktestReport:
    return backtest(energy)


def test_a_second_run_makes_no_fit(energy: UseCase, undisturbed: BacktestReport) -> None:
    again = backtest(energy)
    assert again.fits_made == 0
    assert again.as_json() == undisturbed.as_json() | {"fits_made": 0, "fits_reused": undisturbed.fits_made}


def test_killed_it_goes_on_where_it_was(energy, undisturbed, folder, tmp_path) -> None:
    process = backtested.start(tmp_path, seconds=0.2)
    backtested.kill_once(process, folder, files=3)
    there = len(list(folder.glob("*.parquet")))
    assert there < undisturbed.fits_made
    # By a process of its own, too: this one may have the use case's files from elsewhere.
    output, _ = backtested.start(tmp_path).communicate(timeout=300)
    resumed = json.loads(output.splitlines()[-1])
    assert (resumed["fits_made"], resumed["fits_reused"]) == (undisturbed.fits_made - there, there)
    assert comparable(resumed) == content(undisturbed)


def test_two_jobs_give_what_one_gives(energy, undisturbed, folder) -> None:
    parallel = backtest(energy, jobs=2)
    assert parallel.fits_made == undisturbed.fits_made
    assert content(parallel) == content(undisturbed)


def test_two_backtests_at_once_give_what_one_gives(energy, undisturbed, folder, tmp_path) -> None:
    processes = [backtested.start(tmp_path, seconds=0.05) for _ in range(2)]
    for process in processes:
        out, _ = process.communicate(timeout=200)
        assert process.returncode == 0
        assert comparable(json.loads(out)) == content(undisturbed)
    assert len(list(folder.glob("*.parquet"))) == undisturbed.fits_made


def test_killed_it_leaves_no_worker_behind(energy, undisturbed, folder, tmp_path) -> None:
    process = backtested.start(tmp_path, jobs=2)
    backtested.kill_once(process, folder, files=2)
    deadline = time.monotonic() + 30
    while left := [each for each in psutil.process_iter() if _group(each) == process.pid]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert content(backtest(energy)) == content(undisturbed)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def test_a_damaged_file_is_made_again(energy, undisturbed, folder) -> None:
    backtest(energy)
    file = next(each for each in folder.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    repaired = backtest(energy)
    assert repaired.fits_made == 1
    assert content(repaired) == content(undisturbed)


def test_nothing_that_serves_is_touched(energy, undisturbed) -> None:
    # No MLflow runs here: whatever asked it would have failed.
    assert {name: lake.table(energy.tables[name]) for name in ALL_RECORDS} == dict.fromkeys(ALL_RECORDS)


def test_predictions_are_closed_to_others(energy, folder) -> None:
    before = os.umask(0o077)  # As the command line sets it for this home.
    try:
        backtest(energy, compared=[])
    finally:
        os.umask(before)
    for each in (folder, *folder.iterdir()):
        assert each.stat().st_mode & 0o077 == 0


def test_files_that_nobody_used_for_long_are_deleted(energy, undisturbed, folder) -> None:
    backtest(energy, compared=[])
    old, *others = folder.glob("*.parquet")
    then = time.time() - fits.KEPT_SECONDS - 1
    os.utime(old, (then, then))
    assert fits.delete_unused(energy, time.time()) == 1
    assert sorted(folder.glob("*.parquet")) == sorted(others)


def test_another_recipe_is_fitted_anew(energy, undisturbed) -> None:
    rows = history.retrieve(energy, energy.first, energy.partition("2024-01-03"))

    class Stronger(energy.params):
        alpha: float = 5.0

    changed = dataclasses.replace(rows, use_case=energy.model_copy(update={"params": Stronger}))
    assert fits.recipe(changed) != fits.recipe(rows)
    assert fits.recipe(dataclasses.replace(rows, inputs=rows.inputs[1:])) != fits.recipe(rows)


def test_a_fit_that_fails_ends_the_backtest(energy, folder, monkeypatch) -> None:
    def build(params):
        raise ValueError("no such solver")

    monkeypatch.setattr(energy.module("model"), "build", build)
    with pytest.raises(TrainingFailed, match="no such solver"):
        backtest(energy)


def test_a_range_without_later_partition_is_refused(energy) -> None:
    with pytest.raises(InvalidParams, match="no later partition"):
        running.run(energy, energy.first, energy.first)


def test_only_named_policies_are_compared(energy, undisturbed) -> None:
    report = backtest(energy, compared=[policies.parse(energy, "max_age=2")])
    assert [each.name for each in report.policies] == ["declared", "never", "always", "baseline", "max_age=2"]
    assert report.compared == 4
    assert report.policy("max_age=2").mean == undisturbed.policy("max_age=2").mean
