"""What an online store does with values older than their view's `ttl`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from feast import FeatureStore
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from online_cases import INSTANT, NOON, STORES, Online, online_store

from perennial.feature_store import _compat, repository
from perennial.feature_store.online.base import NewestOnlineStoreConfig
from perennial.feature_store.store import use_store


@pytest.fixture(scope="module", params=STORES)
def online(home: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    with online_store(request.param, tmp_path_factory.mktemp("repo")) as case:
        old, new = (datetime.now(UTC) - timedelta(minutes=minutes) for minutes in (61, 30))
        for number, (name, moment) in enumerate({"old": old, "new": new}.items()):
            case.write(case.key(name), (number, (moment - NOON) // INSTANT, None))
        null = {"trips": Value(), "rating": Value(double_val=1)}
        case.store.provider.online_write_batch(
            case.store.config,
            case.view,
            [(case.key("null"), null, new, None)],
            None,
        )
        yield case


def ask(online: Online, expired: str, full_names: bool = False) -> OnlineResponse:
    options: RepoConfig = online.store.config.model_copy()
    options._online_store = online.store.config.online_store.model_copy(update={"expired": expired})
    return online.store.provider.get_online_features(
        config=options,
        features=online.store.get_feature_service(online.repo.name),
        entity_rows=[{"driver_id": name} for name in ("old", "new", "nobody")],
        registry=online.store.registry,
        project=online.store.project,
        full_feature_names=full_names,
    )


def trips(response: OnlineResponse) -> tuple[list[int | None], list[str]]:
    """The values and their status."""
    [name] = [name for name in response.proto.metadata.feature_names.val if name.endswith("trips")]
    place = list(response.proto.metadata.feature_names.val).index(name)
    return response.to_dict()[name], [FieldStatus.Name(each) for each in response.proto.results[place].statuses]


@pytest.mark.parametrize(
    ("expired", "value", "status"),
    [("mark", 0, "OUTSIDE_MAX_AGE"), ("null", None, "OUTSIDE_MAX_AGE"), ("serve", 0, "PRESENT")],
)
def test_a_value_past_its_ttl_is_not_served_as_if_it_were_fresh(
    online: Online, expired: str, value: int | None, status: str
) -> None:
    values, statuses = trips(ask(online, expired))
    assert values == [value, 1, None]
    assert statuses == [status, "PRESENT", "NOT_FOUND"]


def test_full_feature_names_give_the_same_result(online: Online) -> None:
    assert trips(ask(online, "null", full_names=True))[0] == [None, 1, None]


@pytest.fixture
def by_default(online: Online) -> Iterator[FeatureStore]:
    """The store of a project that says nothing of expired values, as `open_store` gives it."""
    options: RepoConfig = online.store.config.model_copy()
    mode = NewestOnlineStoreConfig.model_fields["expired"].default
    options._online_store = online.store.config.online_store.model_copy(update={"expired": mode})
    store = _compat.with_config(online.store, options)
    with use_store(store):
        yield store


KEYS = [{"driver_id": name} for name in ("old", "new", "null", "nobody")]


def test_features_are_null_once_expired_and_say_why(online: Online, by_default: FeatureStore) -> None:
    rows = repository.online_features(online.repo.name, KEYS, statuses=True)
    assert [row["trips"] for row in rows] == [None, 1, None, None]
    assert [row["trips__status"] for row in rows] == ["expired", "present", "null", "not-found"]
    assert [row["rating__status"] for row in rows] == ["expired", "present", "present", "not-found"]
    times = [row[f"{online.view.name}__event_timestamp"] for row in rows]
    assert times[3] is None
    assert times[0] < times[1] <= datetime.now(UTC)
    plain = repository.online_features(online.repo.name, KEYS)
    assert [set(row) for row in plain] == [{"driver_id", "trips", "rating"}] * 4


def test_ages_may_be_counted_to_a_moment_of_the_past(online: Online, by_default: FeatureStore) -> None:
    then = datetime.now(UTC) - timedelta(minutes=5)
    rows = repository.online_features(online.repo.name, KEYS[:2], at=then)
    assert [row["trips"] for row in rows] == [0, 1]
    assert repository.online_features(online.repo.name, KEYS[:1])[0]["trips"] is None, "only for that call"


def test_feasts_own_client_gets_null_too(online: Online, by_default: FeatureStore) -> None:
    service = by_default.get_feature_service(online.repo.name)
    for features in (service, [f"{online.view.name}:trips"]):
        values, statuses = trips(by_default.get_online_features(features, KEYS))
        assert values == [None, 1, None, None]
        assert statuses[:2] == ["OUTSIDE_MAX_AGE", "PRESENT"]


def test_feasts_asynchronous_client_gets_null_too(online: Online, by_default: FeatureStore) -> None:
    if "PostgreSQL" not in online.store.config.online_store.type:
        pytest.skip(
            "Feast's own SQLite store has no asynchronous reads, DynamoDB's fail, and Redis' want one event loop"
        )
    service = by_default.get_feature_service(online.repo.name)
    values, statuses = trips(asyncio.run(by_default.get_online_features_async(service, KEYS)))
    assert values == [None, 1, None, None]
    assert statuses[:2] == ["OUTSIDE_MAX_AGE", "PRESENT"]
