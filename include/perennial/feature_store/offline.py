"""Feast's offline store over the lake and over plain Parquet: pushed-down scans and an as-of join.

Every entity row comes back exactly once and in its own order: with nulls where its key is null or unknown, where no
feature was known yet, or where the newest one is older than the view's `ttl` (exactly that old still counts).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
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

from perennial.feature_store.publication import Publication
from perennial.feature_store.retrieval import memory
from perennial.feature_store.retrieval.entity_query import EntityQuery
from perennial.feature_store.retrieval.entity_rows import EntityRows
from perennial.feature_store.retrieval.historical import EntitySource, HistoricalRetrieval
from perennial.feature_store.retrieval.job import LakeRetrievalJob
from perennial.feature_store.retrieval.non_entity import entity_rows_of
from perennial.feature_store.retrieval.pulls import PullAll, PullLatest
from perennial.feature_store.retrieval.requested_view import RequestedView
from perennial.feature_store.storage import writing


class LakeOfflineStoreConfig(FeastConfigBaseModel):
    """`offline_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.offline.LakeOfflineStore"] = (
        "perennial.feature_store.offline.LakeOfflineStore"
    )

    keep_event_timestamps: bool = False
    """Also return `<view>__event_timestamp`, the event time of the row each feature came from."""

    snapshots: dict[str, int] = Field(default_factory=dict)
    """Lake tables to read in a named snapshot instead of the current one."""

    features: list[str] | None = None
    """Leave out all other features of a retrieval: an earlier snapshot may lack the columns of some."""

    publications: dict[str, Publication] = Field(default_factory=dict)
    """View -> when its rows count as published in retrievals, instead of what its source declares."""

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
        """Join features to `entity_df`: what was known, and published, at each row's timestamp.

        Args:
            config: The store's configuration.
            feature_views: The views behind `feature_refs`.
            feature_refs: `<view>:<feature>`.
            entity_df: A pandas or Polars frame, an Arrow table, a SELECT statement (see `retrieval.entity_query`) or
                the path of a Parquet file. None: each row of the views between the dates, at its own time.
            registry: Feast's registry.
            project: Feast's project.
            full_feature_names: Call columns `<view>__<feature>`.
            filter_by_created_timestamp: Feature rows written after an entity row's timestamp are not seen either, for
                sources that have a `created_timestamp_column`.
            start_date: UTC, inclusive; only without `entity_df`.
            end_date: UTC, inclusive; only without `entity_df`.

        Raises:
            BadFeatures: the entity rows lack a join key or a timestamp, or a view names what its table lacks.
            RequestDataNotFoundInEntityDfException: they lack what an on-demand view asks for.
        """
        store = config.offline_store
        if store.features is not None:
            feature_refs = [ref for ref in feature_refs if ref.split(":", 1)[1] in store.features]
            feature_views = [view for view in feature_views if _features_of(view, feature_refs)]
        options = full_feature_names, store.keep_event_timestamps, filter_by_created_timestamp
        views = [RequestedView(view, _features_of(view, feature_refs), *options) for view in feature_views]
        entities: EntitySource
        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            entities = entity_rows_of(views, start, end, config)
        elif isinstance(entity_df, str):
            entities = EntityQuery.of(entity_df, config, registry, project, store.memory // 4)
        else:
            entities = EntityRows.of(entity_df)
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        _check_request_data(on_demand, entities)
        query = HistoricalRetrieval(entities, views, config, store.memory)
        describe = partial(_describe, feature_refs, entities)
        return LakeRetrievalJob(query, config, on_demand, full_feature_names, describe)

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
        """Each key's newest row with an event time in [start_date, end_date], as the table names its columns.

        Args:
            config: The store's configuration.
            data_source: Where the rows are.
            join_key_columns: The table's join keys.
            feature_name_columns: The table's features; none: all columns.
            timestamp_field: The table's event time.
            created_timestamp_column: The table's time of writing, if it has one.
            start_date: UTC, inclusive.
            end_date: UTC, inclusive.
        """
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
        """Every row with an event time in [start_date, end_date], as the table names its columns.

        Args:
            config: The store's configuration.
            data_source: Where the rows are.
            join_key_columns: The table's join keys.
            feature_name_columns: The table's features; none: all columns.
            timestamp_field: The table's event time.
            created_timestamp_column: The table's time of writing, if it has one.
            start_date: UTC, inclusive; None: from the beginning.
            end_date: UTC, inclusive; None: to the end.
        """
        query = PullAll(
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
        """Add rows to the view's table or file; writing them again changes nothing (see `storage.writing`).

        Args:
            config: The store's configuration.
            feature_view: The view.
            table: Its join keys, features and times, as its source names them.
            progress: Called with the number of rows when they are written.

        Raises:
            BadFeatures: a row has no event time, or does not fit the table.
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

        A chunk that is written again is stored once.

        Args:
            config: The store's configuration.
            data: The logs, or a folder of Parquet files with them.
            source: Knows the columns of the logs.
            logging_config: Names the destination.
            registry: Feast's registry.

        Raises:
            BadFeatures: the destination is of another kind.
        """
        writing.log(config, data, logging_config.destination, source.get_schema(registry))


def _features_of(view: FeatureView, feature_refs: list[str]) -> list[str]:
    """The features of `view` that `feature_refs` (`view:feature`) ask for."""
    name = view.projection.name_to_use()
    return list(dict.fromkeys(ref.split(":", 1)[1] for ref in feature_refs if ref.split(":", 1)[0] == name))


def _describe(feature_refs: list[str], entities: EntitySource) -> RetrievalMetadata:
    """What Feast wants to know of a request."""
    first, last = entities.between()
    names = [name for name in entities.schema.names if name != entities.time]
    return RetrievalMetadata(feature_refs, names, first, last)


def _check_request_data(views: Sequence[OnDemandFeatureView], entities: EntitySource) -> None:
    """Check that the entity rows have what on-demand views ask for."""
    for view in views:
        for name in view.get_request_data_schema():
            if name not in entities.schema.names:
                raise RequestDataNotFoundInEntityDfException(feature_name=name, feature_view_name=view.name)
