"""What the doctor says of MLflow and Airflow: running, stopped, or another program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from examined import SLEEP, Examine
from machines import free_port

from perennial.embedded import processes


def test_part_of_airflow_ended(home: Path, examine_with: Examine) -> None:
    assert examine_with("Airflow")["Airflow"].state == "not applicable"
    for name in ("api-server", "scheduler", "dag-processor"):
        processes.start(name, SLEEP, os.environ)
    findings = examine_with("Airflow", PERENNIAL_AIRFLOW_PORT=str(free_port()))
    assert findings["Airflow"].state == "failed"
    assert "does not answer" in findings["Airflow"].message, "the one that is said last: nothing listens"


@pytest.mark.parametrize("name", ["MLflow", "Airflow"])
def test_something_else_that_speaks_http(name: str, tmp_path: Path, examine_with: Examine) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    stranger = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert processes.wait_until(lambda: psutil.Process(stranger.pid).net_connections() != [], 30)
        findings = examine_with(name, **{f"PERENNIAL_{name.upper()}_URI": f"http://127.0.0.1:{port}"})
    finally:
        stranger.kill()
        stranger.wait()
    assert findings[name].state == "failed"
    assert f"not an {name}" in findings[name].message
    assert f"PERENNIAL_{name.upper()}_URI" in findings[name].fix
