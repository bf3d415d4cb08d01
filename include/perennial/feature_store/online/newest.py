"""What the online stores have in common: the newest row wins, and what is too old is not served as if it were fresh."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from feast.feature_view import FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from pydantic import model_validator

from perennial.feature_store.online.rows import FeastRows, OnlineRows

#: Options of Feast's own stores that the same store here does not have.
_LEFT_OUT = ("vector_enabled", "text_search_enabled", "enable_openai_compatible_store")


class NewestOnlineStoreConfig(FeastConfigBaseModel):
    """Options that every store has beside those of Feast's own."""

    expired: Literal["mark", "null", "serve"] = "mark"
    """What becomes of a value older, when it is read, than its view's `ttl`: `mark` serves it with the status
    OUTSIDE_MAX_AGE, as Feast does for precomputed services; `null` serves null with that status; `serve` does not look
    at its age. Exactly that old is not too old."""

    @model_validator(mode="after")
    def _has_no_search(self) -> NewestOnlineStoreConfig:
        for name in _LEFT_OUT:
            if getattr(self, name, False):
                raise ValueError(
                    f"online_store: {name}: {type(self).__name__[: -len('Config')]} does not search."
                    " Use Feast's own store for views that are searched."
                )
        return self


class NewestOnlineStore(OnlineStore):
    """An online store in which a row gives way only to one of a later event time, or of the same event time and not an
    earlier time of creation, both to the microsecond. So the order of runs, and running one twice, changes nothing; and
    a corrected row, which has the same times, replaces the wrong one.

    Comes first among a store's parents. A row without a time of creation counts as created before all others.
    """

    @abstractmethod
    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the rows that are newer than what is there, or as new."""

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: FeastRows, progress: Callable[[int], Any] | None
    ) -> None:
        """Write the rows that are newer than what is there, or as new."""
        for rows in OnlineRows.of(data, config.entity_key_serialization_version):
            self.write_rows(config, table, rows)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: FeastRows, progress: Callable[[int], Any] | None
    ) -> None:
        """As `online_write_batch`, in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[tuple[FeatureView, list[str]]],
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        *rest: Any,
        **more: Any,
    ) -> None:
        ages = _Ages.of(config, grouped_refs, full_feature_names)
        super()._read_features_per_fv(
            config,
            grouped_refs,
            join_key_values,
            entity_name_to_join_key_map,
            online_features_response,
            full_feature_names,
            *rest,
            **more,
        )
        ages.judge(online_features_response)

    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: list[tuple[FeatureView, list[str]]],
        join_key_values: Any,
        entity_name_to_join_key_map: Any,
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        *rest: Any,
        **more: Any,
    ) -> None:
        ages = _Ages.of(config, grouped_refs, full_feature_names)
        await super()._read_features_per_fv_async(
            config,
            grouped_refs,
            join_key_values,
            entity_name_to_join_key_map,
            online_features_response,
            full_feature_names,
            *rest,
            **more,
        )
        ages.judge(online_features_response)


class _Ages:
    """How old each feature of a response may be."""

    def __init__(self, limits: dict[str, timedelta], leave_value: bool) -> None:
        self._limits = limits
        self._leave_value = leave_value

    @staticmethod
    def of(config: RepoConfig, refs: list[tuple[FeatureView, list[str]]], full_names: bool) -> _Ages:
        """The limits of the features that are asked for, by the names that the response will give them."""
        mode = config.online_store.expired
        limits = {
            f"{view.projection.name_to_use()}__{feature}" if full_names else feature: view.ttl
            for view, features in refs
            for feature in features
            if view.ttl and mode != "serve"
        }
        return _Ages(limits, leave_value=mode == "mark")

    def judge(self, response: GetOnlineFeaturesResponse) -> None:
        """Mark what is too old now."""
        if not self._limits:
            return
        now = datetime.now(UTC)
        for name, found in zip(response.metadata.feature_names.val, response.results, strict=False):
            limit = self._limits.get(name)
            if limit is None:
                continue
            for row, event in enumerate(found.event_timestamps):
                if found.statuses[row] == FieldStatus.PRESENT and now - event.ToDatetime(UTC) > limit:
                    found.statuses[row] = FieldStatus.OUTSIDE_MAX_AGE
                    if not self._leave_value:
                        found.values[row].CopyFrom(Value())
