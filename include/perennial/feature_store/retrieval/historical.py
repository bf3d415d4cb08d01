"""Historical retrieval as a whole: entity rows in, features out; in one join if memory allows, else by time slices."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa
from feast.repo_config import RepoConfig

from perennial.errors import BadFeatures
from perennial.feature_store.retrieval.entity_rows import EntityRows
from perennial.feature_store.retrieval.feature_window import FeatureWindow
from perennial.feature_store.retrieval.requested_view import RequestedView
from perennial.feature_store.retrieval.stored_view import StoredView

#: A time slice never has fewer entity rows than this: each costs a join a view.
_FEWEST = 50_000
_THREADS = min(4, os.cpu_count() or 1)


class EntitySource(Protocol):
    """Where entity rows come from."""

    @property
    def schema(self) -> pa.Schema:
        """Their columns."""

    @property
    def time(self) -> str:
        """Which of them is the timestamp."""

    def whole(self) -> EntityRows:
        """All of them, in their own order."""

    def by_time(self, rows: int) -> Iterator[EntityRows]:
        """At most `rows` at a time, oldest first; those without a timestamp come before all others."""

    def between(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last timestamp, UTC; None when there is none."""

    def count(self) -> int:
        """How many there are."""

    def width(self) -> int:
        """About how many bytes one takes."""


@dataclass(frozen=True)
class HistoricalRetrieval:
    """Feature views to be joined to entity rows; nothing is read yet.

    Attributes:
        entities: The entity rows.
        views: What to join to them.
        config: The feature store's configuration.
        memory: About how many bytes may be taken, beside the result.
    """

    entities: EntitySource
    views: Sequence[RequestedView]
    config: RepoConfig
    memory: int

    def table(self) -> pa.Table:
        """The entity rows as they came and in their order, with the features: in memory.

        Raises:
            BadFeatures: the entity rows lack a join key, a view's table lacks a column, or two columns have one name.
        """
        stored = [view.open(self.config) for view in self.views]
        entities = self.entities.whole()
        if self._rows_at_a_time(stored, len(entities.times.values)) >= entities.rows.num_rows:
            first, last = entities.between()
            windows = [
                FeatureWindow(view, first, last, self.memory, requested.few_keys(view, entities))
                for requested, view in zip(self.views, stored, strict=True)
            ]
            return self._join(entities, stored, windows)
        return _in_order_of(entities, list(self._time_slices(stored, entities)))

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """The same, at most `rows` at a time and in order of time; at least one table, if an empty one."""
        stored = [view.open(self.config) for view in self.views]
        for table in self._time_slices(stored, self.entities):
            for start in range(0, max(table.num_rows, 1), rows):
                yield table.slice(start, rows)

    def _time_slices(self, stored: Sequence[StoredView], entities: EntitySource) -> Iterator[pa.Table]:
        first, last = entities.between()
        windows = [FeatureWindow(view, first, last, self.memory // (8 * len(stored))) for view in stored]
        for time_slice in entities.by_time(self._rows_at_a_time(stored, entities.count())):
            yield self._join(time_slice, stored, windows)

    def _rows_at_a_time(self, stored: Sequence[StoredView], count: int) -> int:
        """How many entity rows to join at once: a share of all that takes a share of the memory."""
        first, last = self.entities.between()
        visible = [view.rows_between(first, last) for view in stored]
        joined = self.entities.width() + sum(view.scan.width(view.features) for view in stored)
        needed = count * (2 * joined + 64) + sum(
            # Read, brought into one chunk, sorted by time.
            rows * (2 * view.scan.width(view.columns) + 32)
            for rows, view in zip(visible, stored, strict=True)
        )
        if needed <= self.memory:
            return max(count, 1)
        return max(_FEWEST, int(count * self.memory / (4 * needed)))

    def _join(self, entities: EntityRows, stored: Sequence[StoredView], windows: Sequence[FeatureWindow]) -> pa.Table:
        _, last = entities.between()
        features: list[tuple[str, Future[pa.ChunkedArray]]] = []
        times: list[tuple[str, Future[pa.ChunkedArray]]] = []
        # Arrow and Polars release the interpreter: views and columns are worked on beside one another.
        with ThreadPoolExecutor(_THREADS) as threads:
            reads = [threads.submit(window.upto, last) for window in windows]
            for requested, view in zip(self.views, stored, strict=True):
                entities.encoded_keys(requested.key_types(view), requested.view.name)
            if entities.times.order is not None:
                entities.times.ranks  # noqa: B018 - computed here, once, while the files are read
            matches = [
                threads.submit(requested.match, view, read.result(), entities)
                for requested, view, read in zip(self.views, stored, reads, strict=True)
            ]
            for requested, view, read, match in zip(self.views, stored, reads, matches, strict=True):
                numbers = match.result()
                columns = [
                    (name, threads.submit(column.take, numbers))
                    for name, column in requested.columns(view, read.result())
                ]
                features += columns[: len(requested.features)]
                times += columns[len(requested.features) :]
        return _with_columns(entities.rows, [(name, column.result()) for name, column in [*features, *times]])


def _with_columns(rows: pa.Table, columns: Sequence[tuple[str, pa.ChunkedArray]]) -> pa.Table:
    """`rows` with further columns, none of which may be there already."""
    names, values = list(rows.column_names), list(rows.columns)
    for name, column in columns:
        if name in names:
            raise BadFeatures(
                f"Two columns of the retrieval are called {name!r}.",
                "Rename the feature, or ask for full feature names.",
            )
        names.append(name)
        values.append(column)
    return pa.table(values, names=names)


def _in_order_of(entities: EntityRows, slices: list[pa.Table]) -> pa.Table:
    """Slices, which are in order of time, in the order of the entity rows; column by column, for memory."""
    order = entities.time_order()
    position = np.empty(len(order), dtype=np.uint32)
    position[order.to_numpy()] = np.arange(len(order), dtype=np.uint32)
    names = slices[0].column_names
    chunks = [[each[name] for each in slices] for name in names]
    slices.clear()
    columns = []
    for column in chunks:
        columns.append(pa.chunked_array([chunk for each in column for chunk in each.chunks]).take(pa.array(position)))
        column.clear()
    return pa.table(columns, names=names)
