"""The offline store, asked the ways Feast's users ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore
from feature_cases import Repository

from perennial.errors import BadFeatures
from perennial.feature_store import repository

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)

DEFINITIONS = """
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
stats = FeatureView(
    name="{name}_stats",
    entities=[driver],
    ttl=timedelta(hours=1),
    schema=[Field(name="trips", dtype=Int64), Field(name="rating", dtype=Float64)],
    source=LakeSource(
        table="{name}.stats",
        timestamp_field="seen_at",
        created_timestamp_column="written_at",
        field_mapping={"stars": "rating"},
    ),
)
town = FeatureView(
    name="{name}_town",
    entities=[],
    ttl=timedelta(0),
    schema=[Field(name="mood", dtype=String)],
    source=LakeSource(table="{name}.town"),
)


@on_demand_feature_view(
    sources=[stats, RequestSource(name="{name}_request", schema=[Field(name="bonus", dtype=Float64)])],
    schema=[Field(name="total", dtype=Float64)],
)
def {name}_totals(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"total": inputs["rating"] + inputs["bonus"]})


service = FeatureService(name="{name}", features=[stats, town, {name}_totals])
"""


def at(*minutes: int, zone: str = "UTC", unit: str = "us") -> pa.Array:
    return pa.array([NOON + timedelta(minutes=minute) for minute in minutes]).cast(pa.timestamp(unit, zone))


@pytest.fixture(scope="module")
def repo(shared_repo: Repository) -> Repository:
    repo = shared_repo
    repo.write(
        "stats",
        driver_id=[1, 1, 2, 1],
        seen_at=at(0, 30, 0, 30),
        written_at=at(0, 31, 0, 50),
        trips=[10, 20, None, 30],
        stars=[1.0, 2.0, 3.0, 4.0],
    )
    repo.write("town", event_timestamp=at(-9999, 20), mood=["calm", "busy"])
    repo.define(DEFINITIONS)
    repository.apply_if_changed()
    return repo


@pytest.fixture
def store(repo: Repository) -> FeatureStore:
    return repository.open_store()


def rating(store: FeatureStore, repo: Repository, entities: object, **options: object) -> list[float | None]:
    job = store.get_historical_features(entity_df=entities, features=[f"{repo.name}_stats:rating"], **options)
    return job.to_arrow()["rating"].to_pylist()


def test_a_mapped_field_and_the_newest_written_of_two_rows(store: FeatureStore, repo: Repository) -> None:
    entities = pa.table({"driver_id": [1, 1, 2], "event_timestamp": at(29, 30, 5)})
    assert rating(store, repo, entities) == [1.0, 4.0, 3.0]


def test_rows_written_later_are_not_seen_if_asked_so(store: FeatureStore, repo: Repository) -> None:
    entities = pa.table({"driver_id": [1, 1, 1], "event_timestamp": at(30, 49, 50)})
    assert rating(store, repo, entities, filter_by_created_timestamp=True) == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_any_time_zone_and_unit(store: FeatureStore, repo: Repository, zone: str, unit: str) -> None:
    entities = pa.table({"driver_id": [1, 1], "event_timestamp": at(90, 91, zone=zone, unit=unit)})
    assert rating(store, repo, entities) == [4.0, None]
    assert rating(store, repo, entities.to_pandas()) == [4.0, None]


def test_times_without_zone_are_utc_and_text_is_read(store: FeatureStore, repo: Repository) -> None:
    naive = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON.replace(tzinfo=None)]})
    text = pa.table({"driver_id": [1, 1], "event_timestamp": ["2013-01-01T12:00:00Z", "2013-01-01T11:59:59Z"]})
    assert rating(store, repo, naive) == [1.0]
    assert rating(store, repo, text) == [1.0, None]


def test_keys_of_other_number_types(store: FeatureStore, repo: Repository) -> None:
    for keys in ([1, 2, None], [1.0, 2.0, float("nan")], [1.0, 2.0, 1.5]):
        entities = pd.DataFrame({"driver_id": keys, "event_timestamp": [NOON] * 3})
        assert rating(store, repo, entities) == [1.0, 3.0, None]
    with pytest.raises(BadFeatures, match="Join key 'driver_id' is string in the entity rows but int64"):
        rating(store, repo, pa.table({"driver_id": ["1"], "event_timestamp": at(0)}))


def test_pandas_rows_keep_their_order_and_duplicates(store: FeatureStore, repo: Repository) -> None:
    entities = pd.DataFrame({"driver_id": [2, 1, 2, 9], "event_timestamp": [NOON] * 4}, index=[7, 7, 1, 0])
    job = store.get_historical_features(
        entity_df=entities, features=[f"{repo.name}_stats:trips"], full_feature_names=True
    )
    frame = job.to_df()
    assert frame["driver_id"].tolist() == [2, 1, 2, 9]
    assert job.to_arrow()[f"{repo.name}_stats__trips"].to_pylist() == [None, 10, None, None]


def test_a_service_with_an_entityless_and_an_on_demand_view(store: FeatureStore, repo: Repository) -> None:
    entities = pa.table({"driver_id": [1, 7], "event_timestamp": at(0, 25), "bonus": [0.5, 0.5]})
    rows = repository.historical_features(repo.name, entities)
    assert rows["mood"].to_pylist() == ["calm", "busy"]
    assert rows["total"].to_pylist()[0] == 1.5
    assert rows[f"{repo.name}_town__event_timestamp"].to_pylist()[1] == NOON + timedelta(minutes=20)
    assert repository.feature_names(repo.name) == ["trips", "rating", "mood", "total"]
    assert set(repository.lake_tables(repo.name)) == {f"{repo.name}_stats", f"{repo.name}_town"}
    assert repository.request_columns(repo.name) == ["bonus"]
    repository.materialize(repo.name, NOON - timedelta(days=30), NOON + timedelta(hours=1))
    online = repository.online_features(repo.name, [{"driver_id": 1, "bonus": 1.0}])[0]
    assert (online["rating"], online["trips"], online["total"]) == (4.0, 30, 5.0)


def test_no_rows_give_no_rows(store: FeatureStore, repo: Repository) -> None:
    entities = pa.table({"driver_id": pa.array([], pa.int64()), "event_timestamp": at()})
    assert rating(store, repo, entities) == []


def test_everything_in_a_range_and_the_newest_of_each(store: FeatureStore, repo: Repository) -> None:
    names = {"join_key_columns": ["driver_id"], "feature_name_columns": ["stars"], "timestamp_field": "seen_at"}
    times = {"created_timestamp_column": "written_at", "start_date": NOON, "end_date": NOON + timedelta(minutes=30)}
    offline = store.provider.offline_store
    source = store.get_feature_view(f"{repo.name}_stats").batch_source
    everything = offline.pull_all_from_table_or_query(store.config, source, **names, **times).to_arrow()
    assert sorted(everything["stars"].to_pylist()) == [1.0, 2.0, 3.0, 4.0]
    newest = offline.pull_latest_from_table_or_query(store.config, source, **names, **times).to_arrow()
    assert sorted(newest["stars"].to_pylist()) == [3.0, 4.0]


def test_a_missing_timestamp_column_is_an_error(store: FeatureStore, repo: Repository) -> None:
    with pytest.raises(BadFeatures, match="no column 'event_timestamp'"):
        rating(store, repo, pa.table({"driver_id": [1]}))
