"""What the feature store costs: historical retrieval through Feast's public API, beside bare as-of joins, in one run.

    python benchmarks/feature_store.py             # flights, 1 to 10 million rows, Feast's stock duckdb store
    python benchmarks/feature_store.py small       # synthetic rows at a tenth of the size
    python benchmarks/feature_store.py no-stock    # without the stock store, which takes minutes

Every measurement is a process of its own that reads the same Parquet files, those of the entity rows included (`lake`:
the same rows in Iceberg tables, partitioned by month), and ends with the whole result in memory: ours as Arrow, in the
entity rows' own order; the bare ones as their engine likes it, in whatever order. `peak` is the largest resident memory
beside what the process held before. All results are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ENTITIES = "entities.parquet"
TTL = timedelta(days=30)
#: From so many entity rows on, time and memory are measured against what cannot be beaten.
LARGE = 1_000_000
#: How many times a measurement is repeated in its process; the fastest counts.
REPEATS = {"stock": 1}


@dataclass(frozen=True)
class View:
    """A feature view: a Parquet file or folder of that name."""

    name: str
    key: str
    features: tuple[str, ...]
    ttl_seconds: float

    @property
    def files(self) -> str:
        return f"{self.name}.parquet"


@dataclass(frozen=True)
class Measured:
    """One way to join, measured.

    Attributes:
        seconds, cpu: Wall and processor time of the fastest repeat.
        feast: Of these seconds, Feast's own outside the store.
        to_df: Further seconds to a pandas frame.
        peak: Bytes of resident memory beside what the process held before.
        result: Bytes of the result.
        check: Of each feature the number of nulls and the sum, in a fixed order.
    """

    seconds: float
    cpu: float
    feast: float
    to_df: float
    peak: int
    result: int
    check: list[float]


def main(small: bool, stock: bool) -> None:
    scale = 10 if small else 1
    rows: list[str] = []
    with tempfile.TemporaryDirectory(prefix="feature-store-benchmark-") as name:
        folder = Path(name)
        flights = flights_data(folder / "flights")
        rows += compared("336,776 flights, 4 views", folder / "flights", flights, limit=1.5)
        rows += compared("100,000 flights, 4 views", head(folder / "flights", 100_000), flights, stock=stock)
        for million in (1, 2, 5, 10):
            count = million * 1_000_000 // scale
            views = synthetic_data(folder / f"{count}", count)
            last = million == 10
            rows += compared(f"{count:,} rows, 3 views", folder / f"{count}", views, limit=1.5, pace=last)
            if million == 1:
                rows += compared("100,000 rows, 3 views", head(folder / f"{count}", 100_000), views, stock=stock)
    heads = ("what", "by", "s", "CPU s", "Feast's own, s", "to pandas, s", "rows/s", "peak, MB", "result, MB", "ratio")
    print(f"| {' | '.join(heads)} | targets |")
    print("|---" * (len(heads) + 1) + "|")
    print("\n".join(rows))


def compared(
    label: str, folder: Path, views: list[View], *, limit: float = 0, stock: bool = False, pace: bool = False
) -> list[str]:
    """Measure ours and the bare ones on one set of files, and say which targets were met."""
    count = pq.read_metadata(folder / ENTITIES).num_rows
    in_child("--fill-lake", folder, views)
    ways = ("ours", "lake", "polars", "duckdb", *(["stock"] if stock else []))
    measures = {by: measured(by, folder, views) for by in ways}
    for by, one in measures.items():
        same = np.allclose(one.check, measures["ours"].check, rtol=1e-6)
        assert same, f"{label}: {by} and ours give different results: {one.check} {measures['ours'].check}"
    ours, bare = measures["ours"], min((measures["polars"], measures["duckdb"]), key=lambda one: one.seconds)
    targets = []
    if count >= LARGE:
        ratio = ours.peak / ours.result
        targets.append(verdict(f"{ratio:.1f} of 3 times the result in memory", ratio <= 3))
    if limit and count >= LARGE:
        ratio = ours.seconds / bare.seconds
        targets.append(verdict(f"{ratio:.2f} of {limit} times the faster bare", ratio <= limit))
        ratio = measures["lake"].seconds / bare.seconds
        targets.append(f"{ratio:.2f} times from lake tables")
    if stock:
        ratio = measures["stock"].seconds / ours.seconds
        targets.append(verdict(f"{ratio:.0f} times faster than stock, 10 wanted", ratio >= 10))
    if pace:
        targets.append(verdict(f"{count / ours.seconds:,.0f} rows/s, 500,000 wanted", count / ours.seconds >= 500_000))
    print(f"{label}: {'; '.join(targets)}", file=sys.stderr)
    return [
        f"| {label} | {by} | {one.seconds:.2f} | {one.cpu:.2f} | {one.feast:.2f} | {one.to_df:.2f} |"
        f" {count / one.seconds:,.0f} | {one.peak / 1e6:.0f} | {one.result / 1e6:.0f} | {one.peak / one.result:.1f} |"
        f" {'; '.join(targets) if by == 'ours' else ''} |"
        for by, one in measures.items()
    ]


def verdict(target: str, met: bool) -> str:
    return f"{'met' if met else '**missed**'}: {target}"


def measured(by: str, folder: Path, views: list[View]) -> Measured:
    """Measure one way in a process of its own."""
    return Measured(**json.loads(in_child("--one", folder, views, by).splitlines()[-1]))


def in_child(label: str, folder: Path, views: list[View], *more: str) -> str:
    """What a process of its own prints; its lake is in the folder."""
    command = [sys.executable, __file__, label, str(folder), json.dumps([asdict(view) for view in views]), *more]
    catalog = {"type": "sql", "uri": f"sqlite:///{folder / 'catalog.db'}"}
    lake = {"PERENNIAL_CATALOG": json.dumps(catalog), "PERENNIAL_WAREHOUSE": str(folder / "lake")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | lake)
    assert done.returncode == 0, f"{label} {more}: {done.stderr[-3000:]}"
    return done.stdout


def fill_lake(folder: Path, views: list[View]) -> None:
    """The views' rows as tables of the lake, a partition a month."""
    from perennial import lake

    catalog = lake.catalog()
    catalog.create_namespace_if_not_exists("bench")
    for view in views:
        rows = lake.canonical(pq.read_table(folder / view.files))
        rows = rows.append_column(lake.PARTITION, pc.strftime(rows["event_timestamp"], "%Y-%m"))
        table = catalog.create_table(f"bench.{view.name}", rows.schema)
        with table.update_spec() as update:
            update.add_identity(lake.PARTITION)
        table.append(rows)


def measure(by: str, folder: Path, views: list[View]) -> Measured:
    """Measure one way in this process."""
    join = {"ours": by_feast, "lake": by_feast, "stock": by_feast, "polars": by_polars, "duckdb": by_duckdb}[by](
        by, folder, views
    )
    best: tuple[float, float, float] = (float("inf"), 0.0, 0.0)
    process = psutil.Process()
    for repeat in range(REPEATS.get(by, 3)):
        result = None
        before = process.memory_info().rss
        with Peak(process) as peak:
            started, cpu = time.perf_counter(), time.process_time()
            result, feast = join()
            best = min(best, (time.perf_counter() - started, time.process_time() - cpu, feast))
        if repeat == 0:
            # Later repeats reuse what the allocators kept.
            growth = peak.bytes - before
    table = result if isinstance(result, pa.Table) else result.to_arrow()
    check = [
        number
        for view in views
        for name in view.features
        for number in (
            table[name].null_count,
            pc.sum(pc.if_else(pc.is_nan(table[name]), None, table[name])).as_py() or 0,
        )
    ]
    size = sum(table[name].nbytes for name in table.column_names)
    started = time.perf_counter()
    if by in ("ours", "lake", "stock"):
        table.to_pandas()
    return Measured(best[0], best[1], best[2], time.perf_counter() - started, growth, size, check)


class Peak:
    """The largest resident memory of a process while the block runs, looked at every few milliseconds."""

    def __init__(self, process: psutil.Process) -> None:
        self.bytes, self._process, self._done = 0, process, threading.Event()

    def __enter__(self) -> Peak:
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.bytes = max(self.bytes, self._process.memory_info().rss)


Join = Callable[[], tuple[Any, float]]


def by_feast(store_name: str, folder: Path, views: list[View]) -> Join:
    """Through `FeatureStore.get_historical_features(...).to_arrow()`, with our store or Feast's duckdb one.

    Args:
        store_name: `ours` reads the Parquet files, `lake` the lake's tables, `stock` is Feast's duckdb store.
    """
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64

    from perennial.feature_store.offline import LakeOfflineStoreConfig
    from perennial.feature_store.source import LakeSource

    kinds = pq.read_schema(folder / ENTITIES)
    entities = {
        view.key: Entity(
            name=view.key,
            join_keys=[view.key],
            value_type=ValueType.INT64 if pa.types.is_integer(kinds.field(view.key).type) else ValueType.STRING,
        )
        for view in views
    }
    defined = [
        FeatureView(
            name=view.name,
            entities=[entities[view.key]],
            ttl=timedelta(seconds=view.ttl_seconds),
            schema=[Field(name=name, dtype=Float64) for name in view.features],
            source=LakeSource(table=f"bench.{view.name}")
            if store_name == "lake"
            else FileSource(path=str(folder / view.files), timestamp_field="event_timestamp"),
        )
        for view in views
    ]
    definitions = folder / f"definitions_{store_name}.pb"
    definitions.unlink(missing_ok=True)
    store = FeatureStore(
        config=RepoConfig(
            project="benchmark",
            provider="local",
            registry=str(definitions),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store=LakeOfflineStoreConfig() if store_name != "stock" else {"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply([*entities.values(), *defined])
    features = [f"{view.name}:{name}" for view in views for name in view.features]

    def join() -> tuple[pa.Table, float]:
        rows: Any = pq.read_table(folder / ENTITIES)
        rows = rows.to_pandas() if store_name == "stock" else rows
        started = time.perf_counter()
        job = store.get_historical_features(entity_df=rows, features=features)
        construction = time.perf_counter() - started
        inner = Inner(job)
        started = time.perf_counter()
        result = job.to_arrow()
        return result, construction + time.perf_counter() - started - inner.seconds

    return join


class Inner:
    """How long the store's own part of a job takes."""

    def __init__(self, job: Any) -> None:
        self.seconds = 0.0
        compute = type(job)._to_arrow_internal

        def timed(timeout: int | None = None) -> pa.Table:
            started = time.perf_counter()
            result = compute(job, timeout)
            self.seconds = time.perf_counter() - started
            return result

        object.__setattr__(job, "_to_arrow_internal", timed)


def by_polars(_: str, folder: Path, views: list[View]) -> Join:
    """Polars alone."""
    import polars as pl

    def join() -> tuple[pl.DataFrame, float]:
        rows = pl.read_parquet(folder / ENTITIES).sort("event_timestamp")
        for view in views:
            features = pl.read_parquet(folder / view.files, columns=[view.key, "event_timestamp", *view.features])
            rows = rows.join_asof(
                features.sort("event_timestamp"),
                on="event_timestamp",
                by=view.key,
                tolerance=timedelta(seconds=view.ttl_seconds),
                check_sortedness=False,
            )
        return rows, 0.0

    return join


def by_duckdb(_: str, folder: Path, views: list[View]) -> Join:
    """DuckDB alone."""
    import duckdb

    fresh = [
        f"CASE WHEN e.event_timestamp - to_seconds({view.ttl_seconds}) <= {view.name}.event_timestamp"
        f" THEN {view.name}.{name} END AS {name}"
        for view in views
        for name in view.features
    ]
    files = {view: f"{folder / view.files}{'/*' if (folder / view.files).is_dir() else ''}" for view in views}
    joins = [
        f"ASOF LEFT JOIN read_parquet('{files[view]}') {view.name}"
        f" ON e.{view.key} = {view.name}.{view.key} AND e.event_timestamp >= {view.name}.event_timestamp"
        for view in views
    ]
    sql = f"SELECT e.*, {', '.join(fresh)} FROM read_parquet('{folder / ENTITIES}') e {' '.join(joins)}"  # noqa: S608

    def join() -> tuple[pa.Table, float]:
        with duckdb.connect() as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute("SET preserve_insertion_order = false")
            return connection.sql(sql).to_arrow_table(), 0.0

    return join


def flights_data(folder: Path) -> list[View]:
    """The year 2013 by the use case's own transforms: a file of examples, a folder of months for each of four views."""
    sys.path.insert(0, str(Path(__file__).parent))
    import bare
    import polars as pl

    from perennial import discovery

    use_case = discovery.load("flights")
    months = folder / "months"
    months.mkdir(parents=True)
    partitions = list(use_case.first.through(use_case.partition("2013-12")))
    for partition in partitions:
        bare.month(use_case, partition, months)
    names = ("origin_weather", "carrier_lateness", "origin_lateness", "route_lateness")
    tables = {table.name: table for table in use_case.features if table.name in names}
    views = []
    for name, table in tables.items():
        (folder / f"{name}.parquet").mkdir()
        for partition in partitions:
            file = months / f"{name}-{partition}.parquet"
            if file.exists():
                pq.write_table(pq.read_table(file), folder / f"{name}.parquet" / file.name)
        schema = pq.read_schema(months / f"{name}-{partitions[0]}.parquet")
        features = tuple(field.name for field in schema if pa.types.is_floating(field.type))
        views.append(View(name, table.key[0], features, bare.TTL[name].total_seconds()))
    columns = ["flight_id", "event_timestamp", *dict.fromkeys(view.key for view in views)]
    examples = pl.concat(pl.read_parquet(months / f"examples-{partition}.parquet") for partition in partitions)
    entities = examples.select(columns).to_arrow(compat_level=pl.CompatLevel.oldest())
    text = [
        pa.field(field.name, pa.string() if pa.types.is_large_string(field.type) else field.type)
        for field in entities.schema
    ]
    pq.write_table(entities.cast(pa.schema(text)), folder / ENTITIES)
    return views


def synthetic_data(folder: Path, count: int) -> list[View]:
    """`count` entity rows in no order, and three views of a tenth of that: few keys have most of the rows."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    year = 365 * 86_400 * 1_000_000
    start = 1_356_998_400_000_000

    def times(size: int) -> pa.Array:
        return pa.array(random.integers(start, start + year, size), pa.timestamp("us", "UTC"))

    def keys(size: int, distinct: int) -> np.ndarray:
        return np.minimum((random.pareto(1.2, size) * distinct / 1_000).astype(np.int64), distinct - 1)

    sizes = {"user": 50_000, "item": 20_000, "shop": 1_000}
    columns = {name: keys(count, distinct) for name, distinct in sizes.items()}
    label = random.integers(0, 2, count)
    pq.write_table(pa.table({**columns, "event_timestamp": times(count), "label": label}), folder / ENTITIES)
    views = []
    for name, distinct in sizes.items():
        size = count // 10
        features = tuple(f"{name}_{number}" for number in range(4))
        values = {feature: random.normal(size=size) for feature in features}
        table = pa.table({name: keys(size, distinct), "event_timestamp": times(size), **values})
        pq.write_table(table.sort_by("event_timestamp"), folder / f"{name}_view.parquet")
        views.append(View(f"{name}_view", name, features, TTL.total_seconds()))
    return views


def head(folder: Path, count: int) -> Path:
    """A folder with the same views and only so many entity rows."""
    smaller = folder / f"first-{count}"
    smaller.mkdir()
    for view in folder.glob("*.parquet"):
        if view.name != ENTITIES:
            (smaller / view.name).symlink_to(view)
    pq.write_table(pq.read_table(folder / ENTITIES).slice(0, count), smaller / ENTITIES)
    return smaller


if __name__ == "__main__":
    if sys.argv[1:2] in (["--one"], ["--fill-lake"]):
        _, mode, where, described, *by = sys.argv
        listed = [View(**{**view, "features": tuple(view["features"])}) for view in json.loads(described)]
        if mode == "--one":
            print(json.dumps(asdict(measure(by[0], Path(where), listed))))
        else:
            fill_lake(Path(where), listed)
    else:
        main("small" in sys.argv, "no-stock" not in sys.argv)
