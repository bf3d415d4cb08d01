"""Feast's offline store over the lake: a pushed-down scan, an as-of join, and nothing in between.

Every entity row comes back exactly once and in its own order: with nulls where its key is null or unknown, where no
feature was known yet, or where the newest one is older than the view's `ttl` (exactly that old still counts).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast.data_source import DataSource
from feast.errors import RequestDataNotFoundInEntityDfException
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL, FeatureView
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.saved_dataset import SavedDatasetStorage
from pydantic import Field

from perennial.errors import BadFeatures
from perennial.feature_store import EVENT_TIMESTAMP
from perennial.feature_store.entity_rows import EntityRows
from perennial.feature_store.point_in_time import FeatureRows, newest_known, newest_of_each
from perennial.feature_store.scan import column, earlier, lake_source, scan


class LakeOfflineStoreConfig(FeastConfigBaseModel):
    """`offline_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.offline.LakeOfflineStore"] = (
        "perennial.feature_store.offline.LakeOfflineStore"
    )

    keep_event_timestamps: bool = False
    """Also return `<view>__event_timestamp`, the event time of the row each feature came from."""

    snapshots: dict[str, int] = Field(default_factory=dict)
    """Lake tables to read in a named snapshot instead of the current one."""


@dataclass(frozen=True)
class LakeRetrievalJob(RetrievalJob):
    """A retrieval that has not run yet."""

    compute: Callable[[], pa.Table]
    views_on_demand: list[OnDemandFeatureView]
    full_names: bool = False
    about: RetrievalMetadata | None = None

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.compute()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self.compute().to_pandas()

    @property
    def full_feature_names(self) -> bool:
        return self.full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self.views_on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self.about

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        raise NotImplementedError("The lake keeps training sets itself: perennial.training_set.")


class LakeOfflineStore(OfflineStore):
    """Reads `LakeSource`s. Writing features is the pipelines' work: perennial.lake."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **unsupported: Any,
    ) -> RetrievalJob:
        """Join features to `entity_df` (pandas or Arrow): what each row could know at its timestamp.

        With `filter_by_created_timestamp`, feature rows written after an entity row's timestamp are not seen either,
        for sources that have a `created_timestamp_column`.

        Raises:
            BadFeatures: the entity rows lack a join key or a timestamp, or a view promises what the lake lacks.
        """
        entities = EntityRows.of(entity_df)
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        for view in on_demand:
            for name in view.get_request_data_schema():
                if name not in entities.rows.column_names:
                    raise RequestDataNotFoundInEntityDfException(feature_name=name, feature_view_name=view.name)
        wanted = {
            view.projection.name_to_use(): _Wanted(view, _features_of(view, feature_refs), full_feature_names)
            for view in feature_views
        }

        def compute() -> pa.Table:
            joined = [view.join(config, entities, filter_by_created_timestamp) for view in wanted.values()]
            result = entities.rows
            for columns in (*(values for values, _ in joined), *(time for _, time in joined)):
                for name in columns.column_names:
                    if name in result.column_names:
                        raise BadFeatures(
                            f"Two columns of the retrieval are called {name!r}.",
                            "Rename the feature, or ask for full feature names.",
                        )
                    result = result.append_column(name, columns[name])
            return result

        first, last = entities.between()
        about = RetrievalMetadata(feature_refs, entities.names_but_time(), first, last)
        return LakeRetrievalJob(compute, on_demand, full_feature_names, about)

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

        def compute() -> pa.Table:
            rows = _pull(config, data_source, names, timestamp_field, start_date, end_date)
            keys, times = [column(rows, key) for key in join_key_columns], column(rows, timestamp_field)
            created = column(rows, created_timestamp_column) if created_timestamp_column else None
            newest = rows.take(newest_of_each(FeatureRows(keys, times, rows, created)))
            if not join_key_columns:
                # The one entity of a view without entities; Feast looks it up by this name and value.
                newest = newest.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * newest.num_rows))
            return newest

        names = _names(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return LakeRetrievalJob(compute, [])

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

        names = _names(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return LakeRetrievalJob(
            lambda: _pull(config, data_source, names, timestamp_field, start_date, end_date), views_on_demand=[]
        )

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        raise NotImplementedError("Features enter the lake through their pipeline only: perennial.lake.replace.")

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        raise NotImplementedError("Served features are not logged to the lake; scoring keeps the values it used.")


@dataclass(frozen=True)
class _Wanted:
    """One feature view's part of a retrieval."""

    view: FeatureView
    features: list[str]
    full_names: bool

    def join(self, config: RepoConfig, entities: EntityRows, only_known: bool) -> tuple[pa.Table, pa.Table]:
        """The features, and their event times if the store keeps them: as many rows as there are entities."""
        reader = f"Feature view {self.view.name!r}"
        source = lake_source(self.view.batch_source, reader)
        # The view's join keys, as the table calls them and as the entity rows do.
        keys = {
            source.column(key): self.view.projection.join_key_map.get(key, key)
            for key in self.view.join_keys
            if key != DUMMY_ENTITY_ID
        }
        time, created = source.column(source.timestamp_field), source.column(source.created_timestamp_column)
        features = [source.column(name) for name in self.features]
        first, last = entities.between()
        ttl = self.view.ttl or None
        rows = scan(
            source,
            _names(list(keys), features, time, created),
            time=time,
            start=earlier(first, ttl),
            end=last,
            snapshot=config.offline_store.snapshots.get(source.table),
            reader=reader,
        )
        matches = newest_known(
            [entities.key(name, rows.schema.field(key).type, self.view.name) for key, name in keys.items()],
            entities.moments,
            FeatureRows(
                keys=[column(rows, key) for key in keys],
                event_times=column(rows, time),
                values=rows.select(features),
                created=column(rows, created) if created else None,
            ),
            ttl=ttl,
            only_known=only_known,
        )
        # Columns are named after the view without its version, as Feast's own stores do.
        prefix = self.view.projection.name_alias or self.view.name
        joined = rows.select(features).take(matches)
        times = rows.select([time] if config.offline_store.keep_event_timestamps else []).take(matches)
        return (
            joined.rename_columns([f"{prefix}__{name}" if self.full_names else name for name in self.features]),
            times.rename_columns([f"{prefix}{EVENT_TIMESTAMP}" for _ in times.column_names]),
        )


def _features_of(view: FeatureView, feature_refs: list[str]) -> list[str]:
    """The features of `view` that `feature_refs` (`view:feature`) ask for."""
    name = view.projection.name_to_use()
    return list(dict.fromkeys(ref.split(":", 1)[1] for ref in feature_refs if ref.split(":", 1)[0] == name))


def _names(keys: list[str], features: list[str], time: str, created: str | None) -> list[str]:
    """The columns to read; none, which means all, when Feast names no feature: a transformation then wants them all."""
    return [*keys, *features, time, *([created] if created else [])] if features else []


def _pull(
    config: RepoConfig,
    source: DataSource,
    names: list[str],
    time: str,
    start: datetime | None,
    end: datetime | None,
) -> pa.Table:
    table = lake_source(source, f"Source {source.name!r}")
    snapshot = config.offline_store.snapshots.get(table.table)
    return scan(table, names, time=time, start=start, end=end, snapshot=snapshot)
