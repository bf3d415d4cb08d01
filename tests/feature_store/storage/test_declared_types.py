"""Views whose table has outgrown the type that they declare."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
from feature_cases import DEFINITIONS, Repository
from online_cases import NOON

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store import repository
from perennial.feature_store.storage import lake_dataset

HOUR = timedelta(hours=1)
NARROW = DEFINITIONS.replace("Float64", "Float32").replace("Int64", "Int32")


def write(repo: Repository, driver: str, minute: int, trips: object, rating: object) -> None:
    """A partition of one row."""
    moment = pa.array([NOON + timedelta(minutes=minute)], pa.timestamp("us", "UTC"))
    repo.write("stats", f"2013-{minute:02}", driver_id=[driver], event_timestamp=moment, trips=trips, rating=rating)


@pytest.fixture
def narrow(repo: Repository) -> Repository:
    """A view that declares 32 bits, registered while its table has them too, and one row of it."""
    write(repo, "a", 1, pa.array([7], pa.int32()), pa.array([0.5], pa.float32()))
    repo.define(NARROW)
    repository.apply_if_changed()
    return repo


def retrieved(repo: Repository, drivers: list[str]) -> pa.Table:
    entities = pa.table({"driver_id": drivers, "event_timestamp": [NOON + HOUR / 2] * len(drivers)})
    names = [f"{repo.name}_stats:{name}" for name in ("trips", "rating")]
    return repository.open_store().get_historical_features(entity_df=entities, features=names).to_arrow()


def test_values_that_fit_are_retrieved_in_the_declared_type(narrow: Repository) -> None:
    write(narrow, "b", 2, [2**40], [0.5])
    trips = retrieved(narrow, ["a"])["trips"]
    assert (trips.type, trips.to_pylist()) == (pa.int32(), [7])


def test_a_value_that_does_not_fit_is_not_retrieved(narrow: Repository) -> None:
    write(narrow, "b", 2, [2**40], [0.5])
    with pytest.raises(BadFeatures, match=f"{narrow.name}_stats' declares 'trips' as Int32, and its table holds int64"):
        retrieved(narrow, ["a", "b"])


def test_values_that_fit_go_online_in_the_declared_type(narrow: Repository) -> None:
    write(narrow, "b", 2, [2**40], [0.5])
    repository.materialize(narrow.name, NOON, NOON + timedelta(minutes=2))
    assert repository.online_features(narrow.name, [{"driver_id": "a"}])[0]["trips"] == 7


@pytest.mark.parametrize(("trips", "rating", "wrong"), [(2**40, 0.5, "'trips' as Int32"), (1, 1e300, "'rating'")])
def test_a_value_that_does_not_fit_does_not_go_online(
    narrow: Repository, trips: int, rating: float, wrong: str
) -> None:
    write(narrow, "b", 2, [trips], [rating])
    with pytest.raises(BadFeatures, match=f"_stats' declares {wrong}"):
        repository.materialize(narrow.name, NOON, NOON + HOUR)


def test_a_view_narrower_than_its_table_cannot_be_applied(narrow: Repository) -> None:
    write(narrow, "b", 2, [2**40], [0.5])
    narrow.define(f"{NARROW}\n# edited")
    with pytest.raises(BadFeatures, match=r"declares 'trips' as Int32, but lake table .* holds long"):
        repository.apply_if_changed()


def test_a_view_of_the_wider_type_gives_old_and_new_values(narrow: Repository) -> None:
    write(narrow, "b", 2, [2**40], [0.1])
    narrow.define()
    repository.apply_if_changed()
    table = retrieved(narrow, ["a", "b"])
    assert (table["trips"].to_pylist(), table["rating"].to_pylist()) == ([7, 2**40], [0.5, 0.1])


def test_a_promoted_table_is_still_read_file_by_file(narrow: Repository) -> None:
    write(narrow, "b", 2, [2**40], [0.1])
    dataset = lake_dataset.open_dataset(f"{narrow.name}.stats", "event_timestamp")
    assert [str(file).endswith(".parquet") for file in dataset.files] == [True, True]  # type: ignore[union-attr]
    assert dataset.to_table().sort_by("trips")["trips"].to_pylist() == [7, 2**40]


def test_an_older_snapshot_gives_the_values_and_the_type_of_then(narrow: Repository) -> None:
    table = f"{narrow.name}.stats"
    before = lake.snapshot(table)
    write(narrow, "b", 2, [2**40], [0.1])
    rows = lake_dataset.open_dataset(table, "event_timestamp", before).to_table()  # type: ignore[union-attr]
    assert rows["trips"].equals(pa.chunked_array([pa.array([7], pa.int32())]))
