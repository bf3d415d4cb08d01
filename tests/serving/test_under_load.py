"""Two prediction servers behind nginx, asked 200 times a second: promotions, and everything killed once.

The proxy's configuration is that of docs/run_the_prediction_server.md. The tests share the servers, in order.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import machines
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from load import Answer, Load, load
from machines import free_port
from online_cases import process, wait_for
from pipelines import run_features_until, train
from redis import Redis
from typed import COMMAND, PATHS

from perennial import lake
from perennial.embedded import postgres
from perennial.registry import ledger, tracking
from perennial.serving import tokens
from perennial.settings import settings
from perennial.use_case import UseCase

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LAST = "2024-01-04"
BODY = {
    "examples": [{"site": "site-0", "meter": "meter-0", "hour_sin": -0.25, "hour_cos": 0.96}],
    "at": f"{LAST}T23:00:00+00:00",
}
PREDICT = "/v1/use_cases/energy/predict"
#: For so many seconds a version may still answer that the ledger no longer names, on a machine with nothing else to do.
STALE = 2.0


class Store:
    """A store that can be killed and started again, whoever started it first."""

    def __init__(self, port: int, is_up: Callable[[], object], command: list[str] | None = None) -> None:
        self._port, self._is_up = port, is_up
        self._command, self._environment = command or [], dict(os.environ)
        self._started: subprocess.Popen | None = None

    def start(self) -> None:
        self._started = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._is_up, self._started)

    @property
    def is_ours(self) -> bool:
        return self._started is not None

    def kill(self) -> None:
        """As a machine that is out of memory does."""
        listening = psutil.net_connections("tcp")
        (pid,) = {each.pid for each in listening if each.status == psutil.CONN_LISTEN and each.laddr.port == self._port}
        victim = psutil.Process(pid)
        if not self._command:
            self._command, self._environment = victim.cmdline(), victim.environ()
        victim.kill()
        if self._started is not None:
            self._started.wait(timeout=30)
        psutil.wait_procs([victim], timeout=30)


@dataclass
class Stand:
    """The servers and the proxy in front of them."""

    energy: UseCase
    folder: Path
    token: str
    proxy: str
    ports: list[int]
    servers: list[subprocess.Popen]
    redis: Store

    def load(self, seconds: int, rate: int | None = 200) -> AbstractContextManager[Load]:
        return load(f"{self.proxy}{PREDICT}", BODY, self.token, self.folder, seconds, rate)

    def ask(self) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        trusted = ssl.create_default_context(cafile=self.folder / "nginx/predictions.pem")
        return httpx.post(f"{self.proxy}{PREDICT}", json=BODY, headers=headers, timeout=60, verify=trusted)

    def start(self, number: int) -> None:
        log = (self.folder / f"server-{number}.log").open("a")
        environment = os.environ | PATHS | {"PERENNIAL_SERVING_PORT": str(self.ports[number])}
        command = [*COMMAND, "serve", "energy"]
        self.servers[number:] = [
            subprocess.Popen(command, stdout=log, stderr=log, env=environment),
            *self.servers[number + 1 :],
        ]
        wait_until(lambda: is_ready(self.ports[number]))

    def promote(self, number: int, action: ledger.Action = "promoted") -> float:
        """When the ledger had it."""
        ledger.record(
            self.energy,
            partition=LAST,
            action=action,
            model_version=number,
            previous_version=3 - number,
            model_run=tracking.run_of(self.energy, number),
            effective_from=self.energy.partition(LAST).end,
            actor="ada",
            reason="a test",
            evidence={"pause_until": None} if action == "rolled-back" else {},
            event_id=f"{action}:{time.time_ns()}",
        )
        return time.time()

    def states(self) -> list[dict[str, Any]]:
        """What each server says of the use case; nothing of one that does not answer in time."""
        asked = [httpx.get(f"http://127.0.0.1:{port}/ready", timeout=20) for port in self.ports]
        return [answer.json()["use_cases"]["energy"] for answer in asked]

    def errors(self) -> str:
        """What nginx has to say."""
        return (self.folder / "nginx/error.log").read_text()[-3000:]

    def rss(self) -> list[float]:
        """Of each server, in MB."""
        return [psutil.Process(server.pid).memory_info().rss / 2**20 for server in self.servers]


def wait_until(is_so: Callable[[], bool], patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def redis(home: Path) -> Iterator[Store]:
    """Redis with its file on disk, as in docker-compose.yaml."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--appendonly", "yes"]
    store = Store(port, Redis(port=port).ping, command)
    store.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_ONLINE_STORE", f"redis://127.0.0.1:{port}/1")
        settings.cache_clear()
        try:
            yield store
        finally:
            store.kill()
    settings.cache_clear()


@pytest.fixture(scope="module")
def proxy(home: Path) -> Iterator[tuple[str, list[int]]]:
    """nginx with the documented configuration: its address, and the ports of the servers behind it."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    assert Path(program).exists(), "nginx is missing: apt-get install nginx-light"
    folder = home / "nginx"
    folder.mkdir()
    listens, ports = free_port(), [free_port(), free_port()]
    page = (ROOT / "docs/run_the_prediction_server.md").read_text()
    (documented,) = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    certificate(folder)
    words = {
        "127.0.0.1:8090": f"127.0.0.1:{ports[0]}",
        "127.0.0.1:8091": f"127.0.0.1:{ports[1]}",
        "listen 443 ssl": f"listen 127.0.0.1:{listens} ssl",
        "/etc/ssl/predictions.pem": f"{folder}/predictions.pem",
        "/etc/ssl/predictions.key": f"{folder}/predictions.key",
    }
    for old, new in words.items():
        assert old in documented
        documented = documented.replace(old, new)
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"pid {folder}/pid;\nevents {{}}\nhttp {{ access_log off; {places} {documented} }}\n"
    (folder / "nginx.conf").write_text(config)
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with process([*command, "-g", "daemon off;"]) as server:
        address = f"https://127.0.0.1:{listens}"
        trusted = ssl.create_default_context(cafile=folder / "predictions.pem")
        wait_for(lambda: httpx.get(address, timeout=2, verify=trusted), server)
        yield address, ports


def certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "predictions.example.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    signed = made.sign(key, hashes.SHA256())
    (folder / "predictions.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    (folder / "predictions.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, plain[1], plain[0]))


@pytest.fixture(scope="module")
def stand(
    project: Path, redis: Store, mlflow_server: str, energy: UseCase, proxy: tuple[str, list[int]], home: Path
) -> Iterator[Stand]:
    run_features_until(energy, LAST)
    for name in ("first", "second"):
        train(energy, name)
    secret, _ = tokens.create("load", ["energy"])
    made = Stand(energy, home, secret, *proxy, [], redis)
    made.promote(1)
    try:
        for number in range(2):
            made.start(number)
        yield made
    finally:
        for server in made.servers:
            server.kill()
            server.wait(timeout=30)


def test_a_promotion_and_a_rollback_are_served_within_two_seconds(stand: Stand) -> None:
    with stand.load(seconds=30) as under_way:
        wait_until(lambda: len(under_way.answers()) > 200)
        promoted = stand.promote(2)
        wait_until(lambda: first(under_way.answers(), 2, promoted) is not None)
        time.sleep(2 * STALE)
        rolled_back = stand.promote(1, "rolled-back")
        answers = under_way.wait()
        stale = STALE * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
    assert under_way.errors == ""
    assert {answer.status for answer in answers} == {200}, stand.errors()
    assert len(answers) > 20 * 30, "the load was too small to show anything"
    assert {answer.version for answer in answers if answer.at < promoted - 1} == {1}
    assert {answer.version for answer in answers if promoted + stale < answer.at < rolled_back - 0.5} <= {2}
    assert {answer.version for answer in answers if answer.at > rolled_back + stale} <= {1}
    for version, since in ((2, promoted), (1, rolled_back)):
        took = first(answers, version, since)
        assert took is not None
        assert took <= stale


def first(answers: list[Answer], version: int, since: float) -> float | None:
    """Seconds until a version answered; None: it has not."""
    moments = [answer.at for answer in answers if answer.version == version and answer.at > since]
    return min(moments) - since if moments else None


def test_a_killed_server_fails_no_request_behind_the_proxy(stand: Stand) -> None:
    with stand.load(seconds=10) as under_way:
        wait_until(lambda: len(under_way.answers()) > 200)
        stand.servers[0].kill()
        stand.servers[0].wait(timeout=30)
        time.sleep(1)
        stand.start(0)
        answers = under_way.wait()
    assert under_way.errors == ""
    assert {answer.status for answer in answers} == {200}


def test_a_stopped_server_answers_what_it_was_asked(stand: Stand) -> None:
    with stand.load(seconds=6) as under_way:
        wait_until(lambda: len(under_way.answers()) > 200)
        stand.servers[1].terminate()
        stand.servers[1].wait(timeout=30)
        answers = under_way.wait()
    stand.start(1)
    assert under_way.errors == ""
    assert {answer.status for answer in answers} == {200}


@pytest.fixture(scope="module")
def mlflow(home: Path, mlflow_server: str) -> Iterator[Store]:
    port = int(mlflow_server.rpartition(":")[2])
    command = [sys.executable, "-m", "perennial.embedded.mlflow_server", *machines.mlflow_arguments(home, port)]
    store = Store(port, lambda: httpx.get(f"{mlflow_server}/health", timeout=2).raise_for_status(), command)
    yield store
    if store.is_ours:
        store.kill()


def test_while_mlflow_is_dead_the_version_that_serves_goes_on(stand: Stand, mlflow: Store) -> None:
    run = tracking.run_of(stand.energy, 2)
    mlflow.kill()
    try:
        with stand.load(seconds=6) as under_way, pytest.MonkeyPatch.context() as patch:
            patch.setattr(tracking, "run_of", lambda use_case, number: run)
            stand.promote(2)
            wait_until(lambda: {state["problem"] for state in stand.states()} == {"ServiceUnavailable"})
            answers = under_way.wait()
    finally:
        mlflow.start()
    assert {(answer.status, answer.version) for answer in answers} == {(200, 1)}
    wait_until(lambda: [state["model_version"] for state in stand.states()] == [2, 2])
    assert stand.ask().json()["model_version"] == 2


def test_while_redis_is_dead_every_request_is_told_so(stand: Stand) -> None:
    with stand.load(seconds=12) as under_way:
        wait_until(lambda: len(under_way.answers()) > 200)
        stand.redis.kill()
        killed = time.time()
        time.sleep(2)
        stand.redis.start()
        back = time.time()
        answers = under_way.wait()
    assert under_way.errors == ""
    assert {answer.status for answer in answers if answer.at < killed - 0.5} == {200}
    assert 503 in {answer.status for answer in answers if killed < answer.at < back}
    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.status for answer in answers if answer.at > back + 2} == {200}
    (prediction,) = stand.ask().raise_for_status().json()["predictions"]
    assert "missing" not in prediction, "Redis has read its file"


def test_while_postgresql_is_dead_nothing_hangs_and_it_recovers(stand: Stand) -> None:
    with stand.load(seconds=12) as under_way:
        wait_until(lambda: len(under_way.answers()) > 200)
        kill_postgresql(stand.folder)
        killed = time.time()
        answers = under_way.wait()
        print("while PostgreSQL was dead", Counter(answer.status for answer in answers if answer.at > killed))
    assert under_way.errors == ""
    assert {answer.status for answer in answers} <= {200, 503}
    postgres.start()
    wait_until(lambda: stand.ask().status_code == 200)
    with stand.load(seconds=5) as under_way:
        answers = under_way.wait()
    assert {answer.status for answer in answers} == {200}
    wait_until(lambda: {state["problem"] for state in stand.states()} == {None})
    lake.catalog.cache_clear()  # This process's own connections ended too.
    promoted = stand.promote(1, "rolled-back")
    wait_until(lambda: [state["model_version"] for state in stand.states()] == [1, 1])
    assert time.time() - promoted < 10


def kill_postgresql(home: Path) -> None:
    leader = psutil.Process(int((home / "postgres/postmaster.pid").read_text().splitlines()[0]))
    family = [leader, *leader.children(recursive=True)]
    leader.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, "they end with their leader"


def test_memory_stays_flat(stand: Stand) -> None:
    with stand.load(seconds=40, rate=None) as under_way:
        time.sleep(10)
        before, then = stand.rss(), time.time()
        answers = under_way.wait()
        grown = [round(after - earlier, 1) for earlier, after in zip(before, stand.rss(), strict=True)]
    asked = sum(answer.at > then for answer in answers)
    assert {answer.status for answer in answers} == {200}
    assert asked > 1000
    # The first carry of the log loads the lake, and keeps what its largest part took; later ones need no more, see
    # tests/served_predictions/test_carrying.py.
    assert min(grown) < 64, f"{grown} MB more after {asked} requests"
    assert max(grown) < 320, f"{grown} MB more after {asked} requests"
