"""What Feast writes: pushed rows, saved datasets, logs of served features. Doing it twice is doing it once."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from feast.data_source import PushMode
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import FeatureServiceLoggingSource
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feature_cases import Repository

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store import repository
from perennial.feature_store.destinations import SavedDatasetLakeStorage
from perennial.feature_store.storage.writing import PUSHED

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)

DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.types import Int64

from perennial.feature_store.destinations import LakeLoggingDestination
from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.STRING)


def view(name, source):
    return FeatureView(
        name="{name}_" + name,
        entities=[driver],
        ttl=timedelta(hours=1),
        schema=[Field(name="trips", dtype=Int64)],
        source=source,
    )


stats = view(
    "stats",
    PushSource(
        name="{name}_push",
        batch_source=LakeSource(table="{name}.stats", created_timestamp_column="written_at"),
    ),
)
plain = view("plain", LakeSource(table="{name}.plain"))
one = view("one", FileSource(name="{name}_one", path="{folder}/one.parquet", timestamp_field="event_timestamp"))
many = view("many", FileSource(name="{name}_many", path="{folder}/many", timestamp_field="event_timestamp"))
service = FeatureService(
    name="{name}", features=[plain], logging_config=LoggingConfig(LakeLoggingDestination(table="{name}.logs"))
)
filed = FeatureService(
    name="{name}_filed",
    features=[plain],
    logging_config=LoggingConfig(FileLoggingDestination(path="{folder}/logs", partition_by=["__log_date"])),
)
"""


def at(*minutes: float) -> pa.Array:
    return pa.array([NOON + timedelta(minutes=minute) for minute in minutes], pa.timestamp("us", "UTC"))


def rows(trips: int, minute: float = 0) -> pa.Table:
    return pa.table({"driver_id": ["a"], "event_timestamp": at(minute), "trips": [trips]})


@pytest.fixture(scope="module")
def repo(shared_repo: Repository) -> Repository:
    shared_repo.define(DEFINITIONS.replace("{folder}", str(shared_repo.folder)))
    repository.apply_if_changed()
    return shared_repo


@pytest.fixture
def store(repo: Repository) -> FeatureStore:
    """Each source holds one row again, and nothing that was pushed."""
    shutil.rmtree(repo.folder / "many", ignore_errors=True)
    (repo.folder / "many").mkdir()
    pq.write_table(rows(1), repo.folder / "one.parquet")
    pq.write_table(rows(1), repo.folder / "many" / "first.parquet")
    repo.write("plain", driver_id=["a"], event_timestamp=at(0), trips=[1])
    repo.write("plain", f"{PUSHED}2013-01-01", **rows(1).slice(0, 0).to_pydict() | {"event_timestamp": at()})
    repo.write("stats", driver_id=["a"], event_timestamp=at(0), written_at=at(1), trips=[1])
    return repository.open_store()


def trips(store: FeatureStore, repo: Repository, view: str, minute: float = 30) -> int | None:
    entities = pa.table({"driver_id": ["a"], "event_timestamp": at(minute)})
    job = store.get_historical_features(entity_df=entities, features=[f"{repo.name}_{view}:trips"])
    return job.to_arrow()["trips"].to_pylist()[0]


@pytest.mark.parametrize("view", ["plain", "one", "many"])
def test_pushed_rows_are_seen_and_pushing_again_changes_nothing(
    store: FeatureStore, repo: Repository, view: str
) -> None:
    def stored() -> int:
        source = store.get_feature_view(f"{repo.name}_{view}").batch_source
        job = store.provider.offline_store.pull_all_from_table_or_query(
            store.config, source, ["driver_id"], ["trips"], "event_timestamp"
        )
        return job.to_arrow().num_rows

    for _ in range(2):
        store.write_to_offline_store(f"{repo.name}_{view}", rows(7, 10).to_pandas())
        assert trips(store, repo, view) == 7
        assert trips(store, repo, view, 9) == 1
        assert stored() == 2


def test_of_rows_with_one_key_and_time_the_last_stays(store: FeatureStore, repo: Repository) -> None:
    for value in (9, 7):
        store.write_to_offline_store(f"{repo.name}_plain", rows(value, 10).to_pandas())
    assert trips(store, repo, "plain") == 7


def test_a_push_keeps_corrections_by_time_of_writing(store: FeatureStore, repo: Repository) -> None:
    pushed = pd.DataFrame(
        {"driver_id": ["a"], "event_timestamp": [NOON], "written_at": [NOON + timedelta(minutes=20)], "trips": [5]}
    )
    store.push(f"{repo.name}_push", pushed, to=PushMode.OFFLINE)
    assert trips(store, repo, "stats") == 5
    assert lake.read(f"{repo.name}.stats").num_rows == 2
    entities = pa.table({"driver_id": ["a", "a"], "event_timestamp": at(19, 20)})
    job = store.get_historical_features(
        entity_df=entities, features=[f"{repo.name}_stats:trips"], filter_by_created_timestamp=True
    )
    assert job.to_arrow()["trips"].to_pylist() == [1, 5]


def test_what_a_pipeline_replaces_is_not_what_was_pushed(store: FeatureStore, repo: Repository) -> None:
    store.write_to_offline_store(f"{repo.name}_plain", rows(7, 10).to_pandas())
    repo.write("plain", driver_id=["a"], event_timestamp=at(0), trips=[2])
    assert trips(store, repo, "plain") == 7
    assert trips(store, repo, "plain", 9) == 2


def test_rows_without_time_or_of_wrong_type_are_rejected(store: FeatureStore, repo: Repository) -> None:
    untimed = pd.DataFrame({"driver_id": ["a"], "event_timestamp": [pd.NaT], "trips": [1]})
    with pytest.raises(BadFeatures, match="1 of the rows to write have no 'event_timestamp'"):
        store.write_to_offline_store(f"{repo.name}_plain", untimed)
    unfit = pd.DataFrame({"driver_id": ["a"], "event_timestamp": [NOON], "trips": ["many"]})
    with pytest.raises(BadFeatures, match="do not fit column 'trips', int64"):
        store.write_to_offline_store(f"{repo.name}_plain", unfit)


@pytest.mark.parametrize("kind", ["lake", "file", "folder"])
def test_a_saved_dataset_is_overwritten_only_if_asked(store: FeatureStore, repo: Repository, kind: str) -> None:
    storage = {
        "lake": SavedDatasetLakeStorage(f"{repo.name}.saved"),
        "file": SavedDatasetFileStorage(str(repo.folder / "saved.parquet")),
        "folder": SavedDatasetFileStorage(str(repo.folder / "saved")),
    }[kind]

    def save(minutes: tuple[int, ...], **options: bool) -> list[int | None]:
        entities = pa.table({"driver_id": ["a"] * len(minutes), "event_timestamp": at(*minutes)})
        job = store.get_historical_features(entity_df=entities, features=[f"{repo.name}_plain:trips"])
        store.create_saved_dataset(job, f"{repo.name}_saved", storage, **options)
        return store.get_saved_dataset(f"{repo.name}_saved").to_arrow()["trips"].to_pylist()

    assert save((-5, 5)) == [None, 1]
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        save((5,))
    assert save((5,), allow_overwrite=True) == [1]


@pytest.mark.parametrize("as_files", [False, True])
@pytest.mark.parametrize("service", ["", "_filed"])
def test_logs_of_served_features_are_kept_once(
    store: FeatureStore, repo: Repository, tmp_path: Path, service: str, as_files: bool
) -> None:
    feature_service = store.get_feature_service(f"{repo.name}{service}")
    source = FeatureServiceLoggingSource(feature_service, store.project)
    schema = source.get_schema(store.registry)

    def logs(request: str, minute: int) -> pa.Table | Path:
        values = dict.fromkeys(schema.names) | {
            "driver_id": "a",
            f"{repo.name}_plain__trips": 3,
            "__log_timestamp": NOON + timedelta(minutes=minute),
            "__log_date": NOON.date(),
            "__request_id": request,
        }
        table = pa.Table.from_pylist([values], schema=schema)
        if not as_files:
            return table
        folder = tmp_path / request
        folder.mkdir(exist_ok=True)
        pq.write_table(table, folder / "0.parquet")
        return folder

    for _ in range(2):
        store.write_logged_features(logs("one", 1), feature_service)
        store.write_logged_features(logs("two", 2), feature_service)
    job = store.provider.retrieve_feature_service_logs(
        feature_service, NOON, NOON + timedelta(hours=1), store.config, store.registry
    )
    kept = job.to_arrow().sort_by("__request_id")
    assert kept["__request_id"].to_pylist() == ["one", "two"]
    assert kept[f"{repo.name}_plain__trips"].to_pylist() == [3, 3]
    assert [str(day) for day in kept["__log_date"].to_pylist()] == ["2013-01-01"] * 2
