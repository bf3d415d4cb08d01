"""Materialization through Feast and Perennial, beside raw writes of the same serialized rows into the same store.

    python benchmarks/materialization.py             # 20,000 and 200,000 rows (DynamoDB: 200 and 1,000)
    python benchmarks/materialization.py small       # a tenth of that
    python benchmarks/materialization.py small redis sqlite

What is measured is `repository.materialize`: the scan of the lake, each key's newest row, serialization, the guarded
write, the registry. Raw is the fastest unguarded way that we know to write rows that may be there already, given keys
and values as finished bytes, in batches of the same size: `INSERT OR REPLACE`; a pipeline of `HSET`; `COPY` and one
upsert; `BatchWriteItem`, which takes no conditions, and beside it `PutItem`, which could. Each store is empty before
each measurement; each measurement is a process of its own.

Needs Debian's redis-server; PostgreSQL is the embedded one, DynamoDB is moto's.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

STORES = ("sqlite", "redis", "postgresql", "dynamodb", "dynamodb-put")
TARGET = 2.0
BATCH = 5_000
START = datetime(2013, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[1]

DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bool, Float64, Int64, String

from perennial.feature_store.source import LakeSource

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
stats = FeatureView(
    name="stats",
    entities=[user],
    ttl=timedelta(days=1),
    schema=[
        *(Field(name=f"number{n}", dtype=Float64) for n in range(4)),
        *(Field(name=f"count{n}", dtype=Int64) for n in range(2)),
        Field(name="word", dtype=String),
        Field(name="flag", dtype=Bool),
    ],
    source=LakeSource(table="bench.stats"),
)
service = FeatureService(name="bench", features=[stats])
"""


def main(arguments: list[str]) -> None:
    """Measure and print a table."""
    scale = 10 if "small" in arguments else 1
    stores = [store for store in STORES if store in arguments] or STORES
    print("| store | rows | raw, rows/s | materialize, rows/s | time to raw | peak above start, MB | target |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, _project(Path(name)):
        for store in stores:
            for rows in (200, 1_000) if store.startswith("dynamodb") else (20_000 // scale, 200_000 // scale):
                raw, ours = (_measured(store, mode, rows) for mode in ("raw", "ours"))
                ratio = ours["seconds"] / raw["seconds"]
                print(
                    f"| {store} | {rows:,} | {rows / raw['seconds']:,.0f} | {rows / ours['seconds']:,.0f} | {ratio:.2f}"
                    f" | {ours['megabytes']:.0f} | at most {TARGET:.0f}: {'met' if ratio <= TARGET else 'missed'} |",
                    flush=True,
                )


def _measured(store: str, mode: str, rows: int) -> dict[str, float]:
    """Seconds and megabytes of one measurement, in a process of its own and against an empty store."""
    with _server(store) as url:
        environment = os.environ | {"PERENNIAL_ONLINE_STORE": url}
        done = subprocess.run(
            [sys.executable, __file__, "child", store, mode, str(rows)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def child(store: str, mode: str, rows: int) -> None:
    """One measurement: prints seconds and the growth of this process's peak memory in megabytes."""
    from perennial import lake
    from perennial.feature_store import repository

    lake.replace("bench.stats", "2013-01", _table(rows))
    repository.apply_if_changed()
    view = repository.open_store().get_feature_view("stats")
    # One row, so that imports and connections are not part of it.
    repository.materialize("bench", START - timedelta(days=1), START + timedelta(microseconds=1))
    write: Callable[[], Any]
    if mode == "raw":
        write = _raw(store, view, rows)
    else:
        write = lambda: repository.materialize("bench", START, START + timedelta(days=31))  # noqa: E731
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    write()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "megabytes": (peak - before) / 1024}))


def _table(rows: int) -> Any:
    """Rows of as many users, in no order."""
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng(0)
    times = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(rows) * np.timedelta64(10, "s")
    return pa.table(
        {
            "user_id": [f"user{number:08d}" for number in random.permutation(rows)],
            "event_timestamp": pa.array(times, pa.timestamp("us", "UTC")),
            **{f"number{n}": random.random(rows) for n in range(4)},
            **{
                f"count{n}": pa.array(random.integers(0, 10**6, rows), mask=random.random(rows) < 0.1) for n in range(2)
            },
            "word": [f"word{number % 100}" for number in range(rows)],
            "flag": random.random(rows) < 0.5,
        }
    )


def _raw(store: str, view: Any, rows: int) -> Callable[[], None]:
    """What writes the same rows, serialized beforehand."""
    from perennial.feature_store import repository
    from perennial.feature_store.online.rows import OnlineRows

    table = _table(rows)
    batches = [OnlineRows.of_arrow(table.slice(start, BATCH), view, 3) for start in range(0, rows, BATCH)]
    feast = repository.open_store()
    writers = {
        "sqlite": _raw_sqlite,
        "redis": _raw_redis,
        "postgresql": _raw_postgresql,
        "dynamodb": _raw_dynamodb,
        "dynamodb-put": _raw_dynamodb_put,
    }
    return writers[store](feast.provider.online_store, feast.config, batches)


def _raw_sqlite(store: Any, config: Any, batches: list) -> Callable[[], None]:
    columns = "entity_key, feature_name, value, event_ts, created_ts"
    statement = f"INSERT OR REPLACE INTO bench_stats ({columns}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
    rows = [
        [
            (key, name, value, event // 1_000_000, None)
            for key, event, values in zip(batch.keys, batch.events, batch.values(), strict=True)
            for name, value in zip(batch.features, values, strict=True)
        ]
        for batch in batches
    ]

    def write() -> None:
        connection = store.connection(config)
        for some in rows:
            with connection:
                connection.executemany(statement, some)

    return write


def _raw_redis(store: Any, config: Any, batches: list) -> Callable[[], None]:
    from google.protobuf.timestamp_pb2 import Timestamp

    calls = [
        [
            (key + b"bench", "_ts:stats", Timestamp(seconds=event // 1_000_000).SerializeToString(), *pairs)
            for key, event, values in zip(batch.keys, batch.events, batch.values(), strict=True)
            for pairs in [
                [part for name, value in zip(batch.features, values, strict=True) for part in (name[-4:], value)]
            ]
        ]
        for batch in batches
    ]

    def write() -> None:
        client = store.client(config.online_store)
        for some in calls:
            with client.pipeline(transaction=False) as pipe:
                for call in some:
                    pipe.execute_command("HSET", *call)
                pipe.execute()

    return write


def _raw_postgresql(store: Any, config: Any, batches: list) -> Callable[[], None]:
    rows = [
        [
            (key, name, value, event - 946_684_800_000_000)
            for key, event, values in zip(batch.keys, batch.events, batch.values(), strict=True)
            for name, value in zip(batch.features, values, strict=True)
        ]
        for batch in batches
    ]

    def write() -> None:
        with store.connection(config) as connection:
            connection.execute(
                "CREATE TEMPORARY TABLE raw (entity_key bytea, feature_name text, value bytea, event_ts timestamptz)"
                " ON COMMIT DELETE ROWS"
            )
            for some in rows:
                with connection.cursor() as cursor:
                    with cursor.copy("COPY raw FROM STDIN (FORMAT BINARY)") as copy:
                        copy.set_types(["bytea", "text", "bytea", "int8"])
                        for row in some:
                            copy.write_row(row)
                    cursor.execute(
                        "INSERT INTO bench_stats (entity_key, feature_name, value, event_ts) SELECT * FROM raw"
                        " ON CONFLICT (entity_key, feature_name) DO UPDATE"
                        " SET value = excluded.value, event_ts = excluded.event_ts"
                    )
                connection.commit()

    return write


def _raw_dynamodb(store: Any, config: Any, batches: list) -> Callable[[], None]:
    from perennial.feature_store.online.dynamodb import put_requests

    puts = [
        {"PutRequest": {"Item": put["Item"]}} for batch in batches for put in put_requests("bench.stats", batch)
    ]  # moto never leaves items unprocessed

    def write() -> None:
        options = config.online_store
        client = store.client(options)
        for start in range(0, len(puts), 25):
            client.batch_write_item(RequestItems={"bench.stats": puts[start : start + 25]})

    return write


def _raw_dynamodb_put(store: Any, config: Any, batches: list) -> Callable[[], None]:
    from perennial.feature_store.online.dynamodb import put_requests

    items = [put["Item"] for batch in batches for put in put_requests("bench.stats", batch)]

    def write() -> None:
        options = config.online_store
        client = store.client(options)
        with ThreadPoolExecutor(options.write_workers) as workers:
            list(workers.map(lambda item: client.put_item(TableName="bench.stats", Item=item), items))

    return write


@contextmanager
def _project(folder: Path) -> Iterator[None]:
    """A project with a home of its own, and PostgreSQL running in it."""
    from perennial.embedded import postgres

    (folder / "feature_repo").mkdir()
    yaml = (ROOT / "feature_repo" / "feature_store.yaml").read_text().replace("project: perennial", "project: bench")
    (folder / "feature_repo" / "feature_store.yaml").write_text(yaml)
    (folder / "feature_repo" / "bench.py").write_text(DEFINITIONS)
    os.environ |= {"PERENNIAL_PROJECT": str(folder), "PERENNIAL_HOME": str(folder / "home")}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    postgres.start()
    postgres.create_databases()
    try:
        yield
    finally:
        postgres.stop()


@contextmanager
def _server(store: str) -> Iterator[str]:
    """An empty store, as a URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if store == "sqlite":
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        yield f"sqlite:///{folder}/online.db"
        shutil.rmtree(folder)
        return
    if store == "postgresql":
        from sqlalchemy import create_engine, text

        from perennial.services import postgres as database

        engine = create_engine(database.url("feast"))
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS bench_stats"))
        engine.dispose()
        yield "postgresql:///feast"
        return
    if store == "redis":
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        url = f"redis://127.0.0.1:{port}/0"
    else:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        url = f"dynamodb://us-east-1?endpoint_url=http://127.0.0.1:{port}&transaction_size=1"
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, f"{store} did not start"
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(sys.argv[1:])
