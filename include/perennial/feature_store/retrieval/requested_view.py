"""One feature view's part of a retrieval: which features are asked for, and what they are called in the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.repo_config import RepoConfig

from perennial.feature_store.columns import event_timestamp_column
from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.feature_store.retrieval.entity_rows import EntityRows
from perennial.feature_store.retrieval.point_in_time import newest_known
from perennial.feature_store.retrieval.stored_view import StoredView
from perennial.feature_store.source import LakeSource, stored_name
from perennial.feature_store.storage.arrow_columns import one_chunk, utc
from perennial.feature_store.storage.declared_types import cast_to_declared
from perennial.feature_store.storage.scan import open_scan, source_of

#: Entity rows up to which their keys are pushed down to the files: looking up more costs more than it saves.
_FEW = 10_000


@dataclass(frozen=True)
class RequestedView:
    """One feature view's part of a retrieval.

    Attributes:
        view: The view.
        features: Which of its features.
        full_names: Whether columns are called `<view>__<feature>`.
        keep_times: Whether the result has `<view>__event_timestamp` too.
        known_at_the_time: Whether rows written after an entity row's timestamp are hidden from it.
    """

    view: FeatureView
    features: Sequence[str]
    full_names: bool
    keep_times: bool
    known_at_the_time: bool

    @property
    def prefix(self) -> str:
        """The view without its version, as Feast's own stores name columns."""
        return self.view.projection.name_alias or self.view.name

    @property
    def join_keys(self) -> list[str]:
        """The join keys of its entities; none for a view without entities."""
        return [key for key in self.view.join_keys if key != DUMMY_ENTITY_ID]

    def open(self, config: RepoConfig) -> StoredView:
        """The view's table in its current snapshot, or the one that the configuration names.

        Raises:
            BadFeatures: there is no such table, or the view has no source that can be read.
        """
        source = source_of(self.view)
        scan = open_scan(source, config, f"Feature view {self.view.name!r}")
        created = source.created_timestamp_column
        return StoredView(
            scan=scan,
            keys=[stored_name(source, key) for key in self.join_keys],
            features=[stored_name(source, name) for name in self.features],
            time=stored_name(source, source.timestamp_field),
            created=stored_name(source, created) if created else None,
            ttl=self.view.ttl or None,
            known_at_the_time=self.known_at_the_time,
            publication=self._publication(source, config),
        )

    def _publication(self, source: DataSource, config: RepoConfig) -> Publication:
        """When its rows are published: as its source declares, unless the configuration says otherwise."""
        declared = source.publication if isinstance(source, LakeSource) else AT_ONCE
        return getattr(config.offline_store, "publications", {}).get(self.view.name, declared)

    def match(self, stored: StoredView, rows: pa.Table, entities: EntityRows) -> pa.Array:
        """Which row each entity row sees.

        Args:
            stored: The view's table.
            rows: Rows read from it.
            entities: n entity rows.

        Returns:
            n row numbers (uint32), null where there is none to see.

        Raises:
            BadFeatures: the entity rows lack a join key, or have it as another type.
        """
        return newest_known(
            entities.encoded_keys(self.key_types(stored), self.view.name),
            entities.times,
            stored.rows(rows),
            ttl=stored.ttl,
            known_at_the_time=self.known_at_the_time,
            publication=stored.publication,
        )

    def columns(self, stored: StoredView, rows: pa.Table) -> list[tuple[str, pa.ChunkedArray]]:
        """The result's columns: name and values of the features, then of the event times if they are kept.

        Args:
            stored: The view's table.
            rows: Rows read from it.

        Raises:
            BadFeatures: a value does not fit the type that the view declares.
        """
        types = {feature.name: feature.dtype for feature in self.view.features}
        columns = [
            (
                f"{self.prefix}__{name}" if self.full_names else name,
                cast_to_declared(rows[column], types[name], name, self.view.name),
            )
            for name, column in zip(self.features, stored.features, strict=True)
        ]
        if self.keep_times:
            times = utc(one_chunk(rows[stored.time]))
            columns.append((event_timestamp_column(self.prefix), pa.chunked_array([times])))
        return columns

    def key_types(self, stored: StoredView) -> dict[str, pa.DataType]:
        """The view's join keys, as the entity rows call them, and their types in its table."""
        names = [self.view.projection.join_key_map.get(key, key) for key in self.join_keys]
        types = [stored.scan.schema.field(key).type for key in stored.keys]
        return dict(zip(names, types, strict=True))

    def few_keys(self, stored: StoredView, entities: EntityRows) -> dict[str, pa.Array] | None:
        """The distinct values of each key column among the entity rows.

        Args:
            stored: The view's table.
            entities: The entity rows.

        Returns:
            The table's name of the column -> values; None if there are many entity rows.

        Raises:
            BadFeatures: the entity rows lack a join key, or have it as another type.
        """
        if entities.rows.num_rows > _FEW:
            return None
        pairs = zip(stored.keys, self.key_types(stored).items(), strict=True)
        return {key: entities.key(name, kind, self.view.name).unique().drop_null() for key, (name, kind) in pairs}
