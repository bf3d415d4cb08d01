"""Everything of Feast that is not public and that we rely on, each with its reason.

Names that begin with `_` are Feast's own. A function here calls one; a class here is a parent of one of ours and turns
what Feast calls by such a name into a call of a method with a public name. What Feast's guides ask a plug-in to
implement, such as `_to_arrow_internal`, is no secret and is where it belongs.

`tests/feature_store/test_compat.py` tells when one of them changed, or is no longer needed.
"""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

    import psycopg
    import pyarrow as pa
    import redis
    from feast import FeatureStore, FeatureView
    from feast.feature_service import FeatureService
    from feast.infra.common.materialization_job import MaterializationTask
    from feast.infra.compute_engines.local.compute import LocalComputeEngine
    from feast.infra.compute_engines.local.job import LocalMaterializationJob
    from feast.infra.online_stores.dynamodb import DynamoDBOnlineStore, DynamoDBOnlineStoreConfig
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.infra.online_stores.postgres_online_store.postgres import (
        PostgreSQLOnlineStore,
        PostgreSQLOnlineStoreConfig,
    )
    from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
    from feast.infra.online_stores.sqlite import SqliteOnlineStore
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.repo_config import RepoConfig
    from feast.value_type import ValueType
    from redis import asyncio as redis_asyncio
else:
    # At run time a parent names no store, so that none needs the libraries of another.
    DynamoDBOnlineStore = LocalComputeEngine = OnlineStore = object
    PostgreSQLOnlineStore = RedisOnlineStore = SqliteOnlineStore = object


def with_config(store: FeatureStore, config: RepoConfig) -> FeatureStore:
    """A store with other options on the same registry connection.

    Feast has no way to share a registry between two stores, and keeps the provider that it made of the first options.

    Args:
        store: The store whose registry to share.
        config: The options.
    """
    other = copy.copy(store)
    other.config = config
    other._provider = None
    return other


def check_vector_lengths(rows: pa.RecordBatch, view: FeatureView) -> None:
    """Check that the vectors of a view's vector field have one length.

    Feast does so where it converts rows to protobuf, which we do ourselves, and offers the check nowhere else.

    Args:
        rows: The view's features.
        view: The view.

    Raises:
        ValueError: the lengths differ, or are not the declared one.
    """
    from feast.utils import _validate_vector_field_lengths

    _validate_vector_field_lengths(rows, view)


class EngineHook(LocalComputeEngine):
    """A local engine that may materialize a view in its own way.

    Feast's engines differ in this one method, and inherit from one another to change it; it has no public name.
    """

    @abstractmethod
    def materialize_one(self, registry: BaseRegistry, task: MaterializationTask) -> LocalMaterializationJob | None:
        """Materialize one view; None leaves it to Feast's own engine.

        Args:
            registry: Feast's registry.
            task: The view and the interval.
        """

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        return self.materialize_one(registry, task) or super()._materialize_one(registry, task, **kwargs)


class ReadHook(OnlineStore):
    """An online store that may change a response of `get_online_features` before it is returned.

    Feast's own hook is `online_read`, which has no say in a feature's status. Without this, values older than their
    view's `ttl` are served as if they were fresh (feast#6821).
    """

    @abstractmethod
    def before_reading(
        self, config: RepoConfig, requested: list[tuple[FeatureView, list[str]]], full_names: bool
    ) -> Callable[[GetOnlineFeaturesResponse], None]:
        """Called before a read; returns what to do with the response.

        Args:
            config: The feature store's configuration.
            requested: Views and the features of them that are asked for.
            full_names: Whether the response calls features `<view>__<feature>`.
        """

    def _read_features_per_fv(
        self, config: RepoConfig, requested: Any, keys: Any, names: Any, response: Any, full_names: bool, *args: Any
    ) -> None:
        after_reading = self.before_reading(config, requested, full_names)
        super()._read_features_per_fv(config, requested, keys, names, response, full_names, *args)
        after_reading(response)

    async def _read_features_per_fv_async(
        self, config: RepoConfig, requested: Any, keys: Any, names: Any, response: Any, full_names: bool, *args: Any
    ) -> None:
        after_reading = self.before_reading(config, requested, full_names)
        await super()._read_features_per_fv_async(config, requested, keys, names, response, full_names, *args)
        after_reading(response)


class SqliteHook(SqliteOnlineStore):
    """SQLite's online store with a connection and a file of our choice.

    Feast's own shares one connection, with its transaction, among all threads and forked processes.
    """

    @abstractmethod
    def connection(self, config: RepoConfig) -> sqlite3.Connection:
        """The connection that the calling thread may use."""

    @staticmethod
    @abstractmethod
    def database_path(config: RepoConfig) -> str:
        """The database file."""

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        return self.connection(config)

    def _get_db_path(self, config: RepoConfig) -> str:  # type: ignore[override]
        return self.database_path(config)


class PostgresHook(PostgreSQLOnlineStore):
    """PostgreSQL's online store with a connection of our choice.

    Feast's own shares one connection, with its transaction, among all threads and forked processes.
    """

    @abstractmethod
    def connection(self, config: RepoConfig, autocommit: bool = False) -> AbstractContextManager[psycopg.Connection]:
        """The connection that the calling thread may use, for one transaction.

        Args:
            config: The feature store's configuration.
            autocommit: Whether each statement is a transaction of its own.
        """

    @contextmanager
    def _get_conn(self, config: RepoConfig, autocommit: bool = False) -> Iterator[psycopg.Connection]:
        with self.connection(config, autocommit) as connection:
            yield connection

    @asynccontextmanager
    async def _get_conn_async(
        self, config: RepoConfig, autocommit: bool = False
    ) -> AsyncIterator[psycopg.AsyncConnection]:
        options = config.online_store
        if getattr(options, "requirepeer", None) is None:
            async with super()._get_conn_async(config, autocommit) as connection:
                yield connection
            return
        import psycopg

        connecting = psycopg.AsyncConnection.connect(**_postgres_arguments(options), autocommit=autocommit)
        async with await connecting as connection:
            yield connection


def connect_to_postgres(options: PostgreSQLOnlineStoreConfig) -> psycopg.Connection:
    """A new connection by Feast's options of its PostgreSQL online store, TLS and schema included."""
    import psycopg

    return psycopg.connect(**_postgres_arguments(options))


def _postgres_arguments(options: PostgreSQLOnlineStoreConfig) -> dict[str, Any]:
    """What Feast connects with, and the account of the server, which Feast has no option for."""
    from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo

    return {
        "conninfo": _get_conninfo(options),
        "keepalives_idle": options.keepalives_idle,
        "requirepeer": getattr(options, "requirepeer", None),
        **_get_conn_kwargs(options),
    }


class RedisHook(RedisOnlineStore):
    """Redis' online store, reached by a URL too, and without two faults of its reads."""

    @abstractmethod
    def row_of(self, values: dict[str, bytes | None], time: bytes | None) -> tuple[datetime | None, dict | None]:
        """A row as `online_read` returns it.

        Args:
            values: Feature -> its serialized value.
            time: The serialized `Timestamp` of the row; None where there is no row.
        """

    def client(self, options: RedisOnlineStoreConfig) -> redis.Redis:
        """The connection pool of this store."""
        return self._get_client(options)

    # Feast's own understands `host:port,option=value` only.

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> redis.Redis:
        if not self._client and "://" in online_store_config.connection_string:
            import redis

            self._client = redis.Redis.from_url(online_store_config.connection_string)
        return super()._get_client(online_store_config)

    async def _get_client_async(self, online_store_config: RedisOnlineStoreConfig) -> redis_asyncio.Redis:
        if not self._client_async and "://" in online_store_config.connection_string:
            from redis import asyncio as redis_asyncio

            self._client_async = redis_asyncio.Redis.from_url(online_store_config.connection_string)
        return await super()._get_client_async(online_store_config)

    def _generate_hset_keys_for_features(
        self,
        feature_view: FeatureView,
        requested_features: list[str] | None = None,
        fv_name_override: str | None = None,
    ) -> tuple[list[str], list[str | bytes]]:
        # Feast's own appends the row's time to the caller's list, as if it had asked for that feature.
        names = None if requested_features is None else list(requested_features)
        return super()._generate_hset_keys_for_features(feature_view, names, fv_name_override)

    def _get_features_for_entity(
        self, values: Sequence[Any], feature_view: str, requested_features: list[str]
    ) -> tuple[datetime | None, dict[str, Value] | None]:
        # Feast's own returns a row of 1970 for a key that does not exist.
        row = dict(zip(requested_features, values, strict=True))
        time = row.pop(f"_ts:{feature_view}")
        return self.row_of(row, time)


@dataclass(frozen=True)
class Resolved:
    """A feature service as Feast resolves it for an online read.

    Attributes:
        views: The views with rows of their own, and the features that are read of each.
        join_keys: Entity -> its join key.
        kinds: Join key -> its type.
        has_on_demand: Whether it has on-demand views.
        is_without_entity: Whether a view has no entity.
    """

    views: list[tuple[FeatureView, list[str]]]
    join_keys: dict[str, str]
    kinds: dict[str, ValueType]
    has_on_demand: bool
    is_without_entity: bool


def resolve_online(store: FeatureStore, service: FeatureService) -> Resolved:
    """What Feast looks up in the registry at each online read, from the registry as it is now.

    Args:
        store: The Feast store.
        service: The service.
    """
    from feast.utils import _get_online_request_context

    store.refresh_registry()
    _, on_demand, join_keys, kinds, _, views, _, _, is_without_entity = _get_online_request_context(
        store.registry, store.project, service, full_feature_names=False
    )
    return Resolved(views, join_keys, kinds, bool(on_demand), is_without_entity)


def redis_field(name: str) -> bytes:
    """The field of a hash in Redis in which Feast stores `<view>:<feature>`."""
    from feast.infra.online_stores.helpers import _mmh3

    return _mmh3(name)


class DynamoDBHook(DynamoDBOnlineStore):
    """DynamoDB's online store, safe in forked processes: Feast's own lets them share a client's open connections."""

    _owner = 0

    def client(self, options: DynamoDBOnlineStoreConfig) -> Any:
        """The boto3 client of this process."""
        return self._get_dynamodb_client(options.region, options.endpoint_url, options.session_based_auth)

    def _get_dynamodb_client(self, *args: Any, **kwargs: Any) -> Any:
        self._forget_clients_of_parent()
        return super()._get_dynamodb_client(*args, **kwargs)

    def _get_dynamodb_resource(self, *args: Any, **kwargs: Any) -> Any:
        self._forget_clients_of_parent()
        return super()._get_dynamodb_resource(*args, **kwargs)

    def _forget_clients_of_parent(self) -> None:
        if self._owner != os.getpid():
            self._dynamodb_client = self._dynamodb_resource = None
            self._owner = os.getpid()


def dynamodb_table(options: DynamoDBOnlineStoreConfig, config: RepoConfig, view: FeatureView) -> str:
    """The DynamoDB table of a view, by the template in the options.

    Args:
        options: Of the online store.
        config: The feature store's configuration.
        view: The view.
    """
    from feast.infra.online_stores.dynamodb import _get_table_name

    return _get_table_name(options, config, view)
