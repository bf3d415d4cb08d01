"""Online features: the service is parsed once, and is never older than the registry's cache may be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import redis
from botocore.exceptions import EndpointConnectionError
from feast import FeatureService, FeatureStore
from online_cases import Online, online_store

from perennial.errors import BadFeatures, ServiceUnavailable
from perennial.feature_store import repository
from perennial.settings import settings


@pytest.fixture
def online(home: Path, tmp_path: Path) -> Iterator[Online]:
    with online_store("sqlite", tmp_path) as case:
        case.write(case.key("a"), (7, 0, None))
        yield case


def read(online: Online) -> dict:
    return repository.online_features(online.repo.name, [{"driver_id": "a"}])[0]


def test_a_service_is_parsed_once_for_many_reads(online: Online, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    original = FeatureStore.get_feature_service

    def counted(store: FeatureStore, name: str, *args: object, **options: object) -> FeatureService:
        looked_up.append(name)
        return original(store, name, *args, **options)

    online.store.registry.cached_registry_proto_ttl = timedelta(hours=1)
    read(online)
    monkeypatch.setattr(FeatureStore, "get_feature_service", counted)
    assert [read(online)["trips"] for _ in range(5)] == [7] * 5
    assert looked_up == []


def test_a_service_changed_elsewhere_is_seen_with_the_cache(online: Online) -> None:
    assert read(online).keys() == {"driver_id", "trips", "rating"}
    online.store.registry.cached_registry_proto_ttl = timedelta(hours=1)
    elsewhere = FeatureStore(config=repository.load_config(settings().feature_repo))
    elsewhere.apply([FeatureService(name=online.repo.name, features=[online.view[["trips"]]])])
    assert read(online).keys() == {"driver_id", "trips", "rating"}, "the cache is still valid"
    online.store.registry.cached_registry_proto_created -= timedelta(hours=2)
    assert read(online).keys() == {"driver_id", "trips"}


def test_a_new_service_is_found_with_an_older_cache(online: Online) -> None:
    online.store.registry.cached_registry_proto_ttl = timedelta(hours=1)
    read(online)
    elsewhere = FeatureStore(config=repository.load_config(settings().feature_repo))
    elsewhere.apply([FeatureService(name=f"{online.repo.name}_new", features=[online.view])])
    assert repository.online_features(f"{online.repo.name}_new", [{"driver_id": "a"}])[0]["trips"] == 7
    with pytest.raises(BadFeatures, match="no feature service 'nothing'"):
        repository.online_features("nothing", [{"driver_id": "a"}])


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("Connection refused"),
        redis.TimeoutError("Timeout reading from socket"),
        psycopg.OperationalError("connection failed"),
        sqlite3.OperationalError("unable to open database file"),
        EndpointConnectionError(endpoint_url="http://127.0.0.1:9"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_a_store_that_does_not_answer_is_named(online: Online, error: Exception, monkeypatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(type(online.store.provider.online_store), "online_read", fail)
    with pytest.raises(ServiceUnavailable, match="online store does not answer") as unavailable:
        read(online)
    assert unavailable.value.__cause__ is error
