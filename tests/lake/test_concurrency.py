"""Several processes at once, and one killed in the middle: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from perennial import lake
from perennial.services import postgres

pytestmark = pytest.mark.usefixtures("home")


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output


def test_concurrent_replaces_of_one_table_lose_no_partition() -> None:
    code = """
import pyarrow as pa
from perennial import lake
for month in range(4):
    lake.replace("busy.trips", f"{writer}-{month}", pa.table({"id": [month]}))
"""
    for writer in [python(f"writer = {number}\n{code}") for number in range(3)]:
        finish(writer)
    assert lake.read("busy.trips").num_rows == 12


def test_processes_that_append_the_same_rows_append_them_once() -> None:
    code = """
import pyarrow as pa
from perennial import lake
rows = pa.table({"partition": ["p"] * 50, "id": list(range(50))})
print(lake.append_missing("busy.predictions", rows, key=["id"]).num_rows)
"""
    appended = [int(finish(process)) for process in [python(code) for _ in range(3)]]
    assert sorted(appended) == [0, 0, 50]
    assert lake.read("busy.predictions").num_rows == 50


def test_a_killed_holder_does_not_block_the_next(tmp_path: Path) -> None:
    marker = tmp_path / "held"
    code = f"""
import time, pathlib
from perennial.services import postgres
with postgres.advisory_lock("killed", "holder"):
    pathlib.Path({str(marker)!r}).touch()
    time.sleep(600)
"""
    holder = python(code)
    deadline = time.monotonic() + 60
    while not marker.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(_take).result(timeout=30)


def _take() -> bool:
    with postgres.advisory_lock("killed", "holder"):
        return True


def test_a_writer_killed_before_commit_leaves_old_content() -> None:
    lake.replace("busy.killed", "2013-01", pa.table({"id": [1]}))
    code = """
import os, signal
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from perennial import lake
SqlCatalog.commit_table = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
lake.replace("busy.killed", "2013-01", pa.table({"id": [2]}))
"""
    process = python(code)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert lake.read("busy.killed")["id"].to_pylist() == [1]
    lake.replace("busy.killed", "2013-01", pa.table({"id": [2]}))
    assert lake.read("busy.killed")["id"].to_pylist() == [2]
