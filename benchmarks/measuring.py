"""What the benchmarks share: servers of their own, and the memory of a family of processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from perennial.services.airflow_api import AirflowClient
    from perennial.services.airflow_records import DagRun

BENCHMARKS = Path(__file__).parent


@dataclass
class Measured:
    """Seconds of wall time and megabytes of peak resident memory."""

    seconds: float = 0.0
    megabytes: float = 0.0


def bare_script(script: str, *arguments: str) -> Measured:
    """One measurement of `bare.py` in a process of its own."""
    child = subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "bare.py"), script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with peak_memory(lambda: [psutil.Process(child.pid)]) as peak:
        output, _ = child.communicate()
    (line,) = [line for line in output.splitlines() if line.startswith(script)]
    print(f"  {line}", file=sys.stderr)
    return Measured(float(line.split()[1]), peak.megabytes)


@contextmanager
def embedded_home() -> Iterator[None]:
    """Embedded servers with a home of their own, on free ports, gone afterwards."""
    from perennial import embedded
    from perennial.settings import settings

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        os.environ.update(
            PERENNIAL_HOME=name,
            PERENNIAL_AIRFLOW_PORT=str(_free_port()),
            PERENNIAL_MLFLOW_PORT=str(_free_port()),
            PERENNIAL_SERVING_PORT=str(_free_port()),
        )
        settings.cache_clear()
        embedded.up()
        try:
            yield
        finally:
            embedded.down()


@contextmanager
def peak_memory(processes: Callable[[], list[psutil.Process]]) -> Iterator[Measured]:
    """Watch the resident memory of `processes()` and their descendants while the block runs."""
    peak, over = Measured(), threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            peak.megabytes = max(peak.megabytes, sum(map(_family_memory, processes())) / 1e6)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _family_memory(process: psutil.Process) -> int:
    """Proportional set size where the system tells it: pages shared by forked workers count once."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            full = member.memory_full_info()
            total += getattr(full, "pss", full.rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def servers() -> list[psutil.Process]:
    from perennial.embedded import processes

    records = (
        processes.Record.read(name) for name in ("mlflow", "scheduler", "api-server", "dag-processor", "triggerer")
    )
    alive = (record.process() for record in records if record is not None)
    return [process for process in alive if process is not None]


def finished(client: AirflowClient, run: DagRun) -> DagRun:
    """The run, once it is over.

    Raises:
        SystemExit: it failed.
    """
    while not run.is_over:
        time.sleep(0.2)
        run = client.run(run.dag, run.id)
    if run.state != "success":
        raise SystemExit(f"{run.dag} {run.id} ended as {run.state}; see {client.run_url(run)}")
    return run


def seconds(run: DagRun) -> float:
    """From a run's start to its end."""
    if run.started is None or run.ended is None:
        raise SystemExit("The run has no start or no end.")
    return (run.ended - run.started).total_seconds()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | {"OMP_WAIT_POLICY": "PASSIVE"}
