"""Feast's own pushes reach the lake and the online store together, whatever they are told to write to, or neither."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import copy
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast import FeatureStore
from feast.data_source import PushMode
from online_cases import redis_server
from pipelines import run_features_until

from perennial import expectations as expect
from perennial import lake
from perennial.errors import InvalidParams, InvalidRows, ServiceUnavailable
from perennial.feature_store import repository
from perennial.feature_store.store import use_store
from perennial.settings import settings
from perennial.use_case import UseCase

pytestmark = [pytest.mark.timeout(600)]
DAY = datetime(2024, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
VIEW = "energy_meter_history"
Write = Callable[[FeatureStore, pd.DataFrame], None]
_meters = count()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest, energy: UseCase, project: Path) -> Iterator[FeatureStore]:
    """Feast's store as anybody opens it, by the files in the feature repository, after one complete day."""
    with ExitStack() as stack:
        if request.param == "redis":
            url, _ = stack.enter_context(redis_server())
            stack.enter_context(pytest.MonkeyPatch.context()).setenv("PERENNIAL_ONLINE_STORE", url)
        settings.cache_clear()
        made = FeatureStore(repo_path=str(project / "feature_repo"))
        stack.enter_context(use_store(made))
        run_features_until(energy, "2024-01-01")
        yield made
    settings.cache_clear()


@pytest.fixture
def meter() -> str:
    """A meter of the test's own."""
    return f"by-feast-{next(_meters)}"


def rows(meter: str, hour: float = 5.5, value: float = 7.0) -> pd.DataFrame:
    made = {"site": "s", "meter": meter, "event_timestamp": DAY + hour * HOUR, "meter_last": value}
    return pd.DataFrame([made | {"meter_mean_24h": 1.0}])


def stored(meter: str) -> dict[datetime, float]:
    found = lake.read("energy.meter_history", where=lake.equals("meter", meter)).to_pylist()
    by_time = {each["event_timestamp"]: each["meter_last"] for each in found}
    assert len(by_time) == len(found), "one row for each key and time"
    return by_time


def served(meter: str) -> float | None:
    """What is online, asked a day later."""
    keys = [{"site": "s", "meter": meter}]
    (answer,) = repository.online_features("energy", keys, at=DAY + timedelta(days=1))
    return answer["meter_last"]


def pushing(to: PushMode) -> Write:
    return lambda store, df: store.push(VIEW, df, to=to)


def pushing_async(to: PushMode) -> Write:
    return lambda store, df: asyncio.run(store.push_async(VIEW, df, to=to))


WRITES: dict[str, Write] = {
    "push online": pushing(PushMode.ONLINE),
    "push offline": pushing(PushMode.OFFLINE),
    "push both": pushing(PushMode.ONLINE_AND_OFFLINE),
    "push_async online": pushing_async(PushMode.ONLINE),
    "push_async offline": pushing_async(PushMode.OFFLINE),
    "push_async both": pushing_async(PushMode.ONLINE_AND_OFFLINE),
    "write_to_online_store": lambda store, df: store.write_to_online_store(VIEW, df),
    "write_to_online_store_async": lambda store, df: asyncio.run(store.write_to_online_store_async(VIEW, df)),
    "write_to_offline_store": lambda store, df: store.write_to_offline_store(VIEW, df),
}


@pytest.fixture(params=WRITES)
def write(request: pytest.FixtureRequest) -> Write:
    return WRITES[request.param]


def test_rows_are_in_both_stores_and_repeating_changes_nothing(store: FeatureStore, write: Write, meter: str) -> None:
    write(store, rows(meter))
    assert (stored(meter), served(meter)) == ({DAY + 5.5 * HOUR: 7.0}, 7.0)
    before = lake.snapshot("energy.meter_history")
    write(store, rows(meter))
    assert lake.snapshot("energy.meter_history") == before


@pytest.mark.parametrize(
    "changes",
    [{"event_timestamp": pd.Timestamp("2224-01-01", tz="UTC")}, {"site": None}, {"meter_last": 5000.0}],
    ids=["of the future", "without key", "unexpected"],
)
def test_one_invalid_row_keeps_all_out_of_both_stores(
    store: FeatureStore, write: Write, meter: str, changes: dict[str, Any], energy: UseCase, monkeypatch
) -> None:
    suite = [expect.between({"meter_last": (-100, 1000)})]
    monkeypatch.setattr(energy.module("expectations"), "meter_history", suite, raising=False)
    both = pd.concat([rows(meter), rows(meter, hour=6.5).assign(**changes)], ignore_index=True)
    with pytest.raises(InvalidRows):
        write(store, both)
    assert (stored(meter), served(meter)) == ({}, None)


def test_a_late_push_is_kept_and_changes_nothing_online(store: FeatureStore, write: Write, meter: str) -> None:
    write(store, rows(meter))
    write(store, rows(meter, hour=3.5, value=3.0))
    assert stored(meter) == {DAY + 3.5 * HOUR: 3.0, DAY + 5.5 * HOUR: 7.0}
    assert served(meter) == 7.0


def test_another_value_of_the_same_moment_is_refused(store: FeatureStore, write: Write, meter: str) -> None:
    write(store, rows(meter))
    with pytest.raises(InvalidRows, match="differs from a row that is stored"):
        write(store, rows(meter, value=8.0))
    assert (stored(meter), served(meter)) == ({DAY + 5.5 * HOUR: 7.0}, 7.0)


def test_a_value_of_another_type_is_named(store: FeatureStore, meter: str) -> None:
    both = pd.concat([rows(meter), rows(meter, hour=6.5).assign(meter_last="seven")], ignore_index=True)
    with pytest.raises(InvalidRows, match=r"rows\[1\].meter_last 'seven' is no double"):
        store.push(VIEW, both)
    assert (stored(meter), served(meter)) == ({}, None)


def test_an_unknown_value_is_pushed_as_null(store: FeatureStore, meter: str) -> None:
    store.push(VIEW, rows(meter).assign(meter_mean_24h=float("nan")))
    found = lake.read("energy.meter_history", where=lake.equals("meter", meter)).to_pylist()
    assert [each["meter_mean_24h"] for each in found] == [None]


def test_without_its_other_columns_a_row_is_refused(store: FeatureStore, meter: str) -> None:
    short = rows(meter).drop(columns="meter_last")
    with pytest.raises(InvalidRows, match=r"rows\[0\].meter_last is missing"):
        store.provider.ingest_df(store.get_feature_view(VIEW), short)
    assert (stored(meter), served(meter)) == ({}, None)


def test_a_table_that_its_pipeline_computes_is_refused(store: FeatureStore, energy: UseCase, meter: str, monkeypatch):
    (table,) = energy.features
    computed = energy.model_copy(update={"features": (table.model_copy(update={"pushed": False}),)})
    monkeypatch.setattr(energy.module("use_case"), "use_case", computed)
    for write in WRITES.values():
        with pytest.raises(InvalidParams, match="takes no pushed rows"):
            write(store, rows(meter))
    assert (stored(meter), served(meter)) == ({}, None)


def test_a_view_that_no_pipeline_brings_online_is_refused(store: FeatureStore, meter: str) -> None:
    view = copy(store.get_feature_view(VIEW))
    view.name = "energy_of_my_own"
    with pytest.raises(InvalidParams, match="Push to a view of the service"):
        store.provider.ingest_df(view, rows(meter))
    assert stored(meter) == {}


@pytest.fixture
def refusing(store: FeatureStore) -> Iterator[Callable[[], None]]:
    """The online store takes no rows until this is called."""
    if url := os.environ.get("PERENNIAL_ONLINE_STORE"):
        client = redis.Redis.from_url(url)
        client.config_set("min-replicas-to-write", 1)
        yield lambda: client.config_set("min-replicas-to-write", 0)
        client.close()
        return
    other = sqlite3.connect(settings().home / "online.db")
    other.execute("BEGIN EXCLUSIVE")
    yield other.rollback
    other.close()


def test_rows_that_did_not_get_online_do_when_pushed_again(
    store: FeatureStore, meter: str, refusing: Callable[[], None]
) -> None:
    with pytest.raises(ServiceUnavailable, match="the rows are in the lake") as refused:
        store.push(VIEW, rows(meter))
    assert "Push them again, which is safe" in refused.value.fix
    assert stored(meter) == {DAY + 5.5 * HOUR: 7.0}
    refusing()
    assert served(meter) is None
    store.push(VIEW, rows(meter))
    assert (stored(meter), served(meter)) == ({DAY + 5.5 * HOUR: 7.0}, 7.0)
