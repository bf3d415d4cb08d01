"""Every online store that a test can have, each with a server of its own and reached by settings alone."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from feast import FeatureStore, FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feature_cases import Repository, repository_in
from machines import free_port

from perennial.feature_store import repository
from perennial.settings import settings

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)

#: Every kind of online store.
STORES = [
    "sqlite",
    "postgresql",
    "dynamodb",
    pytest.param("redis", marks=pytest.mark.services),
    pytest.param("debian-postgresql", marks=pytest.mark.services),
]

#: A row of a test: its number, event time and time of creation, both in microseconds after noon.
Row = tuple[int, int, int | None]

_numbers = itertools.count()


@dataclass(frozen=True)
class Online:
    """An online store, and the view of `feature_cases` in it."""

    repo: Repository
    store: FeatureStore
    view: FeatureView
    restart: Callable[[], None] = field(default=lambda: None)

    def key(self, name: str = "") -> EntityKey:
        """A key of this name, or one that no other test has."""
        return EntityKey(join_keys=["driver_id"], entity_values=[Value(string_val=name or f"key{next(_numbers)}")])

    def write(self, key: EntityKey, *rows: Row) -> None:
        """One batch, of one key."""
        self.write_all([(key, *row) for row in rows])

    def write_all(self, rows: Sequence[tuple[EntityKey, int, int, int | None]]) -> None:
        """One batch: keys and rows. A row's two features both say its number."""
        data = [
            (
                key,
                {"trips": Value(int64_val=number), "rating": Value(double_val=number)},
                NOON + event * INSTANT,
                None if created is None else NOON + created * INSTANT,
            )
            for key, number, event, created in rows
        ]
        self.store.provider.online_write_batch(self.store.config, self.view, data, None)

    def read(self, *keys: EntityKey) -> list[tuple[int, datetime] | None]:
        """The number and event time of each key's row, which must be one whole row; None if it has none."""
        rows = self.store.provider.online_read(self.store.config, self.view, list(keys), ["trips", "rating"])
        for _, values in rows:
            assert values is None or values["trips"].int64_val == values["rating"].double_val
        return [None if values is None else (values["trips"].int64_val, event) for event, values in rows]


@contextmanager
def online_store(kind: str, folder: Path) -> Iterator[Online]:
    """The online store of this kind, empty. A home must be there."""
    servers = {"redis": redis_server, "dynamodb": dynamodb_server, "debian-postgresql": debian_postgresql}
    stores = {"sqlite": ("", None), "postgresql": ("postgresql:///feast", None)}
    start = servers.get(kind, lambda: nullcontext(stores.get(kind)))
    with start() as (url, restart), repository_in(folder) as repo, pytest.MonkeyPatch.context() as patch:
        if url:
            patch.setenv("PERENNIAL_ONLINE_STORE", url)
        settings.cache_clear()
        repo.define()
        repository.apply_if_changed()
        store = repository.open_store()
        yield Online(repo, store, store.get_feature_view(f"{repo.name}_stats"), restart or (lambda: None))
    settings.cache_clear()


@contextmanager
def redis_server() -> Iterator[tuple[str, Callable[[], None]]]:
    """Debian's Redis on loopback, keeping nothing on disk; its URL, and what forgets the scripts it was sent."""
    port = free_port()
    with process(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]) as server:
        client = redis.Redis(port=port)
        wait_for(client.ping, server)
        yield f"redis://127.0.0.1:{port}/1", client.script_flush
        client.close()


@contextmanager
def dynamodb_server() -> Iterator[tuple[str, None]]:
    """moto's DynamoDB on loopback; its URL."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # Asked to end, it first waits for whoever is still connected.
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with process(command, end=signal.SIGKILL) as server:
            wait_for(lambda: httpx.get(address, timeout=2), server)
            # moto copies all its tables at every transaction, and breaks if one changes meanwhile.
            options = f"endpoint_url={address}&consistent_reads=true&transaction_size=5&write_workers=1"
            yield f"dynamodb://us-east-1?{options}", None


@contextmanager
def debian_postgresql() -> Iterator[tuple[str, None]]:
    """Debian's newest PostgreSQL on loopback, in a folder of its own; its URL."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    folder = Path(tempfile.mkdtemp(prefix="perennial-postgresql-"))
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    port = free_port()
    subprocess.run(
        [programs / "initdb", "-D", folder / "data", "-U", "perennial", "--auth=trust"],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    options = ["-D", folder / "data", "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1"]
    with process([programs / "postgres", *options], end=signal.SIGINT, user=user, cwd=folder) as server:
        address = f"postgresql://perennial@127.0.0.1:{port}/postgres"
        wait_for(lambda: psycopg.connect(address).close(), server)
        yield address, None
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def process(command: Sequence[str | Path], end: int = signal.SIGTERM, **options: Any) -> Iterator[subprocess.Popen]:
    """A process that ends with the block, by that signal."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        yield server
    finally:
        server.send_signal(end)
        server.wait(timeout=30)


def wait_for(is_ready: Callable[[], object], server: subprocess.Popen) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            is_ready()
            return
        except Exception:
            assert server.poll() is None, f"{server.args} ended"
            assert time.monotonic() < deadline, f"{server.args} did not answer in a minute"
            time.sleep(0.1)
