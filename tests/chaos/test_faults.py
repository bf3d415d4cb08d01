"""Everything around a task fails while it runs: each time a clear error, then a retry that succeeds; nothing is lost.

One scenario goes through all faults, one after the other, and is compared with the undisturbed one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from homes import Home
from plan import Task
from scenario_run import ScenarioRun, differences
from scenarios import to_the_first_model
from undisturbed import UndisturbedRun

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
LAST = "2024-01-03"
Answer = dict[str, Any]
#: Does harm while the body runs; yields what the attempt itself is asked to do beside.
Harm = Callable[[Home], AbstractContextManager[dict[str, Any]]]


def mlflow_dies(*kill_point: object) -> Harm:
    """In the middle of the task, at the kill point; and stays away."""

    @contextmanager
    def harm(home: Home) -> Iterator[dict[str, Any]]:
        yield {"kill_point": kill_point, "ends": [home.mlflow_pid, signal.SIGKILL]}
        home.kill_mlflow()

    return harm


@contextmanager
def mlflow_is_away(home: Home) -> Iterator[dict[str, Any]]:
    """From before the task until it has ended; then it comes back."""
    yield {}
    home.start_mlflow()
    home.wait()


def postgres_ends(how: signal.Signals, *kill_point: object) -> Harm:
    """In the middle of the task: SIGINT as an administrator stops it, SIGQUIT as if it had crashed."""

    @contextmanager
    def harm(home: Home) -> Iterator[dict[str, Any]]:
        yield {"kill_point": kill_point, "ends": [home.postgres_pid, how]}
        home.start_postgres()

    return harm


@contextmanager
def postgres_is_away(home: Home) -> Iterator[dict[str, Any]]:
    """It crashed before the task began."""
    os.kill(home.postgres_pid, signal.SIGQUIT)
    home.wait_for_postgres_to_end()
    yield {}
    home.start_postgres()


@contextmanager
def online_store_is_held(home: Home) -> Iterator[dict[str, Any]]:
    """By a writer that does not let go for longer than the store's patience."""
    connection = sqlite3.connect(home.disk / "online.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    yield {}
    connection.rollback()
    connection.close()


@contextmanager
def disk_is_full(home: Home) -> Iterator[dict[str, Any]]:
    """A file system without room; where one cannot be mounted, a limit on the size of a file."""
    if not home.is_small:
        yield {"largest_file": 1024}
        return
    ballast = home.disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    yield {}
    ballast.unlink()


def damaged(pattern: str) -> Harm:
    """The newest file of that pattern, on the disk, loses its second half, and is brought back from a backup."""

    @contextmanager
    def harm(home: Home) -> Iterator[dict[str, Any]]:
        path = max(home.disk.glob(pattern), key=lambda each: each.stat().st_mtime_ns)
        backup = home.folder / "backup"
        shutil.copy2(path, backup)
        cut_short(path)
        yield {}
        shutil.copy2(backup, path)

    return harm


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@dataclass(frozen=True)
class Fault:
    """Harm done while one task runs.

    Attributes:
        expected: The error that the task must end in.
    """

    name: str
    task: Task
    harm: Harm
    expected: str


def _fault(name: str, task: str, harm: Harm, expected: str) -> Fault:
    partition, pipeline, step = task.split("/")
    return Fault(name, Task(pipeline, step, partition), harm, expected)


SERVICE, FULL, DAMAGED = "ServiceUnavailable", "StorageFull", "DamagedFile"
FAULTS = [
    _fault("disk full, lake", "2024-01-01/features/ingest", disk_is_full, FULL),
    _fault("disk full, features", "2024-01-01/features/compute", disk_is_full, FULL),
    _fault("online store held", "2024-01-01/features/publish", online_store_is_held, SERVICE),
    _fault(
        "PostgreSQL stops before a commit",
        "2024-01-02/features/ingest",
        postgres_ends(signal.SIGINT, "lake metadata file", "after", 1),
        SERVICE,
    ),
    _fault(
        "data file cut short", "2024-01-02/features/compute", damaged("lake/energy/readings/data/**/*.parquet"), DAMAGED
    ),
    _fault("disk full, online store", "2024-01-02/features/publish", disk_is_full, FULL),
    _fault(
        "PostgreSQL crashes after a statement",
        "2024-01-03/features/ingest",
        postgres_ends(signal.SIGQUIT, "sql UPDATE iceberg_tables", "after", 1),
        SERVICE,
    ),
    _fault(
        "metadata cut short", "2024-01-03/features/compute", damaged("lake/energy/readings/metadata/*.json"), DAMAGED
    ),
    _fault(
        "feature file cut short",
        "2024-01-03/features/publish",
        damaged("lake/energy/meter_history/data/**/*.parquet"),
        DAMAGED,
    ),
    _fault("PostgreSQL is away", "2024-01-03/features/publish", postgres_is_away, SERVICE),
    _fault("disk full, training set", "2024-01-03/training/build_training_set", disk_is_full, FULL),
    _fault(
        "training set cut short", "2024-01-03/training/fit", damaged("training_sets/energy/*.parquet"), "BadFeatures"
    ),
    _fault(
        "MLflow dies within a fit",
        "2024-01-03/training/fit",
        mlflow_dies("POST /api/*.*/mlflow/runs/log-batch", "after", 1),
        SERVICE,
    ),
    _fault("MLflow is away", "2024-01-03/training/fit", mlflow_is_away, SERVICE),
    _fault(
        "PostgreSQL crashes before the ledger",
        "2024-01-03/training/finalize",
        postgres_ends(signal.SIGQUIT, "perennial.registry.ledger.record", "before", 1),
        SERVICE,
    ),
    _fault(
        "MLflow dies between ledger and alias",
        "2024-01-03/training/finalize",
        mlflow_dies("perennial.registry.ledger.record", "after", 1),
        SERVICE,
    ),
    _fault("MLflow is still away", "2024-01-03/training/finalize", mlflow_is_away, SERVICE),
]


@dataclass
class FaultyRun(ScenarioRun):
    """A scenario in which every fault strikes once, each at its task's next attempt."""

    met: dict[str, Answer] = field(default_factory=dict)

    def task(self, task: Task, results: dict[str, Any], ends_in: str = "") -> Any:
        for fault in FAULTS:
            if fault.task == task:
                with fault.harm(self.home) as beside:
                    self.met[fault.name] = self.try_once(task, results, beside)
        return super().task(task, results, ends_in)


@pytest.fixture(scope="module")
def faulty(undisturbed: UndisturbedRun) -> Iterator[FaultyRun]:
    home = Home(small_disk=True)
    try:
        home.start()
        home.wait()
        scenario = FaultyRun(undisturbed.worker.lane(), home)
        to_the_first_model(scenario)
        yield scenario
    finally:
        home.stop()


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_ends_in_an_error_that_teaches(faulty: FaultyRun, fault: Fault) -> None:
    reply = faulty.met[fault.name]
    assert reply["outcome"] == "failed", reply
    assert (reply["error"], reply["teaches"]) == (fault.expected, True), reply["traceback"]


def test_after_all_faults_nothing_is_lost(undisturbed: UndisturbedRun, faulty: FaultyRun) -> None:
    assert not differences(undisturbed.result().early, faulty.contents()["contents"])


def test_a_damaged_partition_is_made_again_by_its_own_task(faulty: FaultyRun) -> None:
    scenario = faulty
    before = scenario.contents()["contents"]
    for table in ("readings", "meter_history", "examples"):
        cut_short(
            max(scenario.home.disk.glob(f"lake/energy/{table}/data/**/*.parquet"), key=lambda p: p.stat().st_mtime_ns)
        )
    scenario.run("features", LAST)
    after = scenario.contents()["contents"]
    assert {name for name in differences(before, after) if "commits" not in name} == set()


def test_a_damaged_training_set_is_written_again(faulty: FaultyRun) -> None:
    scenario = faulty
    [path] = scenario.home.disk.glob("training_sets/energy/*.parquet")
    content = path.read_bytes()
    cut_short(path)
    results = {"conf": {"force": True}}
    results["plan"] = scenario.task(Task("training", "plan", LAST), results)
    scenario.task(Task("training", "build_training_set", LAST), results)
    assert path.read_bytes() == content
