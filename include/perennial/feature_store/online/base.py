"""What the online stores have in common: the newest row wins, and a value past its view's `ttl` is served as null."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from feast.feature_view import FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from pydantic import model_validator

from perennial.feature_store._compat import ReadHook
from perennial.feature_store.online.expiry import Expiry, clear_marked
from perennial.feature_store.online.rows import FeastRows, OnlineRows

#: Options of Feast's own stores that the same store here does not have.
_LEFT_OUT = ("vector_enabled", "text_search_enabled", "enable_openai_compatible_store")


class NewestOnlineStoreConfig(FeastConfigBaseModel):
    """Options that every store has beside those of Feast's own."""

    expired: Literal["null", "mark", "serve"] = "null"
    """What becomes of a value older, when it is read, than its view's `ttl`: `null` serves null, as training has seen
    it, with the status OUTSIDE_MAX_AGE; `mark` serves the value with that status, as Feast does for precomputed
    services; `serve` ignores its age. Exactly that old is not too old."""

    @model_validator(mode="after")
    def _has_no_search(self) -> NewestOnlineStoreConfig:
        for name in _LEFT_OUT:
            if getattr(self, name, False):
                raise ValueError(
                    f"online_store: {name}: {type(self).__name__[: -len('Config')]} does not search."
                    " Use Feast's own store for views that are searched."
                )
        return self


class NewestOnlineStore(ReadHook, OnlineStore):
    """An online store in which only a newer row replaces another.

    Newer is a row of a later event time, or of the same event time and not an earlier time of writing, both to the
    microsecond. So the order of runs, and running one twice, changes nothing; and a corrected row, which has the same
    times, replaces the wrong one.

    It comes first among a store's parents. A row without a time of writing counts as written before all others.
    """

    @abstractmethod
    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the rows that are at least as new as the stored ones.

        Args:
            config: The feature store's configuration.
            view: The rows' view.
            rows: One row a key.
        """

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: FeastRows, progress: Callable[[int], Any] | None
    ) -> None:
        """Write the rows that are at least as new as the stored ones.

        Args:
            config: The feature store's configuration.
            table: The rows' view.
            data: Entity key, values, event time and time of writing of each row.
            progress: Called with the number of rows when they are written.
        """
        for rows in OnlineRows.of(data, config.entity_key_serialization_version):
            self.write_rows(config, table, rows)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: FeastRows, progress: Callable[[int], Any] | None
    ) -> None:
        """As `online_write_batch`, in a thread.

        Args:
            config: The feature store's configuration.
            table: The rows' view.
            data: Entity key, values, event time and time of writing of each row.
            progress: Called with the number of rows when they are written.
        """
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """The newest values of each entity. A view that was never applied or written has none.

        Args:
            config: The feature store's configuration.
            table: The view.
            entity_keys: n keys.
            requested_features: Which features; None: all.

        Returns:
            For each of the n keys the event time (UTC) and the values; None for both where there is no row.
        """
        try:
            # Mixed in before a store of Feast's, whose method this is.
            return super().online_read(config, table, entity_keys, requested_features)  # type: ignore[safe-super]
        except Exception as error:
            if not self.is_without_table(error):
                raise
            return [(None, None)] * len(entity_keys)

    def is_without_table(self, error: Exception) -> bool:
        """Whether a read failed because the view has no table; a store without tables never says so."""
        return False

    def get_online_features(self, config: RepoConfig, features: Any, *args: Any, **options: Any) -> OnlineResponse:
        """Feast's own; of a service that Feast has precomputed, expired values are treated as of any other.

        Args:
            config: The feature store's configuration.
            features: A feature service, or references to features.
            *args: See Feast.
            **options: See Feast.
        """
        response = super().get_online_features(config, features, *args, **options)
        if getattr(features, "precompute_online", False):
            clear_marked(config, response.proto)
        return response

    async def get_online_features_async(
        self, config: RepoConfig, features: Any, *args: Any, **options: Any
    ) -> OnlineResponse:
        """As `get_online_features`.

        Args:
            config: The feature store's configuration.
            features: A feature service, or references to features.
            *args: See Feast.
            **options: See Feast.
        """
        response = await super().get_online_features_async(config, features, *args, **options)
        if getattr(features, "precompute_online", False):
            clear_marked(config, response.proto)
        return response

    def before_reading(
        self, config: RepoConfig, requested: list[tuple[FeatureView, list[str]]], full_names: bool
    ) -> Callable[[GetOnlineFeaturesResponse], None]:
        """Prepare for marking expired values in the response.

        Args:
            config: The feature store's configuration.
            requested: Views and the features of them that are asked for.
            full_names: Whether the response calls features `<view>__<feature>`.
        """
        return Expiry.of(config, requested, full_names).apply
