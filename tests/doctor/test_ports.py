"""What the doctor says of ports and servers: free, ours or somebody else's; running, stopped or out of reach."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from examined import SLEEP, Examine
from machines import free_port

from perennial.embedded import postgres, processes


def test_a_free_port_and_one_of_somebody_else(looked_at: Examine) -> None:
    port = free_port()
    serve = f"import socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); print(1, flush=True)"
    stranger = subprocess.Popen([sys.executable, "-c", f"{serve}; time.sleep(300)"], stdout=subprocess.PIPE)
    try:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        found = looked_at("ports", PERENNIAL_MLFLOW_PORT=str(port), PERENNIAL_AIRFLOW_PORT=str(free_port()))
    finally:
        stranger.kill()
        stranger.wait()
    assert found["Airflow port"].state == "passed"
    assert found["MLflow port"].state == "failed"
    assert re.search(rf"another program: python\S* \(process {stranger.pid} of \w+\)", found["MLflow port"].message)
    assert "PERENNIAL_MLFLOW_PORT" in found["MLflow port"].fix


def test_our_own_port_is_no_trouble(home: Path, looked_at: Examine) -> None:
    port = free_port()
    serve = f"import socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); print(1, flush=True)"
    processes.start("mlflow", [sys.executable, "-c", f"{serve}; time.sleep(300)"], os.environ)
    assert processes.wait_until(lambda: processes.log_tail("mlflow") == "1", 20)
    found = looked_at("ports", PERENNIAL_MLFLOW_PORT=str(port))
    assert found["MLflow port"].message.endswith("is used by our own mlflow")


def test_an_address_that_is_not_of_this_machine(looked_at: Examine) -> None:
    found = looked_at("ports", PERENNIAL_AIRFLOW_HOST="192.0.2.1")
    assert found["Airflow port"].state == "failed"
    assert "Cannot assign requested address" in found["Airflow port"].message


def test_postgres_running_then_stopped_under_the_others(home: Path, looked_at: Examine) -> None:
    postgres.start()
    found = looked_at("PostgreSQL", "Catalog")
    assert (found["PostgreSQL"].state, found["Databases"].state) == ("passed", "warning")
    assert found["Catalog"].state == "failed", "there is no database for it"
    postgres.create_databases()
    found = looked_at("PostgreSQL", "Catalog")
    assert {found[name].state for name in ("PostgreSQL", "Databases", "Clock")} == {"passed"}
    assert found["Catalog"].state == "not applicable"
    postgres.stop()
    assert looked_at("PostgreSQL")["PostgreSQL"].state == "not applicable", "nothing runs that needs it"
    processes.start("mlflow", SLEEP, os.environ)
    found = looked_at("PostgreSQL", "Catalog")
    assert (found["PostgreSQL"].state, found["Catalog"].state) == ("failed", "failed")
    assert "mlflow do, and need it" in found["PostgreSQL"].message
    assert "perennial up" in found["PostgreSQL"].fix


def test_part_of_airflow_ended(home: Path, looked_at: Examine) -> None:
    assert looked_at("Airflow")["Airflow"].state == "not applicable"
    for name in ("api-server", "scheduler", "dag-processor"):
        processes.start(name, SLEEP, os.environ)
    found = looked_at("Airflow", PERENNIAL_AIRFLOW_PORT=str(free_port()))
    assert found["Airflow"].state == "failed"
    assert "does not answer" in found["Airflow"].message, "the one that is said last: nothing listens"


@pytest.mark.parametrize("name", ["MLflow", "Airflow"])
def test_something_else_that_speaks_http(name: str, tmp_path: Path, looked_at: Examine) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    stranger = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert processes.wait_until(lambda: psutil.Process(stranger.pid).net_connections() != [], 30)
        found = looked_at(name, **{f"PERENNIAL_{name.upper()}_URI": f"http://127.0.0.1:{port}"})
    finally:
        stranger.kill()
        stranger.wait()
    assert found[name].state == "failed"
    assert f"not an {name}" in found[name].message
    assert f"PERENNIAL_{name.upper()}_URI" in found[name].fix


def test_stores_out_of_reach(looked_at: Examine) -> None:
    found = looked_at(
        *("PostgreSQL", "Online store", "MLflow", "Lake"),
        PERENNIAL_DATABASE="postgresql+psycopg2://ada:correct-horse@127.0.0.1:9/x",
        PERENNIAL_ONLINE_STORE="redis://:battery-staple@127.0.0.1:9/0",
        PERENNIAL_MLFLOW_URI="http://grace:top-secret@127.0.0.1:9",
        PERENNIAL_WAREHOUSE="/proc/lake",
    )
    assert {found[name].state for name in ("PostgreSQL", "Online store", "MLflow")} == {"failed"}
    assert "PERENNIAL_DATABASE" in found["PostgreSQL"].fix


def test_an_online_store_of_no_known_kind(looked_at: Examine) -> None:
    found = looked_at("Online store", PERENNIAL_ONLINE_STORE="memcached://127.0.0.1")["Online store"]
    assert found.state == "failed"
    assert "dynamodb://" in found.fix
