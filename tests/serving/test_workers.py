"""Workers on one socket: replaced when they die, told to stop, and gone with their supervisor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from machines import free_port
from typed import COMMAND, PATHS

from perennial.serving import tokens
from perennial.serving.metrics import Counts
from perennial.serving.shared_counts import SharedCounts
from perennial.serving.tokens import Rate

#: Workers that note when they start and when they are told to stop.
PROGRAM = """
import os, signal, socket, sys, time
from functools import partial
from pathlib import Path
from perennial.serving.workers import supervise

def work(started, stopped):
    signal.signal(signal.SIGTERM, partial(stop, stopped))
    (folder / f"{started}-{os.getpid()}").touch()
    while True:
        time.sleep(0.05)

def stop(stopped, number, frame):
    time.sleep(0.2)
    (folder / f"{stopped}-{os.getpid()}").touch()
    raise SystemExit(0)

folder = Path(sys.argv[1])
serve, carry = partial(work, "started", "stopped"), partial(work, "carries", "carried")
supervise(2, serve, carry, listener=socket.socket(), last_seconds=20)
"""


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def noted(folder: Path, what: str) -> set[int]:
    return {int(file.name.partition("-")[2]) for file in folder.glob(f"{what}-*")}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
    until(lambda: len(noted(tmp_path, "started") | noted(tmp_path, "carries")) == 3)
    yield process
    process.kill()
    process.wait(timeout=30)


def test_a_killed_worker_is_replaced(supervisor: subprocess.Popen, tmp_path: Path) -> None:
    first = noted(tmp_path, "started")
    os.kill(min(first), signal.SIGKILL)
    until(lambda: len(noted(tmp_path, "started")) == 3)
    assert supervisor.poll() is None
    left = noted(tmp_path, "started") | noted(tmp_path, "carries")
    assert {child.pid for child in psutil.Process(supervisor.pid).children()} == left - {min(first)}


def test_a_killed_carrier_is_replaced(supervisor: subprocess.Popen, tmp_path: Path) -> None:
    (first,) = noted(tmp_path, "carries")
    os.kill(first, signal.SIGKILL)
    until(lambda: len(noted(tmp_path, "carries")) == 2)
    assert len(noted(tmp_path, "started")) == 2


def test_the_carrier_stops_after_the_last_worker(supervisor: subprocess.Popen, tmp_path: Path) -> None:
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(timeout=60) == 0
    last_worker = max(file.stat().st_mtime for file in tmp_path.glob("stopped-*"))
    (carrier,) = tmp_path.glob("carried-*")
    assert carrier.stat().st_mtime - last_worker >= 0.15  # Of 0.2: file systems round times by milliseconds.


def test_a_server_whose_workers_cannot_work_ends(tmp_path: Path) -> None:
    failing = PROGRAM.replace("    while True:\n", "    1 / (stopped == 'carried')\n    while True:\n")
    process = subprocess.run(
        [sys.executable, "-c", failing, str(tmp_path)], timeout=60, stderr=subprocess.PIPE, text=True
    )
    assert process.returncode == 1
    assert "ZeroDivisionError" in process.stderr
    assert noted(tmp_path, "carried") == noted(tmp_path, "carries")


def test_while_no_worker_lives_nobody_waits_for_one(tmp_path: Path) -> None:
    port = free_port()
    listening = PROGRAM.replace(
        "    while True:\n", "    if stopped == 'stopped': listener.listen()\n    while True:\n"
    )
    listening = listening.replace(
        "supervise(2,", f"listener = socket.create_server(('127.0.0.1', {port}))\nsupervise(1,"
    )
    listening = listening.replace("socket.socket()", "listener")
    process = subprocess.Popen([sys.executable, "-c", listening, str(tmp_path)])
    try:
        until(lambda: len(noted(tmp_path, "started") | noted(tmp_path, "carries")) == 2)
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        os.kill(*noted(tmp_path, "started"), signal.SIGKILL)
        until(lambda: is_refused(port))
        until(lambda: len(noted(tmp_path, "started")) == 2)
        until(lambda: not is_refused(port))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_all_workers_are_told_to_stop(supervisor: subprocess.Popen, tmp_path: Path) -> None:
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(timeout=60) == 0
    assert noted(tmp_path, "stopped") == noted(tmp_path, "started")


def test_workers_end_with_their_supervisor(supervisor: subprocess.Popen, tmp_path: Path) -> None:
    supervisor.kill()
    until(lambda: noted(tmp_path, "stopped") == noted(tmp_path, "started"))
    until(lambda: noted(tmp_path, "carried") == noted(tmp_path, "carries"))


def test_counts_of_all_workers_are_added(tmp_path: Path) -> None:
    mine, other = Counts(), Counts()
    mine.requests["energy", "200"], other.requests["energy", "200"], other.requests["energy", "422"] = 2, 3, 1
    mine.seconds["energy"], other.seconds["energy"] = 0.5, 0.25
    other.durations["energy", 4] = 3
    mine.challengers["energy", "shadow"], other.challengers["energy", "shadow"] = 1, 4
    ended = SharedCounts(tmp_path, other)
    ended._file = tmp_path / "1"
    ended.write()
    total = SharedCounts(tmp_path, mine).total()
    assert total.requests == {("energy", "200"): 5, ("energy", "422"): 1}
    assert (total.seconds, total.durations) == ({"energy": 0.75}, {("energy", 4): 3})
    assert total.challengers == {("energy", "shadow"): 5}


@pytest.fixture
def server(home: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """A server with two workers, and its port."""
    port = free_port()
    environment = os.environ | PATHS | {"PERENNIAL_SERVING_PORT": str(port)}
    with (home / "serve.log").open("w") as log:
        command = [*COMMAND, "serve", "flights", "--workers", "2"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        until(lambda: answered(port) and len(children(process)) == 3)
        yield process, port
    finally:
        for each in children(process):
            os.kill(each, signal.SIGCONT)
        process.kill()
        process.wait(timeout=30)


def test_a_server_with_two_workers_survives_the_loss_of_one(server: tuple[subprocess.Popen, int], home: Path) -> None:
    process, port = server
    first = children(process)
    os.kill(first[0], signal.SIGKILL)
    until(lambda: len(children(process)) == 3 and set(children(process)) != set(first) and answered(port))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert "killed by SIGKILL" in (home / "serve.log").read_text()


def test_a_rate_holds_for_all_workers(server: tuple[subprocess.Popen, int]) -> None:
    """One answers while the other is stopped, and the other way round."""
    process, port = server
    secret, _ = tokens.create("limited", rate=Rate(5, 3600))
    first, second = (each for each in children(process) if listens(each))
    assert asked_of(port, secret, 7, stopped=first).count(429) == 2
    assert asked_of(port, secret, 2, stopped=second) == [429, 429]


def asked_of(port: int, secret: str, times: int, stopped: int) -> list[int]:
    """The status of so many requests, which the other worker answers."""
    os.kill(stopped, signal.SIGSTOP)
    address = f"http://127.0.0.1:{port}/v1/use_cases/flights/predict"
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        return [httpx.post(address, headers=headers, content=b"{", timeout=60).status_code for _ in range(times)]
    finally:
        os.kill(stopped, signal.SIGCONT)


def listens(process: int) -> bool:
    """Whether it is a worker, rather than what carries the log."""
    return bool(psutil.Process(process).net_connections("inet"))


def children(process: subprocess.Popen) -> list[int]:
    return [each.pid for each in psutil.Process(process.pid).children()] if process.poll() is None else []


def answered(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).json() == {"status": "alive"}
    except httpx.TransportError:
        return False
