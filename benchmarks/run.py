"""What orchestration costs: the real loop beside a bare script that does the same computing, in the same run.

    make bench        # about fifteen minutes on two cores; prints the table of benchmarks/README.md

Each row is a ratio or a difference between two things measured minutes apart on one machine: seconds alone say more
about the machine. Peak memory is the resident memory of all processes of the embedded servers and their workers, and of
the bare script's process.
"""

from __future__ import annotations

import compileall
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

BENCHMARKS = Path(__file__).parent
NINTH_MONTH = "2013-09"


@dataclass
class Measured:
    """Seconds of wall time and megabytes of peak resident memory."""

    seconds: float = 0.0
    megabytes: float = 0.0


def main() -> None:
    print("bare script ...", file=sys.stderr)
    bare = {what: bare_script(what) for what in ("month", "retraining", "replay")}
    with embedded_home():
        print("the real loop ...", file=sys.stderr)
        real = real_loop()
    rows = [
        ("features of a month", real["month"], bare["month"], "at most 25 s more"),
        ("retraining on nine months", real["retraining"], bare["retraining"], "at most 1.6 times"),
        ("replay of the year", real["replay"], bare["replay"], "-"),
    ]
    print("| what | Perennial, s | bare, s | ratio | more, s | Perennial, MB | bare, MB | target |")
    print("|---|---|---|---|---|---|---|---|")
    for what, ours, limit, target in rows:
        print(
            f"| {what} | {ours.seconds:.1f} | {limit.seconds:.1f} | {ours.seconds / limit.seconds:.2f} |"
            f" {ours.seconds - limit.seconds:.1f} | {ours.megabytes:.0f} | {limit.megabytes:.0f} | {target} |"
        )
    print(f"\nParsing all DAG files with 50 use cases: {parsing(50):.2f} s (target: under 1 s)")


def bare_script(what: str) -> Measured:
    """One measurement of `bare.py` in a process of its own."""
    child = subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "bare.py"), what], stdout=subprocess.PIPE, text=True, env=environment()
    )
    with peak_memory(lambda: [psutil.Process(child.pid)]) as peak:
        output, _ = child.communicate()
    (line,) = [line for line in output.splitlines() if line.startswith(what)]
    print(f"  {line}", file=sys.stderr)
    return Measured(float(line.split()[1]), peak.megabytes)


def real_loop() -> dict[str, Measured]:
    """The year by Airflow's REST API, then one more retraining on nine months."""
    from perennial import discovery, replay
    from perennial.airflow_api import AirflowClient

    use_case = discovery.load("flights")
    year = replay.partitions(use_case, "2013-01", "2013-12")
    with AirflowClient() as client:
        began = time.monotonic()
        with peak_memory(_servers) as replayed:
            for step in replay.replay(client, use_case, year):
                if step.state == "done":
                    print(f"  {step.partition} {step.pipeline}: {step.seconds:.1f} s", file=sys.stderr)
        replayed.seconds = time.monotonic() - began
        (features,) = [run for run in client.runs(NINTH_MONTH, prefix="flights.features") if run.state == "success"]
        with peak_memory(_servers) as retrained:
            conf = {"window_end": NINTH_MONTH, "force": True}
            run = client.trigger("flights.training", "bench", conf=conf)
            while not run.is_over:
                time.sleep(0.2)
                run = client.run(run.dag, run.id)
        retrained.seconds = _seconds(run.started, run.ended)
    return {
        "month": Measured(_seconds(features.started, features.ended), replayed.megabytes),
        "retraining": retrained,
        "replay": replayed,
    }


def parsing(use_cases: int) -> float:
    """Seconds that all DAG files take to parse with so many use cases, once Airflow itself is imported."""
    with tempfile.TemporaryDirectory(prefix="parsing-") as name:
        original = BENCHMARKS.parent / "include/use_cases/flights/use_case.py"
        for number in range(use_cases - 1):
            folder = Path(name) / "use_cases" / f"copy{number}"
            folder.mkdir(parents=True)
            text = original.read_text().replace('name="flights",\n    title', f'name="copy{number}",\n    title')
            (folder / "use_case.py").write_text(text)
        # As they are from the second parse on.
        compileall.compile_dir(name, quiet=2)
        code = (
            "import time, airflow.sdk, airflow.providers.standard.operators.hitl\n"
            "from airflow.dag_processing.dagbag import DagBag\n"
            "began = time.perf_counter()\n"
            f"bag = DagBag({str(BENCHMARKS.parent / 'dags')!r})\n"
            "print(time.perf_counter() - began, len(bag.dags), len(bag.import_errors))\n"
        )
        home = {"PYTHONPATH": name, "AIRFLOW_HOME": f"{name}/airflow", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment() | home, check=True, capture_output=True, text=True
        )
    seconds, dags, errors = done.stdout.split()[-3:]
    if (int(dags), int(errors)) != (4 * use_cases, 0):
        raise SystemExit(f"{dags} DAGs and {errors} import errors instead of {4 * use_cases} and none")
    return float(seconds)


@contextmanager
def embedded_home() -> Iterator[None]:
    """A machine room of its own, on free ports, gone afterwards."""
    from perennial import embedded
    from perennial.settings import settings

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        os.environ.update(
            PERENNIAL_HOME=name,
            PERENNIAL_AIRFLOW_PORT=str(_free_port()),
            PERENNIAL_MLFLOW_PORT=str(_free_port()),
        )
        settings.cache_clear()
        embedded.up()
        try:
            yield
        finally:
            embedded.down()


@contextmanager
def peak_memory(processes) -> Iterator[Measured]:
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


def _servers() -> list[psutil.Process]:
    from perennial.embedded import processes

    found = (
        processes.Record.read(name) for name in ("mlflow", "scheduler", "api-server", "dag-processor", "triggerer")
    )
    alive = (record.process() for record in found if record is not None)
    return [process for process in alive if process is not None]


def _seconds(started: datetime | None, ended: datetime | None) -> float:
    if started is None or ended is None:
        raise SystemExit("The run has no start or no end.")
    return (ended - started).total_seconds()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | {"OMP_WAIT_POLICY": "PASSIVE"}


if __name__ == "__main__":
    main()
