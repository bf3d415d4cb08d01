"""Entity rows in all their forms: frames, files, SELECT statements, and none at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from feature_cases import Repository

from perennial.errors import BadFeatures
from perennial.feature_store import repository

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)

DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field, ValueType
from feast.types import Int64

from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.STRING)
car = Entity(name="car", join_keys=["car_id"], value_type=ValueType.INT64)
hour = timedelta(hours=1)


def view(name, entities, ttl=hour):
    return FeatureView(
        name="{name}_" + name,
        entities=entities,
        ttl=ttl,
        schema=[Field(name=name, dtype=Int64)],
        source=LakeSource(table="{name}." + name),
    )


trips = view("trips", [driver])
stars = view("stars", [driver])
miles = view("miles", [car])
mood = view("mood", [])
"""


def at(*minutes: int) -> pa.Array:
    return pa.array([NOON + timedelta(minutes=minute) for minute in minutes], pa.timestamp("us", "UTC"))


@pytest.fixture(scope="module")
def repo(shared_repo: Repository) -> Repository:
    repo = shared_repo
    repo.write("trips", driver_id=["a", "b", "a"], event_timestamp=at(0, 10, 30), trips=[1, 2, 3])
    repo.write("stars", driver_id=["a", "a"], event_timestamp=at(5, 30), stars=[4, 5])
    repo.write("miles", car_id=[7], event_timestamp=at(0), miles=[100])
    repo.write("mood", event_timestamp=at(-5), mood=[9])
    repo.write("drives", driver_id=["b", "a", "a", None], event_timestamp=at(20, 40, 0, 0))
    repo.define(DEFINITIONS)
    repository.apply_if_changed()
    return repo


@pytest.fixture
def store(repo: Repository) -> FeatureStore:
    return repository.open_store()


def trips(store: FeatureStore, repo: Repository, entities: object) -> dict[tuple, int | None]:
    job = store.get_historical_features(entity_df=entities, features=[f"{repo.name}_trips:trips"])
    joined = job.to_arrow()
    keys = zip(joined["driver_id"].to_pylist(), joined["event_timestamp"].to_pylist(), strict=True)
    return dict(zip(keys, joined["trips"].to_pylist(), strict=True))


EXPECTED = {("b", 20): 2, ("a", 40): 3, ("a", 0): 1, (None, 0): None}


def expected() -> dict[tuple, int | None]:
    return {(name, NOON + timedelta(minutes=minute)): value for (name, minute), value in EXPECTED.items()}


def drives() -> pa.Table:
    return pa.table({"driver_id": ["b", "a", "a", None], "event_timestamp": at(20, 40, 0, 0)})


@pytest.mark.parametrize("form", [pa.Table.to_pandas, pl.DataFrame, lambda rows: pl.DataFrame(rows).lazy()])
def test_frames_of_every_kind(store: FeatureStore, repo: Repository, form) -> None:
    assert trips(store, repo, form(drives())) == expected()


def test_a_select_over_a_table_of_the_lake(store: FeatureStore, repo: Repository) -> None:
    sql = f"WITH chosen AS (SELECT * FROM {repo.name}.drives) SELECT driver_id, event_timestamp FROM chosen"  # noqa: S608
    assert trips(store, repo, sql) == expected()


def test_a_query_of_nothing_gives_no_rows(store: FeatureStore, repo: Repository) -> None:
    sql = f"SELECT driver_id, event_timestamp FROM {repo.name}.drives WHERE driver_id = 'nobody'"  # noqa: S608
    assert trips(store, repo, sql) == {}
    job = store.get_historical_features(entity_df=sql, features=[f"{repo.name}_trips:trips"])
    assert [batch.num_rows for batch in job.to_arrow_batches()] == [0]


def test_a_parquet_file_and_a_folder_of_them(store: FeatureStore, repo: Repository, tmp_path: Path) -> None:
    pq.write_table(drives().slice(0, 2), tmp_path / "one.parquet")
    pq.write_table(drives().slice(2), tmp_path / "two.parquet")
    assert len(trips(store, repo, str(tmp_path / "one.parquet"))) == 2
    assert trips(store, repo, str(tmp_path)) == expected()


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("DROP TABLE {name}.drives", "Only SELECT"),
        ("SELECT 1; SELECT 2", "not several"),
        ("SELECT * FROM read_parquet('/etc/passwd')", "read_parquet"),
        ("SELECT * FROM '/etc/passwd'", "neither a table of the lake"),
        ("SELECT * FROM {name}.drives WHERE 1 IN (SELECT 1 FROM read_csv('/etc/passwd'))", "read_csv"),
        ("SELECT * FROM system.information_schema.tables", "another database"),
        ("SELECT * FROM {name}.nothing", "neither a table of the lake"),
        ("SELECT content FROM {name}.drives", "query for entity rows failed"),
        ("SELEC", "syntax error"),
    ],
)
def test_a_query_reads_named_tables_and_nothing_else(
    store: FeatureStore, repo: Repository, sql: str, complaint: str
) -> None:
    with pytest.raises(BadFeatures, match=complaint):
        trips(store, repo, sql.replace("{name}", repo.name) + " ")


def test_without_entity_rows_each_row_at_its_own_time(store: FeatureStore, repo: Repository) -> None:
    job = store.get_historical_features(
        features=[f"{repo.name}_{name}:{name}" for name in ("trips", "stars", "mood")],
        start_date=NOON,
        end_date=NOON + timedelta(minutes=30),
    )
    joined = job.to_arrow()
    rows = [tuple(row.values()) for row in joined.to_pylist()]
    assert joined.column_names == ["event_timestamp", "driver_id", "trips", "stars", "mood"]
    assert [(row[1], (row[0] - NOON) // timedelta(minutes=1), *row[2:]) for row in rows] == [
        ("a", 0, 1, None, 9),
        ("a", 5, 1, 4, 9),
        ("b", 10, 2, None, 9),
        ("a", 30, 3, 5, 9),
    ]


def test_views_of_different_entities_need_entity_rows(store: FeatureStore, repo: Repository) -> None:
    features = [f"{repo.name}_{name}:{name}" for name in ("trips", "miles")]
    with pytest.raises(BadFeatures, match="Without entity rows it is undefined which driver_id goes with which car_id"):
        store.get_historical_features(features=features, start_date=NOON, end_date=NOON)


def test_something_else_is_refused_by_its_type(store: FeatureStore, repo: Repository) -> None:
    with pytest.raises(BadFeatures, match="Entity rows cannot be a dict"):
        trips(store, repo, {"driver_id": ["a"]})
