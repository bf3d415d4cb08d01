"""Feast's offline store over the lake and over plain Parquet: pushed-down scans, an as-of join, nothing in between.

Every entity row comes back exactly once and in its own order: with nulls where its key is null or unknown, where no
feature was known yet, or where the newest one is older than the view's `ttl` (exactly that old still counts).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
from feast.data_source import DataSource
from feast.errors import RequestDataNotFoundInEntityDfException
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import FeatureView
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import compute_non_entity_date_range
from pydantic import ByteSize, Field

from perennial.feature_store import memory, writing
from perennial.feature_store.entity_rows import EntityRows
from perennial.feature_store.history import everything_between
from perennial.feature_store.pulls import Pull, PullLatest
from perennial.feature_store.queries import EntityQuery
from perennial.feature_store.retrieval import Entities, Retrieval, WantedView
from perennial.feature_store.retrieval_job import LakeRetrievalJob


class LakeOfflineStoreConfig(FeastConfigBaseModel):
    """`offline_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.offline.LakeOfflineStore"] = (
        "perennial.feature_store.offline.LakeOfflineStore"
    )

    keep_event_timestamps: bool = False
    """Also return `<view>__event_timestamp`, the event time of the row each feature came from."""

    snapshots: dict[str, int] = Field(default_factory=dict)
    """Lake tables to read in a named snapshot instead of the current one."""

    memory_limit: ByteSize | None = None
    """About how much a retrieval may take beside its result, such as `4GiB`; half of what is free by default."""

    staging_location: str | None = None
    """The folder or S3 address that `to_remote_storage` writes below."""

    staging_rows: int = Field(default=1_000_000, gt=0)
    """How many rows each file there has."""

    @property
    def memory(self) -> int:
        """Bytes a retrieval may take beside its result."""
        return int(self.memory_limit) if self.memory_limit else memory.available() // 2


class LakeOfflineStore(OfflineStore):
    """Reads `LakeSource`s and Feast's own Parquet `FileSource`s, and writes what Feast writes."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | pl.DataFrame | pl.LazyFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Join features to `entity_df`: what each row could know at its timestamp.

        Args:
            config: The store's configuration.
            feature_views: The views behind `feature_refs`.
            feature_refs: `<view>:<feature>`.
            entity_df: A pandas or Polars frame, an Arrow table, a SELECT statement (`perennial.feature_store.queries`)
                or the path of a Parquet file. None: each row of the views between the dates, at its own time.
            registry: Feast's registry.
            project: Feast's project.
            full_feature_names: Call columns `<view>__<feature>`.
            filter_by_created_timestamp: Feature rows written after an entity row's timestamp are not seen either, for
                sources that have a `created_timestamp_column`.
            start_date, end_date: UTC, both inclusive; only without `entity_df`.

        Raises:
            BadFeatures: the entity rows lack a join key or a timestamp, or a view promises what its table lacks.
        """
        store = config.offline_store
        wanted = [
            WantedView(
                view,
                _features_of(view, feature_refs),
                full_feature_names,
                store.keep_event_timestamps,
                filter_by_created_timestamp,
            )
            for view in feature_views
        ]
        entities: Entities
        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            entities = everything_between(start, end, wanted, config)
        elif isinstance(entity_df, str):
            entities = EntityQuery.of(entity_df, config, registry, project, store.memory // 4)
        else:
            entities = EntityRows.of(entity_df)
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        for view in on_demand:
            for name in view.get_request_data_schema():
                if name not in entities.schema.names:
                    raise RequestDataNotFoundInEntityDfException(feature_name=name, feature_view_name=view.name)

        def about() -> RetrievalMetadata:
            first, last = entities.between()
            names = [name for name in entities.schema.names if name != entities.time]
            return RetrievalMetadata(feature_refs, names, first, last)

        query = Retrieval(entities, wanted, config, store.memory)
        return LakeRetrievalJob(query, config, on_demand, full_feature_names, about)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Each key's newest row with an event time in [start_date, end_date], as the table names its columns."""
        query = PullLatest(
            config,
            data_source,
            join_key_columns,
            feature_name_columns,
            timestamp_field,
            created_timestamp_column,
            start_date,
            end_date,
            memory=config.offline_store.memory,
        )
        return LakeRetrievalJob(query, config, [])

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with an event time in [start_date, end_date], as the table names its columns."""
        query = Pull(
            config,
            data_source,
            join_key_columns,
            feature_name_columns,
            timestamp_field,
            created_timestamp_column,
            start_date,
            end_date,
        )
        return LakeRetrievalJob(query, config, [])

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Add rows to the view's table or file; writing them again changes nothing (`perennial.feature_store.writing`).

        Raises:
            BadFeatures: a row has no event time.
        """
        writing.push(config, feature_view, table)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Add served features to the service's `LakeLoggingDestination` or Feast's `FileLoggingDestination`.

        A chunk that is written again is kept once.
        """
        writing.log(config, data, logging_config.destination, source.get_schema(registry))


def _features_of(view: FeatureView, feature_refs: list[str]) -> list[str]:
    """The features of `view` that `feature_refs` (`view:feature`) ask for."""
    name = view.projection.name_to_use()
    return list(dict.fromkeys(ref.split(":", 1)[1] for ref in feature_refs if ref.split(":", 1)[0] == name))
