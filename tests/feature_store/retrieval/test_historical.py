"""More rows than memory: time slices, one after another, give what one join of everything gives."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from examples import examples
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.feature_store.offline import LakeOfflineStoreConfig
from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.feature_store.retrieval import historical, requested_view
from perennial.feature_store.retrieval.entity_rows import EntityRows
from perennial.feature_store.retrieval.feature_window import FeatureWindow
from perennial.feature_store.retrieval.point_in_time import newest_known
from perennial.feature_store.retrieval.stored_view import StoredView
from perennial.feature_store.storage.arrow_columns import one_chunk
from perennial.feature_store.storage.scan import Scan

START = datetime(2013, 1, 1, tzinfo=UTC)
MINUTES = st.one_of(st.none(), st.integers(0, 12))
KEYS = st.sampled_from([1, 2, None])
ROWS = st.lists(st.tuples(KEYS, MINUTES, MINUTES, st.integers(0, 3)), max_size=25)
EXAMPLES = st.lists(st.tuples(KEYS, MINUTES), min_size=1, max_size=12)
PUBLICATIONS = st.one_of(
    st.just(AT_ONCE),
    st.builds(
        Publication,
        st.one_of(st.none(), st.integers(1, 8).map(lambda minutes: timedelta(minutes=minutes))),
        st.integers(0, 5).map(lambda minutes: timedelta(minutes=minutes)),
    ),
)
TTL = st.one_of(st.none(), st.integers(1, 8).map(lambda minutes: timedelta(minutes=minutes)))


def moments(minutes: list[int | None], unit: str) -> pa.Array:
    times = [None if minute is None else START + timedelta(minutes=minute) for minute in minutes]
    return pa.array(times, pa.timestamp("us", "UTC")).cast(pa.timestamp(unit, "UTC"))


@settings(max_examples=examples(300), deadline=None)
@given(ROWS, EXAMPLES, TTL, st.booleans(), st.integers(1, 4), st.sampled_from(["us", "ns"]), PUBLICATIONS)
def test_time_slices_give_what_one_join_gives(
    rows: list,
    examples: list,
    ttl: timedelta | None,
    only_known: bool,
    length: int,
    unit: str,
    publication: Publication,
) -> None:
    keys, events, created, values = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
    stored = pa.table(
        {
            "key": pa.array(keys, pa.int64()),
            "time": moments(events, unit),
            "created": moments(created, unit),
            "value": pa.array(values, pa.int64()),
        }
    )
    scan = Scan(ds.dataset(stored), "a test", "a table")
    view = StoredView(scan, ["key"], ["value"], "time", "created", ttl, only_known, publication)
    entities = EntityRows.of(
        pa.table(
            {
                "key": pa.array([key for key, _ in examples], pa.int64()),
                "event_timestamp": moments([minute for _, minute in examples], unit),
            }
        )
    )

    def seen(some: EntityRows, read: pa.Table) -> list[int | None]:
        features = view.rows(read)
        joined = newest_known(
            some.encoded_keys({"key": pa.int64()}, "v"),
            some.times,
            features,
            ttl=ttl,
            known_at_the_time=only_known,
            publication=publication,
        )
        return one_chunk(read["value"].take(joined)).to_pylist()

    first, last = entities.between()
    window = FeatureWindow(view, first, last, memory=1)
    parts = list(entities.by_time(length))
    joined = [value for part in parts for value in seen(part, window.upto(part.between()[1]))]
    order = entities.time_order().to_pylist()
    at_once = seen(entities, scan.read(view.columns, time="time"))
    assert sorted(order) == list(range(len(examples)))
    assert joined == [at_once[number] for number in order]


def store_in(folder: Path, memory: str) -> FeatureStore:
    """Two views in files below `folder`, of 200 keys and a thousand rows each."""
    random = np.random.default_rng(0)
    views = []
    entity = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    for name, dtype in (("whole", Int64), ("real", Float64)):
        times = [START + timedelta(seconds=int(second)) for second in np.sort(random.integers(0, 86_400, 1_000))]
        values = random.integers(0, 99, 1_000) if dtype is Int64 else random.normal(size=1_000)
        table = pa.table({"key": random.integers(0, 200, 1_000), "event_timestamp": times, name: values})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=100)
        source = FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp")
        views.append(
            FeatureView(
                name=f"{name}_view",
                entities=[entity],
                ttl=timedelta(hours=6),
                schema=[Field(name=name, dtype=dtype)],
                source=source,
            )
        )
    store = FeatureStore(
        config=RepoConfig(
            project="memory",
            provider="local",
            registry=str(folder / f"{memory}_registry.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store=LakeOfflineStoreConfig(memory_limit=memory),
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply([entity, *views])
    return store


FEATURES = ["whole_view:whole", "real_view:real"]


@pytest.fixture
def entities() -> pa.Table:
    random = np.random.default_rng(1)
    times = [START + timedelta(seconds=int(second)) for second in random.integers(0, 86_400, 5_000)]
    return pa.table({"number": range(5_000), "key": random.integers(0, 250, 5_000), "event_timestamp": times})


def test_a_result_in_stretches_is_the_result_in_one(
    tmp_path: Path, entities: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = store_in(tmp_path, "1GiB").get_historical_features(entity_df=entities, features=FEATURES).to_arrow()
    monkeypatch.setattr(historical, "_FEWEST", 300)
    job = store_in(tmp_path, "20KiB").get_historical_features(entity_df=entities, features=FEATURES)
    assert job.to_arrow().combine_chunks().equals(whole.combine_chunks())
    batches = list(job.to_arrow_batches(rows=200))
    assert max(batch.num_rows for batch in batches) == 200
    streamed = pa.Table.from_batches(batches)
    assert streamed["event_timestamp"].to_pylist() == sorted(whole["event_timestamp"].to_pylist())
    assert streamed.sort_by("number").combine_chunks().equals(whole.combine_chunks())


def test_the_keys_of_few_examples_are_pushed_down_to_the_files(
    tmp_path: Path, entities: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = entities.filter(ds.field("key") < 3)
    read: list[int] = []
    scan_read = Scan.read

    def counted(scan: Scan, *columns: object, **bounds: object) -> pa.Table:
        rows = scan_read(scan, *columns, **bounds)
        read.append(rows.num_rows)
        return rows

    monkeypatch.setattr(Scan, "read", counted)
    store = store_in(tmp_path, "1GiB")
    joined = store.get_historical_features(entity_df=few, features=FEATURES).to_arrow()
    with_keys = sum(read)
    monkeypatch.setattr(requested_view, "_FEW", 0)
    assert store.get_historical_features(entity_df=few, features=FEATURES).to_arrow().equals(joined)
    assert 0 < with_keys < (sum(read) - with_keys) / 20


def test_a_result_larger_than_memory_is_exported_in_batches(tmp_path: Path, entities: pa.Table) -> None:
    pq.write_table(entities, tmp_path / "entities.parquet")
    store = store_in(tmp_path, "64MiB")
    store.config.offline_store.staging_location = str(tmp_path / "staging")
    store.config.offline_store.staging_rows = 2_000
    job = store.get_historical_features(entity_df=str(tmp_path / "entities.parquet"), features=FEATURES)
    assert job.supports_remote_storage_export()
    written = job.to_remote_storage()
    assert [pq.read_metadata(file).num_rows for file in written] == [2_000, 2_000, 1_000]
    exported = pa.concat_tables(pq.read_table(file) for file in written).sort_by("number")
    assert exported.combine_chunks().equals(job.to_arrow().sort_by("number").combine_chunks())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not enforce RLIMIT_AS")
def test_a_retrieval_larger_than_the_memory_allowed_does_not_die(tmp_path: Path) -> None:
    rows = 2_000_000
    random = np.random.default_rng(2)
    times = pa.array(np.sort(random.integers(0, 86_400 * 10**6, rows)), pa.timestamp("us", "UTC"))
    columns = {"key": random.integers(0, 200, rows), "event_timestamp": times}
    for number in range(12):
        columns[f"extra{number}"] = random.normal(size=rows)
    pq.write_table(pa.table(columns), tmp_path / "entities.parquet")
    store_in(tmp_path, "1GiB")
    del columns
    script = textwrap.dedent(f"""
        import resource, sys
        sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2] / "support")!r}]
        from pathlib import Path
        from test_historical import FEATURES, store_in
        import duckdb, polars, psutil
        store = store_in(Path({str(tmp_path)!r}), "200MiB")
        entities = str(Path({str(tmp_path)!r}) / "entities.parquet")
        features = store.get_historical_features(entity_df=entities, features=FEATURES)
        allowed = psutil.Process().memory_info().vms + (1400 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
        count = sum(batch.num_rows for batch in features.to_arrow_batches())
        # Not `ru_maxrss`, which a process takes over from the one that started it.
        [peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
        print(count, int(peak) // 1024)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    count, peak = map(int, done.stdout.split())
    assert count == rows
    # In one piece it takes 750 MB beside the 250 MB of the libraries; by time slices it is half of that.
    assert peak < 800
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
