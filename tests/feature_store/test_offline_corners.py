"""Where offline stores go wrong: equal rows, edges, null keys, integers with nulls, names that collide, S3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Int64
from pyarrow import fs

from perennial.errors import BadFeatures
from perennial.feature_store.offline import LakeOfflineStoreConfig

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
BIG = 2**53 + 1


def at(*seconds: float, unit: str = "us", zone: str | None = "UTC") -> pa.Array:
    moments = pa.array([NOON + timedelta(seconds=second) for second in seconds], pa.timestamp("us", "UTC"))
    return moments.cast(pa.timestamp(unit, zone)) if zone else moments.cast(pa.timestamp(unit))


def store_of(
    folder: Path, *sources: FileSource, ttl: timedelta = timedelta(minutes=1), **config: object
) -> FeatureStore:
    """A view `v<number>` of each source, with the feature `trips`."""
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=f"v{number}", entities=[driver], ttl=ttl, schema=[Field(name="trips", dtype=Int64)], source=source
        )
        for number, source in enumerate(sources)
    ]
    store = FeatureStore(
        config=RepoConfig(
            project="corners",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store=LakeOfflineStoreConfig(**config),
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply([driver, *views])
    return store


def source(folder: Path, rows: pa.Table, name: str = "rows", **options: object) -> FileSource:
    pq.write_table(rows, folder / f"{name}.parquet")
    return FileSource(name=name, path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp", **options)


def trips(store: FeatureStore, seconds: pa.Array, keys: list[int | None] | None = None) -> pa.ChunkedArray:
    entities = pa.table({"driver_id": pa.array(keys or [1] * len(seconds), pa.int64()), "event_timestamp": seconds})
    return store.get_historical_features(entity_df=entities, features=["v0:trips"]).to_arrow()["trips"]


def rows(**columns: object) -> pa.Table:
    return pa.table(columns)


def test_equal_entity_rows_all_come_back_with_the_same_row(tmp_path: Path) -> None:
    stored = rows(driver_id=[1, 1, 1], event_timestamp=at(0, 0, 0), trips=[2, 3, 1])
    for order in ([0, 1, 2], [2, 1, 0]):
        store = store_of(tmp_path, source(tmp_path, stored.take(order)))
        assert trips(store, at(5, 5, 5)).to_pylist() == [3, 3, 3]


def test_the_edge_of_the_ttl_to_the_microsecond(tmp_path: Path) -> None:
    store = store_of(tmp_path, source(tmp_path, rows(driver_id=[1], event_timestamp=at(0), trips=[7])))
    assert trips(store, at(-0.000001, 0, 60, 60.000001)).to_pylist() == [None, 7, 7, None]


def test_nanoseconds_are_distinguished(tmp_path: Path) -> None:
    nanos = pa.timestamp("ns", "UTC")
    base = int(NOON.timestamp()) * 10**9
    stored = rows(driver_id=[1, 1], event_timestamp=pa.array([base, base + 5], nanos), trips=[1, 2])
    store = store_of(tmp_path, source(tmp_path, stored))
    moments = pa.array([base - 1, base + 4, base + 5, base + 60 * 10**9 + 5, base + 60 * 10**9 + 6], nanos)
    assert trips(store, moments).to_pylist() == [None, 1, 2, 2, None]


@pytest.mark.parametrize(("unit", "zone"), [("ms", None), ("us", "Asia/Kolkata"), ("ns", "America/New_York")])
def test_files_keep_time_in_any_unit_and_zone(tmp_path: Path, unit: str, zone: str | None) -> None:
    stored = rows(driver_id=[1], event_timestamp=at(0, unit=unit, zone=zone), trips=[7])
    store = store_of(tmp_path, source(tmp_path, stored))
    assert trips(store, at(-1, 0, 60, 61)).to_pylist() == [None, 7, 7, None]


def test_null_keys_unknown_keys_and_early_rows_see_nothing(tmp_path: Path) -> None:
    stored = rows(driver_id=[1, None], event_timestamp=at(0, 0), trips=[7, 8])
    store = store_of(tmp_path, source(tmp_path, stored))
    assert trips(store, at(1, 1, 1, -1), [None, 9, 1, 1]).to_pylist() == [None, None, 7, None]


def test_integers_with_nulls_stay_integers(tmp_path: Path) -> None:
    stored = rows(driver_id=[1, 2], event_timestamp=at(0, 0), trips=pa.array([BIG, None], pa.int64()))
    values = trips(store_of(tmp_path, source(tmp_path, stored)), at(1, 1, 1), [1, 2, 3])
    assert values.type == pa.int64()
    assert values.to_pylist() == [BIG, None, None]


def test_late_rows_and_corrections_are_seen_once_written(tmp_path: Path) -> None:
    stored = rows(
        driver_id=[1, 1, 1],
        event_timestamp=at(0, 0, -10),
        created=at(1, 30, 40),
        trips=[1, 2, 9],
    )
    store = store_of(tmp_path, source(tmp_path, stored, created_timestamp_column="created"))
    entities = rows(driver_id=[1, 1, 1, 1], event_timestamp=at(0, 1, 30, 45))
    job = store.get_historical_features(entity_df=entities, features=["v0:trips"], filter_by_created_timestamp=True)
    assert job.to_arrow()["trips"].to_pylist() == [None, 1, 2, 2]
    assert trips(store, entities["event_timestamp"].chunk(0)).to_pylist() == [2, 2, 2, 2]


def test_two_views_with_one_column_name_need_full_names(tmp_path: Path) -> None:
    stored = rows(driver_id=[1], event_timestamp=at(0), trips=[7])
    store = store_of(tmp_path, source(tmp_path, stored, "one"), source(tmp_path, stored, "two"))
    entities = rows(driver_id=[1], event_timestamp=at(0))
    job = store.get_historical_features(entity_df=entities, features=["v0:trips", "v1:trips"], full_feature_names=True)
    assert job.to_arrow().column_names == ["driver_id", "event_timestamp", "v0__trips", "v1__trips"]
    taken = rows(driver_id=[1], event_timestamp=at(0), trips=[0])
    job = store.get_historical_features(entity_df=taken, features=["v0:trips"])
    with pytest.raises(BadFeatures, match="Two columns of the retrieval are called 'trips'"):
        job.to_arrow()


def test_all_forms_of_a_result_agree(tmp_path: Path) -> None:
    store = store_of(tmp_path, source(tmp_path, rows(driver_id=[1], event_timestamp=at(0), trips=[7])))
    entities = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [NOON, NOON]})
    job = store.get_historical_features(entity_df=entities, features=["v0:trips"])
    whole = job.to_arrow()
    assert job.to_polars()["trips"].to_list() == whole["trips"].to_pylist() == [7, None]
    assert pa.Table.from_batches(job.to_arrow_batches()).sort_by("driver_id").equals(whole)
    assert job.to_df()["driver_id"].tolist() == [1, 2]
    with pytest.raises(BadFeatures, match="no SQL statement"):
        job.to_sql()


def test_a_missing_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    gone = FileSource(name="gone", path=str(tmp_path / "gone.parquet"), timestamp_field="event_timestamp")
    with pytest.raises(BadFeatures, match=r"gone\.parquet, which does not exist"):
        trips(store_of(tmp_path, gone), at(0))
    lacking = source(tmp_path, rows(driver_id=[1], event_timestamp=at(0), other=[7]))
    with pytest.raises(BadFeatures, match="Feature view 'v0' names column 'trips'"):
        trips(store_of(tmp_path, lacking), at(0))


@pytest.mark.usefixtures("home")
def test_a_folder_in_s3_is_read_and_written_as_one_on_a_disk(tmp_path: Path, s3_server: str) -> None:
    system = fs.S3FileSystem(endpoint_override=s3_server, scheme="http")
    for number, value in enumerate((7, 8)):
        stored = rows(driver_id=[1], event_timestamp=at(10 * number), trips=[value])
        pq.write_table(stored, f"bucket/rows/{number}.parquet", filesystem=system)
    remote = FileSource(
        name="remote", path="s3://bucket/rows", timestamp_field="event_timestamp", s3_endpoint_override=s3_server
    )
    store = store_of(tmp_path, remote)
    assert trips(store, at(-1, 5, 10)).to_pylist() == [None, 7, 8]
    moment = NOON + timedelta(seconds=5)
    for _ in range(2):
        store.write_to_offline_store("v0", pd.DataFrame({"driver_id": [1], "event_timestamp": [moment], "trips": [9]}))
    assert trips(store, at(4, 5)).to_pylist() == [7, 9]
    assert len(system.get_file_info(fs.FileSelector("bucket/rows"))) == 3
