"""Feast's offline store over the lake: a pushed-down scan, an as-of join, and nothing in between.

Every entity row comes back exactly once and in its own order: with nulls where its key is null or unknown, where no
feature was known yet, or where the newest one is older than the view's `ttl` (exactly that old still counts).
"""

# ruff: noqa: TID253 - a Feast class; only Feast and tasks import this module.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast.data_source import DataSource
from feast.errors import RequestDataNotFoundInEntityDfException
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.saved_dataset import SavedDatasetStorage
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, LessThanOrEqual

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store.entity_rows import EntityRows
from perennial.feature_store.point_in_time import FeatureRows, newest_known, newest_of_each
from perennial.feature_store.source import LakeSource

STORE = "perennial.feature_store.offline.LakeOfflineStore"


class LakeOfflineStoreConfig(FeastConfigBaseModel):
    """`offline_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.offline.LakeOfflineStore"] = STORE

    keep_event_timestamps: bool = False
    """Also return `<view>__event_timestamp`, the event time of the row each feature came from."""

    snapshots: dict[str, int] = {}
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

    def persist(
        self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None
    ) -> None:
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
            rows = _scan(
                config,
                cast(LakeSource, data_source),
                _columns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column),
                _between(timestamp_field, start_date, end_date),
            )
            keys, times = [_one(rows[key]) for key in join_key_columns], _one(rows[timestamp_field])
            created = _one(rows[created_timestamp_column]) if created_timestamp_column else None
            return rows.take(newest_of_each(FeatureRows(keys, times, rows, created)))

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

        def compute() -> pa.Table:
            return _scan(
                config,
                cast(LakeSource, data_source),
                _columns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column),
                _between(timestamp_field, start_date, end_date),
            )

        return LakeRetrievalJob(compute, [])

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
        source = cast(LakeSource, self.view.batch_source)
        # A view's key, as the table calls it and as the entity rows call it.
        keys = {
            source.column(column.name): self.view.projection.join_key_map.get(column.name, column.name)
            for column in self.view.entity_columns
            if column.name != DUMMY_ENTITY_ID
        }
        time, created = source.column(source.timestamp_field), source.column(source.created_timestamp_column)
        features = [source.column(name) for name in self.features]
        first, last = entities.between()
        ttl = self.view.ttl or None
        rows = _scan(
            config,
            source,
            _columns(list(keys), features, time, created),
            _between(time, _back(first, ttl) if ttl else None, last),
            view=self.view.name,
        )
        feature_keys = [_one(rows[key]) for key in keys]
        matches = newest_known(
            [
                entities.key(name, values.type, self.view.name)
                for name, values in zip(keys.values(), feature_keys, strict=True)
            ],
            entities.moments,
            FeatureRows(
                feature_keys, _one(rows[time]), rows.select(features), _one(rows[created]) if created else None
            ),
            ttl=ttl,
            only_known=only_known,
        )
        # Without a version, like Feast's own stores.
        prefix = self.view.projection.name_alias or self.view.name
        named = rows.select(features).rename_columns(
            [f"{prefix}__{name}" if self.full_names else name for name in self.features]
        )
        times = rows.select([time]).rename_columns([f"{prefix}__event_timestamp"])
        return named.take(matches), times.select([] if not config.offline_store.keep_event_timestamps else [0]).take(
            matches
        )


def _features_of(view: FeatureView, feature_refs: list[str]) -> list[str]:
    """The features of `view` that `feature_refs` (`view:feature`) ask for."""
    name = view.projection.name_to_use()
    return list(dict.fromkeys(ref.split(":", 1)[1] for ref in feature_refs if ref.split(":", 1)[0] == name))


def _columns(keys: list[str], features: list[str], time: str, created: str | None) -> list[str]:
    """The columns to read. Feast asks for no features when a transformation wants all there are."""
    return list(dict.fromkeys([*keys, *features, time, *([created] if created else [])])) if features else ["*"]


def _scan(
    config: RepoConfig, source: LakeSource, columns: list[str], where: BooleanExpression | None, view: str = ""
) -> pa.Table:
    """Rows of a source's table: only these columns, only these times, in the snapshot that the store is pinned to."""
    subject = f"Feature view {view!r}" if view else f"Lake source {source.name!r}"
    try:
        rows = lake.read(
            source.table, columns=columns, where=where, snapshot=config.offline_store.snapshots.get(source.table)
        )
    except ValueError as error:
        found = source.columns()
        missing = [name for name in columns if name not in found and name != "*"]
        if not missing:
            raise
        raise BadFeatures(
            f"{subject} names column {missing[0]!r}, which lake table {source.table!r} does not have.",
            f"Its columns are {', '.join(found)}. Mend the schema in {source.file}, or the transform.",
        ) from error
    if rows is None:
        raise BadFeatures(
            f"{subject} reads lake table {source.table!r}, which does not exist.",
            f"Run the features pipeline for it, or mend `table=` in {source.file}.",
        )
    return rows.combine_chunks()


def _between(column: str, start: datetime | None, end: datetime | None) -> BooleanExpression | None:
    bounds: list[BooleanExpression] = []
    if start is not None:
        bounds.append(GreaterThanOrEqual(column, _utc(start).isoformat()))
    if end is not None:
        bounds.append(LessThanOrEqual(column, _utc(end).isoformat()))
    return And(*bounds) if len(bounds) == 2 else bounds[0] if bounds else None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _back(moment: datetime | None, ttl: timedelta) -> datetime | None:
    try:
        return moment - ttl if moment is not None else None
    except OverflowError:
        return None


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
