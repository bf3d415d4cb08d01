"""Served values against the offline store: every type, every moment, and the faults that must be seen."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from examples import examples
from feast.types import Array, Bytes, FeastType, Float32, Float64, Int64, UnixTimestamp
from feature_cases import Repository
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.feature_store import repository
from perennial.feature_store.parity import comparison, served

START, END = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)

TYPED = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Array, Bool, Float32, Float64, Int64, String, UnixTimestamp

from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
stats = FeatureView(
    name="{name}_stats",
    entities=[driver],
    ttl=timedelta(days=30),
    schema=[
        Field(name="trips", dtype=Int64),
        Field(name="rating", dtype=Float64),
        Field(name="score", dtype=Float32),
        Field(name="city", dtype=String),
        Field(name="active", dtype=Bool),
        Field(name="last_trip", dtype=UnixTimestamp),
        Field(name="recent", dtype=Array(Int64)),
    ],
    source=LakeSource(table="{name}.stats"),
)
service = FeatureService(name="{name}", features=[stats])
"""


def at(hour: int, day: int = 10) -> datetime:
    return datetime(2013, 1, day, hour, tzinfo=UTC)


@pytest.fixture
def typed(repo: Repository) -> Repository:
    """Three drivers: one with values of every type, one with a NaN, one with nulls only."""
    repo.define(TYPED)
    repo.write(
        "stats",
        driver_id=pa.array([1, 2, 3], pa.int64()),
        event_timestamp=pa.array([at(1), at(2), at(3)], pa.timestamp("us", tz="UTC")),
        trips=pa.array([2**53 + 1, 7, None], pa.int64()),
        rating=pa.array([0.1, math.nan, None], pa.float64()),
        score=pa.array([0.1, 0.2, None], pa.float64()),
        city=pa.array(["Oslo", "", None], pa.string()),
        active=pa.array([True, False, None], pa.bool_()),
        last_trip=pa.array([at(1, day=9), at(2, day=9), None], pa.timestamp("us", tz="UTC")),
        recent=pa.array([[1, 2], [3], None], pa.list_(pa.int64())),
    )
    repository.apply_if_changed()
    repository.materialize(repo.name, START, END)
    return repo


def read(repo: Repository, *keys: int, until: datetime = END) -> list[served.ServedRow]:
    view = repository.feature_views(repo.name)[f"{repo.name}_stats"]
    return served.read_online(repository.open_store(), view, [{"driver_id": key} for key in keys], until)


def compare(repo: Repository, rows: list[served.ServedRow], **options: Any) -> list[comparison.Difference]:
    view = repository.feature_views(repo.name)[f"{repo.name}_stats"]
    store = repository.open_store(keep_event_timestamps=True)
    return comparison.compare(store, view, rows, **{"known_at_the_time": False} | options)


def test_what_was_materialized_equals_the_lake_in_every_type(typed: Repository) -> None:
    rows = read(typed, 1, 2, 3, 4)
    assert compare(typed, rows) == []


def write_online(repo: Repository, key: int, time: datetime, **values: Any) -> None:
    """Put values online behind the pipeline's back."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    view = repository.feature_views(repo.name)[f"{repo.name}_stats"]
    store = repository.open_store()
    entity = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=key)])
    protos = {name: Value(**{kind: value}) for name, (kind, value) in values.items()}
    store.provider.online_write_batch(store.config, view, [(entity, protos, time, None)], None)


def test_a_difference_has_its_key_both_values_and_both_times(typed: Repository) -> None:
    write_online(typed, 1, at(1), rating=("double_val", 0.25))
    (differences,) = [one for one in compare(typed, read(typed, 1, 3)) if one.feature == "rating"]
    assert (differences.view, differences.key) == (f"{typed.name}_stats", {"driver_id": 1})
    assert (differences.served, differences.offline) == (0.25, 0.1)
    assert (differences.served_time, differences.offline_time) == (at(1), at(1))


def test_an_equal_value_of_another_type_is_a_difference(typed: Repository) -> None:
    write_online(typed, 2, at(2), trips=("double_val", 7.0))
    assert ("trips", 7.0, 7) in [(one.feature, one.served, one.offline) for one in compare(typed, read(typed, 2))]


def test_a_value_where_the_lake_has_null_is_a_difference(typed: Repository) -> None:
    write_online(typed, 3, at(3), city=("string_val", ""))
    (differences,) = compare(typed, read(typed, 3))
    assert (differences.feature, differences.served, differences.offline) == ("city", "", None)


def test_an_equal_value_of_another_time_is_a_difference(typed: Repository) -> None:
    row = read(typed, 1)[0]
    (differences,) = compare(typed, [replace(row, values={"city": "Oslo"}, time=at(5))])
    assert (differences.feature, differences.served_time, differences.offline_time) == ("*", at(5), at(1))


def test_a_store_of_whole_seconds_agrees_with_the_rounded_second(repo: Repository) -> None:
    moment = at(1).replace(microsecond=250_000)
    simple(repo, {1: [(moment, 1.0)]})
    row = served.ServedRow({"driver_id": 1}, at(2), {"rating": 1.0}, at(1))
    assert compare(repo, [row]) == []
    assert compare(repo, [replace(row, time=at(1) + timedelta(seconds=1))]) != []


SIMPLE = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64

from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
stats = FeatureView(
    name="{name}_stats",
    entities=[driver],
    ttl=timedelta(days=20),
    schema=[Field(name="rating", dtype=Float64)],
    source=LakeSource(table="{name}.stats"),
)
service = FeatureService(name="{name}", features=[stats])
"""


History = dict[int, list[tuple[datetime, float | None]]]


def simple(repo: Repository, history: History, partition: str = "2013-01") -> None:
    """Drivers' ratings in the lake, and the definitions applied."""
    if not (repo.folder / "feature_repo" / f"{repo.name}.py").exists():
        repo.define(SIMPLE)
    rows = [(key, time, value) for key, values in history.items() for time, value in values]
    repo.write(
        "stats",
        partition,
        driver_id=pa.array([row[0] for row in rows], pa.int64()),
        event_timestamp=pa.array([row[1] for row in rows], pa.timestamp("us", tz="UTC")),
        rating=pa.array([row[2] for row in rows], pa.float64()),
    )
    repository.apply_if_changed()


def test_rows_that_were_never_materialized_are_missing_online(repo: Repository) -> None:
    simple(repo, {1: [(at(1), 1.0), (at(1, day=20), 2.0)]})
    repository.materialize(repo.name, START, at(0, day=15))
    (differences,) = compare(repo, read(repo, 1))
    assert (differences.served, differences.served_time) == (1.0, at(1))
    assert (differences.offline, differences.offline_time) == (2.0, at(1, day=20))


def test_rows_of_the_lake_not_due_online_are_no_difference(repo: Repository) -> None:
    simple(repo, {1: [(at(1), 1.0), (at(1, day=20), 2.0)]})
    repository.materialize(repo.name, START, at(0, day=15))
    assert compare(repo, read(repo, 1, until=at(0, day=15))) == []


def test_rows_online_early_are_compared_at_their_own_time(repo: Repository) -> None:
    simple(repo, {1: [(at(1), 1.0), (at(1, day=20), 2.0)]})
    repository.materialize(repo.name, START, END)
    (row,) = read(repo, 1, until=at(0, day=15))
    assert row.time == at(1, day=20)
    assert row.at >= row.time
    assert compare(repo, [row]) == []


def test_a_value_past_its_ttl_counts_as_missing_on_both_sides(repo: Repository) -> None:
    simple(repo, {1: [(at(1), 1.0)]})
    repository.materialize(repo.name, START, END)
    (row,) = read(repo, 1)
    assert row.values == {"rating": 1.0}
    assert row.at - row.time > timedelta(days=20)
    assert compare(repo, [row]) == []


def test_an_unknown_key_is_missing_on_both_sides(repo: Repository) -> None:
    simple(repo, {1: [(at(1), 1.0)]})
    repository.materialize(repo.name, START, END)
    assert compare(repo, read(repo, 99)) == []


HOURS = st.dictionaries(st.integers(0, 30 * 24 - 1), st.one_of(st.none(), st.floats(-9, 9)), max_size=6)


def test_intervals_in_any_order_end_equal_to_the_lake(shared_repo: Repository) -> None:
    numbers = count()

    @settings(max_examples=examples(10), deadline=None)
    @given(
        history=st.dictionaries(st.integers(1, 4), HOURS, min_size=1),
        order=st.permutations([(0, 10), (10, 20), (20, 31), (5, 25)]),
        until=st.integers(1, 31),
    )
    def holds(history: dict[int, dict], order: list[tuple[int, int]], until: int) -> None:
        first = next(numbers) * 10  # Drivers of its own for each example.
        rows = {
            first + key: [(START + timedelta(hours=hour), value) for hour, value in ratings.items()]
            for key, ratings in history.items()
        }
        simple(shared_repo, rows)
        for start, end in order:
            repository.materialize(shared_repo.name, START + timedelta(days=start), START + timedelta(days=end))
        assert compare(shared_repo, read(shared_repo, *rows, until=START + timedelta(days=until))) == []

    holds()


def sample(repo: Repository, size: int, seed: int = 0) -> list[int]:
    view = repository.feature_views(repo.name)[f"{repo.name}_stats"]
    return [key["driver_id"] for key in served.sample_keys(repository.open_store(), view, START, END, size, seed)]


def test_a_sample_is_stable_and_has_the_newest_entity(repo: Repository) -> None:
    simple(repo, {key: [(at(1), 1.0), (at(2), 2.0)] for key in range(50)} | {77: [(at(3), 1.0)]})
    assert sample(repo, 10)[0] == 77
    assert len(set(sample(repo, 10))) == 10
    assert sample(repo, 10) == sample(repo, 10)
    assert sample(repo, 10) != sample(repo, 10, seed=1)
    assert set(sample(repo, 100)) == {*range(50), 77}


def retrieved(repo: Repository, *moments: tuple[int, datetime]) -> pa.Table:
    """What a retrieval gives, which is what somebody may keep."""
    keys, times = zip(*moments, strict=True)
    entities = pa.table({"driver_id": list(keys), "event_timestamp": pa.array(times, pa.timestamp("us", tz="UTC"))})
    return repository.historical_features(repo.name, entities)


def test_logged_rows_equal_the_offline_store_later(typed: Repository) -> None:
    kept = retrieved(typed, (1, at(5)), (2, at(1)), (3, at(9)), (2, at(9)), (4, at(9)))
    view = repository.feature_views(typed.name)[f"{typed.name}_stats"]
    assert compare(typed, served.read_logged(view, kept, kept.column_names)) == []


def test_a_changed_logged_value_is_a_difference(typed: Repository) -> None:
    kept = retrieved(typed, (1, at(5)), (2, at(9)))
    kept = kept.set_column(kept.column_names.index("city"), "city", pa.array(["Rome", ""]))
    view = repository.feature_views(typed.name)[f"{typed.name}_stats"]
    (differences,) = compare(typed, served.read_logged(view, kept, kept.column_names))
    assert (differences.key, differences.feature, differences.served, differences.offline) == (
        {"driver_id": 1},
        "city",
        "Rome",
        "Oslo",
    )


def test_logged_rows_are_compared_with_what_was_known_then(repo: Repository) -> None:
    repo.define(SIMPLE.replace('.stats")', '.stats", created_timestamp_column="written")'))
    moment = pa.timestamp("us", tz="UTC")
    repo.write(
        "stats",
        driver_id=pa.array([1, 1], pa.int64()),
        event_timestamp=pa.array([at(1), at(1)], moment),
        written=pa.array([at(2), at(8)], moment),
        rating=pa.array([1.0, 2.0]),
    )
    repository.apply_if_changed()
    kept = served.ServedRow({"driver_id": 1}, at(5), {"rating": 1.0}, at(1))
    assert compare(repo, [kept], known_at_the_time=True) == []
    assert [one.offline for one in compare(repo, [kept], known_at_the_time=False)] == [2.0]


@settings(max_examples=examples(50))
@given(value=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.floats())))
def test_a_value_equals_itself_and_no_other_type(value: object) -> None:
    assert comparison.is_same(value, value)
    for other in (None, math.nan, 0, 0.0, False, "", []):
        if type(other) is not type(value):
            assert not comparison.is_same(value, other)


@pytest.mark.parametrize(
    ("values", "kind", "as_served"),
    [
        ([0.1, None], Float32, [float(np.float32(0.1)), None]),
        ([3, None], Float64, [3.0, None]),
        ([2**53 + 1, None], Int64, [2**53 + 1, None]),
        ([at(1).replace(microsecond=7)], UnixTimestamp, [at(1)]),
        ([[1, 2], None], Array(Int64), [[1, 2], None]),
        ([b"x"], Bytes, [b"x"]),
    ],
)
def test_the_declared_type_says_what_is_served(values: list, kind: FeastType, as_served: list) -> None:
    value = served.as_served(values, kind)
    assert all(map(comparison.is_same, value, as_served)), value


def test_nan_stays_nan() -> None:
    assert math.isnan(served.as_served([math.nan], Float64)[0])
