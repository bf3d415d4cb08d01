"""Historical retrieval: examples in, what each could know out; whole when it fits into memory, by stretches if not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.repo_config import RepoConfig

from perennial.errors import BadFeatures
from perennial.feature_store import EVENT_TIMESTAMP
from perennial.feature_store.declared import as_declared
from perennial.feature_store.entity_rows import EntityRows, in_one_piece, utc
from perennial.feature_store.point_in_time import newest_known
from perennial.feature_store.scan import open_scan, source_of, stored_name
from perennial.feature_store.windows import FeatureWindow, StoredView

#: A stretch is never shorter than this: each costs a join a view.
_FEWEST = 50_000
#: Examples up to which their keys are pushed down to the files: looking up more of them costs more than it spares.
_FEW = 10_000
_THREADS = min(4, os.cpu_count() or 1)


class Entities(Protocol):
    """Where the examples come from."""

    @property
    def schema(self) -> pa.Schema:
        """Their columns."""

    @property
    def time(self) -> str:
        """Which of them is their moment."""

    def whole(self) -> EntityRows:
        """All of them, in their own order."""

    def by_time(self, rows: int) -> Iterator[EntityRows]:
        """At most so many at a time, oldest first, those without a moment before all others."""

    def between(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last moment, UTC; None when there is none."""

    def count(self) -> int:
        """How many there are."""

    def width(self) -> int:
        """About how many bytes one takes."""


@dataclass(frozen=True)
class WantedView:
    """One feature view's part of a retrieval.

    Args:
        view: The view.
        features: Which of its features.
        full_names: Whether columns are called `<view>__<feature>`.
        keep_times: Whether `<view>__event_timestamp` is wanted too.
        only_known: Whether rows written after an example's moment are hidden from it.
    """

    view: FeatureView
    features: Sequence[str]
    full_names: bool
    keep_times: bool
    only_known: bool

    def open(self, config: RepoConfig) -> StoredView:
        """The view's table in its current snapshot, or the one that the configuration names."""
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
            only_known=self.only_known,
        )

    def match(self, stored: StoredView, rows: pa.Table, entities: EntityRows) -> pa.Array:
        """The number of the row that each of the entities sees, null where it sees none."""
        return newest_known(
            entities.keys(self.key_types(stored), self.view.name),
            entities.moments,
            stored.rows(rows),
            ttl=stored.ttl,
            only_known=self.only_known,
        )

    def columns(self, stored: StoredView, rows: pa.Table) -> list[tuple[str, pa.ChunkedArray]]:
        """The features and their names; the event times, if wanted, come last."""
        kinds = {feature.name: feature.dtype for feature in self.view.features}
        columns = [
            (
                f"{self.prefix}__{name}" if self.full_names else name,
                as_declared(rows[column], kinds[name], name, self.view.name),
            )
            for name, column in zip(self.features, stored.features, strict=True)
        ]
        if self.keep_times:
            times = utc(in_one_piece(rows[stored.time]))
            columns.append((f"{self.prefix}{EVENT_TIMESTAMP}", pa.chunked_array([times])))
        return columns

    def key_types(self, stored: StoredView) -> dict[str, pa.DataType]:
        """The view's join keys, as the entity rows call them, and their types in its table."""
        names = [self.view.projection.join_key_map.get(key, key) for key in self.join_keys]
        kinds = [stored.scan.schema.field(key).type for key in stored.keys]
        return dict(zip(names, kinds, strict=True))

    def few_keys(self, stored: StoredView, entities: EntityRows) -> dict[str, pa.Array] | None:
        """The values of each key column among the entities, as the table calls it; None if there are many entities."""
        if entities.rows.num_rows > _FEW:
            return None
        wanted = zip(stored.keys, self.key_types(stored).items(), strict=True)
        return {key: entities.key(name, kind, self.view.name).unique().drop_null() for key, (name, kind) in wanted}

    @property
    def prefix(self) -> str:
        """The view without its version, as Feast's own stores name columns."""
        return self.view.projection.name_alias or self.view.name

    @property
    def join_keys(self) -> list[str]:
        """The join keys of its entities; none for a view without entities."""
        return [key for key in self.view.join_keys if key != DUMMY_ENTITY_ID]


@dataclass(frozen=True)
class Retrieval:
    """Feature views to be joined to examples, not read yet.

    Args:
        entities: The examples.
        views: What to join to them.
        config: The feature store's configuration.
        memory: About how many bytes may be taken, beside the result.
    """

    entities: Entities
    views: Sequence[WantedView]
    config: RepoConfig
    memory: int

    def table(self) -> pa.Table:
        """The examples as they came and in their order, with the features: in memory."""
        stored = [view.open(self.config) for view in self.views]
        entities = self.entities.whole()
        if self._rows_at_a_time(stored, len(entities.moments.times)) >= entities.rows.num_rows:
            first, last = entities.between()
            windows = [
                FeatureWindow(view, first, last, self.memory, wanted.few_keys(view, entities))
                for wanted, view in zip(self.views, stored, strict=True)
            ]
            return self._joined(entities, stored, windows)
        return _in_order_of(entities, list(self._stretches(stored, entities)))

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """The same, at most `rows` at a time and in order of time; at least one table, if an empty one."""
        stored = [view.open(self.config) for view in self.views]
        for table in self._stretches(stored, self.entities):
            for start in range(0, max(table.num_rows, 1), rows):
                yield table.slice(start, rows)

    def _stretches(self, stored: Sequence[StoredView], entities: Entities) -> Iterator[pa.Table]:
        first, last = entities.between()
        windows = [FeatureWindow(view, first, last, self.memory // (8 * len(stored))) for view in stored]
        for part in entities.by_time(self._rows_at_a_time(stored, entities.count())):
            yield self._joined(part, stored, windows)

    def _rows_at_a_time(self, stored: Sequence[StoredView], count: int) -> int:
        """How many examples to join at once: a share of all that takes a share of the memory."""
        first, last = self.entities.between()
        seen = [view.rows_between(first, last) for view in stored]
        joined = self.entities.width() + sum(view.scan.width(view.features) for view in stored)
        needed = count * (2 * joined + 64) + sum(
            # Read, put in one piece, sorted by time.
            rows * (2 * view.scan.width(view.columns) + 32)
            for rows, view in zip(seen, stored, strict=True)
        )
        if needed <= self.memory:
            return max(count, 1)
        return max(_FEWEST, int(count * self.memory / (4 * needed)))

    def _joined(self, entities: EntityRows, stored: Sequence[StoredView], windows: Sequence[FeatureWindow]) -> pa.Table:
        _, last = entities.between()
        columns: list[tuple[str, Future[pa.ChunkedArray]]] = []
        times: list[tuple[str, Future[pa.ChunkedArray]]] = []
        # Arrow and Polars let go of the interpreter: views and columns are worked on beside one another.
        with ThreadPoolExecutor(_THREADS) as threads:
            reads = [threads.submit(window.upto, last) for window in windows]
            for wanted, view in zip(self.views, stored, strict=True):
                entities.keys(wanted.key_types(view), wanted.view.name)
            if entities.moments.order is not None:
                entities.moments.places  # noqa: B018 - worked out here, once, while the files are read
            matches = [
                threads.submit(wanted.match, view, read.result(), entities)
                for wanted, view, read in zip(self.views, stored, reads, strict=True)
            ]
            for wanted, view, read, match in zip(self.views, stored, reads, matches, strict=True):
                numbers = match.result()
                found = [
                    (name, threads.submit(column.take, numbers)) for name, column in wanted.columns(view, read.result())
                ]
                columns += found[: len(wanted.features)]
                times += found[len(wanted.features) :]
        names, values = list(entities.rows.column_names), list(entities.rows.columns)
        for name, column in [*columns, *times]:
            if name in names:
                raise BadFeatures(
                    f"Two columns of the retrieval are called {name!r}.",
                    "Rename the feature, or ask for full feature names.",
                )
            names.append(name)
            values.append(column.result())
        return pa.table(values, names=names)


def _in_order_of(entities: EntityRows, stretches: list[pa.Table]) -> pa.Table:
    """Stretches, which are in order of time, in the order of the examples; one column after the other, for memory."""
    order = entities.time_order()
    place = np.empty(len(order), dtype=np.uint32)
    place[order.to_numpy()] = np.arange(len(order), dtype=np.uint32)
    names = stretches[0].column_names
    chunks = [[stretch[name] for stretch in stretches] for name in names]
    stretches.clear()
    columns = []
    for column in chunks:
        columns.append(pa.chunked_array([chunk for part in column for chunk in part.chunks]).take(pa.array(place)))
        column.clear()
    return pa.table(columns, names=names)
