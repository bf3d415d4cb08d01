"""Feast's private API that we rely on: each is still as expected, and still needed.

A test that fails after an upgrade of Feast names what changed in `feature_store/_compat.py`. Where it says that a fault
is gone, the hook for it can go too.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feast.utils
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.feature_store import FeatureStore as FeastStore
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.online_stores import dynamodb, helpers, online_store, redis, sqlite
from feast.infra.online_stores.postgres_online_store import postgres
from feast.infra.utils.postgres import connection_utils
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64

from perennial.feature_store import _compat

READ = (
    "self, config, grouped_refs, join_key_values, entity_name_to_join_key_map, online_features_response,"
    " full_feature_names, include_feature_view_version_metadata"
)
CLIENT = "self, region, endpoint_url, session_based_auth"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (ComputeEngine._materialize_one, "self, registry, task, kwargs"),
        (LocalComputeEngine._materialize_one, "self, registry, task, kwargs"),
        (online_store.OnlineStore._read_features_per_fv, READ),
        (online_store.OnlineStore._read_features_per_fv_async, READ),
        (redis.RedisOnlineStore._read_features_per_fv, READ),
        (postgres.PostgreSQLOnlineStore._read_features_per_fv, READ),
        (sqlite.SqliteOnlineStore._get_conn, "self, config"),
        (sqlite.SqliteOnlineStore._get_db_path, "config"),
        (postgres.PostgreSQLOnlineStore._get_conn, "self, config, autocommit"),
        (connection_utils._get_conn, "config"),
        (redis.RedisOnlineStore._get_client, "self, online_store_config"),
        (redis.RedisOnlineStore._get_client_async, "self, online_store_config"),
        (
            redis.RedisOnlineStore._generate_hset_keys_for_features,
            "self, feature_view, requested_features, fv_name_override",
        ),
        (redis.RedisOnlineStore._get_features_for_entity, "self, values, feature_view, requested_features"),
        (dynamodb.DynamoDBOnlineStore._get_dynamodb_client, CLIENT),
        (dynamodb.DynamoDBOnlineStore._get_dynamodb_resource, CLIENT),
        (dynamodb._get_table_name, "online_config, config, table"),
        (helpers._mmh3, "key"),
        (feast.utils._validate_vector_field_lengths, "table, feature_view"),
    ],
    ids=lambda value: getattr(value, "__qualname__", "parameters"),
)
def test_a_private_function_takes_what_we_pass(function: Callable[..., Any], parameters: str) -> None:
    assert ", ".join(inspect.signature(function).parameters) == parameters


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (ComputeEngine, "materialize_one"),
        (online_store.OnlineStore, "read_features_per_fv"),
        (feast.utils, "validate_vector_field_lengths"),
        (dynamodb, "get_table_name"),
        (connection_utils, "get_conn"),
        (sqlite.SqliteOnlineStore, "get_conn"),
        (postgres.PostgreSQLOnlineStore, "get_conn"),
        (redis.RedisOnlineStore, "get_client"),
    ],
)
def test_there_is_no_public_name_yet(owner: Any, name: str) -> None:
    assert not hasattr(owner, name), f"Feast has a public {name} now: use it in place of the private one."


@pytest.fixture
def stock(tmp_path: Path) -> FeatureStore:
    """A store of Feast's own parts, with a value that is older than its view's `ttl`."""
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.STRING)
    source = FileSource(path=str(tmp_path / "none.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name="trips", dtype=Int64)]
    view = FeatureView(name="stats", entities=[driver], ttl=timedelta(hours=1), schema=schema, source=source)
    store = FeatureStore(
        config=RepoConfig(
            project="stock",
            provider="local",
            registry=str(tmp_path / "registry.db"),
            online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    store.apply([driver, view, FeatureService(name="stats", features=[view])])
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(string_val="a")])
    old = datetime.now(UTC) - timedelta(hours=2)
    store.provider.online_write_batch(store.config, view, [(key, {"trips": Value(int64_val=1)}, old, None)], None)
    return store


def test_feast_still_serves_expired_values_as_if_fresh(stock: FeatureStore) -> None:
    response = stock.get_online_features(["stats:trips"], [{"driver_id": "a"}]).proto
    place = list(response.metadata.feature_names.val).index("trips")
    assert list(response.results[place].statuses) == [FieldStatus.PRESENT], "feast#6821 is fixed: see ReadHook."


def test_feast_still_keeps_the_provider_of_the_first_options(stock: FeatureStore) -> None:
    provider, other = stock.provider, copy.copy(stock)
    other.config = stock.config.model_copy()
    assert other.provider is provider, "FeatureStore follows its config now: see with_config."
    fresh = _compat.with_config(stock, stock.config)
    assert fresh.provider is not provider
    assert fresh.registry is stock.registry
    assert "registry" not in inspect.signature(FeastStore.__init__).parameters, "A registry can be passed now."


def test_feasts_redis_still_changes_the_callers_list(stock: FeatureStore) -> None:
    view, names = stock.get_feature_view("stats"), ["trips"]
    redis.RedisOnlineStore()._generate_hset_keys_for_features(view, names)
    assert names == ["trips", "_ts:stats"], "Fixed: RedisHook need not copy the list."


def test_feasts_redis_still_invents_a_row_of_1970() -> None:
    time, row = redis.RedisOnlineStore()._get_features_for_entity([None, None], "stats", ["trips", "_ts:stats"])
    assert (time, row) == (datetime(1970, 1, 1, tzinfo=UTC), {"trips": Value()}), "Fixed: see RedisHook."


def test_feasts_redis_still_understands_no_url() -> None:
    nodes, _ = redis.RedisOnlineStore._parse_connection_string("redis://:secret@cache:6379/1")
    assert nodes[0] != {"host": "cache", "port": 6379}, "Feast understands URLs now: see RedisHook."


@pytest.mark.parametrize("store", [sqlite.SqliteOnlineStore, postgres.PostgreSQLOnlineStore])
def test_feasts_stores_still_share_one_connection(store: type) -> None:
    assert store._conn is None  # type: ignore[attr-defined] # One attribute, whatever thread or process asks.


def test_feasts_dynamodb_still_shares_clients_with_forks() -> None:
    source = inspect.getsource(dynamodb.DynamoDBOnlineStore._get_dynamodb_client)
    assert "getpid" not in source, "Fixed: DynamoDBHook can go."


def test_a_field_in_redis_is_the_one_feast_reads() -> None:
    assert _compat.redis_field("stats:trips") == helpers._mmh3("stats:trips")


def test_a_builder_tells_columns_without_a_backend() -> None:
    assert "backend" not in inspect.getsource(LocalFeatureBuilder.get_column_info)
