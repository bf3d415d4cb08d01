"""What the doctor says of ports: free, ours, or taken by another program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from examined import Examine
from machines import free_port

from perennial.embedded import processes


def test_a_free_port_and_one_of_somebody_else(examine_with: Examine) -> None:
    port = free_port()
    serve = f"import socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); print(1, flush=True)"
    stranger = subprocess.Popen([sys.executable, "-c", f"{serve}; time.sleep(300)"], stdout=subprocess.PIPE)
    try:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        findings = examine_with("ports", PERENNIAL_MLFLOW_PORT=str(port), PERENNIAL_AIRFLOW_PORT=str(free_port()))
    finally:
        stranger.kill()
        stranger.wait()
    assert findings["Airflow port"].state == "passed"
    assert findings["MLflow port"].state == "failed"
    assert re.search(rf"another program: python\S* \(process {stranger.pid} of \w+\)", findings["MLflow port"].message)
    assert "PERENNIAL_MLFLOW_PORT" in findings["MLflow port"].fix


def test_our_own_port_is_no_trouble(home: Path, examine_with: Examine) -> None:
    port = free_port()
    serve = f"import socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); print(1, flush=True)"
    processes.start("mlflow", [sys.executable, "-c", f"{serve}; time.sleep(300)"], os.environ)
    assert processes.wait_until(lambda: processes.log_tail("mlflow") == "1", 20)
    findings = examine_with("ports", PERENNIAL_MLFLOW_PORT=str(port))
    assert findings["MLflow port"].message.endswith("is used by our own mlflow")


def test_an_address_that_is_not_of_this_machine(examine_with: Examine) -> None:
    findings = examine_with("ports", PERENNIAL_AIRFLOW_HOST="192.0.2.1")
    assert findings["Airflow port"].state == "failed"
    assert "Cannot assign requested address" in findings["Airflow port"].message
