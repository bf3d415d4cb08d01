"""The online store: newest event time wins, whatever the order and the number of writers."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from feast import FeatureStore, FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feature_cases import Repository

from perennial.feature_store import repository
from perennial.settings import settings

_numbers = itertools.count()
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(shared_repo: Repository) -> FeatureStore:
    shared_repo.define()
    repository.apply_if_changed()
    return repository.open_store()


@pytest.fixture(scope="module")
def view(store: FeatureStore, shared_repo: Repository) -> FeatureView:
    return store.get_feature_view(f"{shared_repo.name}_stats")


@pytest.fixture
def key() -> EntityKey:
    """A key no other test uses."""
    return EntityKey(join_keys=["driver_id"], entity_values=[Value(string_val=f"key{next(_numbers)}")])


def write(
    store: FeatureStore, view: FeatureView, key: EntityKey, *rows: tuple[int, timedelta, timedelta | None]
) -> None:
    """Rows of (trips, event time after noon, created after noon)."""
    data = [
        (key, {"trips": Value(int64_val=trips)}, NOON + event, None if created is None else NOON + created)
        for trips, event, created in rows
    ]
    store.provider.online_write_batch(store.config, view, data, None)


def trips(store: FeatureStore, view: FeatureView, key: EntityKey) -> int:
    [(_, values)] = store.provider.online_read(store.config, view, [key])
    return values["trips"].int64_val


def test_the_newest_wins_in_any_order_to_the_microsecond(
    store: FeatureStore, view: FeatureView, key: EntityKey
) -> None:
    instant = timedelta(microseconds=1)
    rows = [(1, 0 * instant, None), (2, instant, None), (3, 2 * instant, instant), (4, 2 * instant, 2 * instant)]
    for number, order in enumerate(itertools.permutations(rows)):
        later = timedelta(seconds=number)
        for row_trips, event, created in order:
            write(store, view, key, (row_trips, event + later, created))
        assert trips(store, view, key) == 4


def test_the_same_time_written_again_is_a_correction(store: FeatureStore, view: FeatureView, key: EntityKey) -> None:
    write(store, view, key, (1, timedelta(0), None))
    write(store, view, key, (2, timedelta(0), None))
    assert trips(store, view, key) == 2


def test_one_batch_may_hold_a_key_twice(store: FeatureStore, view: FeatureView, key: EntityKey) -> None:
    write(store, view, key, (2, timedelta(hours=1), None), (1, timedelta(0), None))
    assert trips(store, view, key) == 2


def test_threads_write_and_read_at_once(store: FeatureStore, view: FeatureView, key: EntityKey) -> None:
    trouble: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, 200, 4):
                write(store, view, key, (number, timedelta(minutes=number), None))
                assert trips(store, view, key) >= number
        except BaseException as error:
            trouble.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not trouble
    assert trips(store, view, key) == 199


def test_the_file_is_in_the_home_whatever_folder_feast_runs_in(
    store: FeatureStore, view: FeatureView, key: EntityKey
) -> None:
    write(store, view, key, (1, timedelta(0), None))
    assert (settings().home / "online.db").is_file()


def test_a_deleted_file_is_empty_until_written_to(
    store: FeatureStore, view: FeatureView, key: EntityKey, tmp_path: Path
) -> None:
    elsewhere = store.config.model_copy()
    elsewhere._online_store = store.config.online_store.model_copy(update={"path": str(tmp_path / "new.db")})
    assert store.provider.online_read(elsewhere, view, [key]) == [(None, None)]
    store.provider.online_write_batch(elsewhere, view, [(key, {"trips": Value(int64_val=1)}, NOON, None)], None)
    [(_, values)] = store.provider.online_read(elsewhere, view, [key])
    assert values["trips"].int64_val == 1
