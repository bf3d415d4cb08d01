"""Background processes: started, recorded, stopped, and no other process with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from perennial.embedded import processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
#: Starts a child that outlives it, says its number, and sleeps.
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
    "print(child.pid, flush=True); time.sleep(300)",
]


def test_a_process_is_started_in_its_own_session_and_stopped(empty_home: Path) -> None:
    record = processes.start("sleeper", SLEEP, os.environ)
    assert os.getsid(record.pid) == record.pid
    assert processes.Record.read("sleeper") == record
    assert processes.stop(["sleeper"], 5) == ["sleeper"]
    assert not psutil.pid_exists(record.pid) or psutil.Process(record.pid).status() == psutil.STATUS_ZOMBIE
    assert processes.stop(["sleeper"], 5) == [], "a second time is fine"


def test_a_process_that_ignores_sigterm_is_killed(empty_home: Path) -> None:
    stubborn = [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(300)",
    ]
    record = processes.start("stubborn", stubborn, os.environ)
    assert processes.wait_until(lambda: processes.log_tail("stubborn") == "1", 20)
    assert processes.stop(["stubborn"], 0.3) == ["stubborn"]
    assert record.process() is None


def test_the_children_of_a_killed_process_are_ended(empty_home: Path) -> None:
    record = processes.start("parent", PARENT, os.environ)
    assert processes.wait_until(lambda: processes.log_tail("parent").isdigit(), 20)
    orphan = psutil.Process(int(processes.log_tail("parent")))
    os.kill(record.pid, signal.SIGKILL)
    os.waitpid(record.pid, 0)
    assert orphan.is_running()
    assert processes.stop(["parent"], 1) == ["parent"]
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_another_process_with_a_recorded_id_is_left_alone(empty_home: Path) -> None:
    another = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        processes.Record("scheduler", another.pid, time.time() - 3600).write()
        assert processes.stop(["scheduler"], 1) == []
        assert another.poll() is None
    finally:
        another.kill()
        another.wait()


def test_a_damaged_record_counts_as_none(empty_home: Path) -> None:
    (empty_home / "run").mkdir()
    (empty_home / "run" / "mlflow.json").write_text("{")
    assert processes.Record.read("mlflow") is None


def test_records_are_readable_by_people(empty_home: Path) -> None:
    processes.start("sleeper", SLEEP, os.environ)
    assert set(json.loads((empty_home / "run" / "sleeper.json").read_text())) == {"name", "pid", "started"}
