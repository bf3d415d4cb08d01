"""`perennial serve` as processes that are killed under load: what was answered is in the lake, each of it once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from machines import free_port
from pipelines import run_features_until, train
from typed import COMMAND, PATHS

from perennial.registry import ledger, tracking
from perennial.served_predictions import carrying, segments, table
from perennial.serving import tokens
from perennial.use_case import UseCase

LAST = "2024-01-04"
AT = f"{LAST}T23:00:00+00:00"
METER = {"site": "site-0", "meter": "meter-0", "hour_sin": -0.25, "hour_cos": 0.96}
PREDICT = "/v1/use_cases/energy/predict"


@pytest.fixture(scope="module")
def trained(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    """Four days, and a version in production."""
    run_features_until(energy, LAST)
    train(energy, "first")
    ledger.record(
        energy,
        partition=LAST,
        action="promoted",
        model_version=1,
        previous_version=None,
        model_run=tracking.run_of(energy, 1),
        effective_from=energy.partition(LAST).end,
        actor="ada",
        reason="a test",
        evidence={},
    )
    return energy


@pytest.fixture(scope="module")
def headers(trained: UseCase) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.create('test', ['energy'])[0]}"}


@pytest.fixture
def folder(home: Path) -> Path:
    """The log of all servers of this home."""
    return home / "serving_log"


@contextmanager
def serving(home: Path, *names: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server that is ready, and its address."""
    port = free_port()
    environment = os.environ | PATHS | {"PERENNIAL_SERVING_PORT": str(port)}
    address = f"http://127.0.0.1:{port}"
    with (home / f"serve-{port}.log").open("w") as log:
        process = subprocess.Popen([*COMMAND, "serve", "energy"], stdout=log, stderr=log, env=environment)
    try:
        wait_for(lambda: is_ready(address), process)
        yield process, address
    finally:
        process.kill()
        process.wait(timeout=30)


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ready").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Load:
    """Clients that ask until they are stopped or their server is gone.

    Attributes:
        acknowledged: The ids that were answered.
    """

    def __init__(self, address: str, headers: dict[str, str], clients: int = 3) -> None:
        self.acknowledged: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(address, headers)) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, address: str, headers: dict[str, str]) -> None:
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
            while not self._ended.is_set():
                try:
                    answer = client.post(PREDICT, json={"examples": [METER, METER], "at": AT})
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                self.acknowledged += [each["prediction_id"] for each in answer.json()["predictions"]]

    def stop(self) -> set[str]:
        """The ids that were answered in all."""
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=60)
        assert len(set(self.acknowledged)) == len(self.acknowledged)
        return set(self.acknowledged)


def in_the_lake(energy: UseCase) -> Counter[str]:
    rows = table.read(energy, LAST, columns=("prediction_id",))
    return Counter(rows["prediction_id"].to_pylist() if rows is not None else [])


def test_kill_9_under_load_loses_and_doubles_nothing(
    trained: UseCase, headers: dict[str, str], home: Path, folder: Path
) -> None:
    with serving(home) as (process, address):
        load = Load(address, headers)
        wait_for(lambda: len(load.acknowledged) > 100, process)
        carrying.carry(folder)
        wait_for(lambda: len(load.acknowledged) > 200, process)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        acknowledged = load.stop()
    # What the next server finds when it starts.
    with serving(home) as (process, _):
        wait_for(lambda: acknowledged <= set(in_the_lake(trained)), process)
    stored = in_the_lake(trained)
    assert set(stored.values()) == {1}
    # Of the last request of each client nobody knows whether it was answered.
    assert len(set(stored) - acknowledged) <= 3 * 2


def test_two_servers_on_one_home_carry_each_prediction_once(
    trained: UseCase, headers: dict[str, str], home: Path, folder: Path
) -> None:
    with serving(home) as (one, first), serving(home) as (other, second):
        loads = [Load(first, headers, 2), Load(second, headers, 2)]
        wait_for(lambda: min(len(each.acknowledged) for each in loads) > 50, one)
        acknowledged = set().union(*(each.stop() for each in loads))
        for process in (one, other):
            process.send_signal(signal.SIGTERM)
        for process in (one, other):
            assert process.wait(timeout=60) == 0
    stored = in_the_lake(trained)
    assert acknowledged <= set(stored), "what was answered is in the lake when the last server has ended"
    assert set(stored.values()) == {1}
    assert segments.paths(folder) == []
    assert carrying.backlog(folder) == carrying.Backlog(0, None, 0)
