"""Feast's two pulls: all rows of a source in an interval, or the newest row of each key in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.repo_config import RepoConfig

from perennial.feature_store.retrieval.stored_view import StoredView
from perennial.feature_store.storage.scan import open_scan


@dataclass(frozen=True)
class PullAll:
    """The rows of a source, as its table names their columns.

    Attributes:
        config: The feature store's configuration.
        source: Where the rows are.
        keys: The table's join keys.
        features: The table's features; none: all columns.
        time: The table's event time.
        created: The table's time of writing, if it has one.
        start: First event time, inclusive, UTC; None: from the beginning.
        end: Last event time, inclusive, UTC; None: to the end.
    """

    config: RepoConfig
    source: DataSource
    keys: Sequence[str]
    features: Sequence[str]
    time: str
    created: str | None
    start: datetime | None
    end: datetime | None

    def table(self) -> pa.Table:
        """All rows, in memory."""
        scan = open_scan(self.source, self.config)
        return scan.read(self._columns, time=self.time, start=self.start, end=self.end)

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """The same rows, at most `rows` at a time; at least one table, if an empty one."""
        scan = open_scan(self.source, self.config)
        columns = self._columns or scan.schema.names
        is_empty = True
        for table in scan.batches(columns, time=self.time, start=self.start, end=self.end):
            for start in range(0, table.num_rows, rows):
                is_empty = False
                yield table.slice(start, rows)
        if is_empty:
            yield pa.schema([scan.schema.field(name) for name in dict.fromkeys(columns)]).empty_table()

    @property
    def _columns(self) -> list[str]:
        """What to read; nothing, which means all, when Feast names no feature: a transformation then needs them all."""
        created = [self.created] if self.created else []
        return list(dict.fromkeys([*self.keys, *self.features, self.time, *created])) if self.features else []


@dataclass(frozen=True)
class PullLatest(PullAll):
    """Of those rows the newest of each key. In memory are a batch of the table and one row a key.

    Attributes:
        memory: About how many bytes may be taken.
    """

    memory: int = 1 << 30

    def table(self) -> pa.Table:
        """One row a key, in memory."""
        scan = open_scan(self.source, self.config)
        columns = self._columns or scan.schema.names
        features = [name for name in columns if name not in (*self.keys, self.time, self.created)]
        view = StoredView(scan, self.keys, features, self.time, self.created or None, ttl=None, known_at_the_time=False)
        parts = [pa.schema([scan.schema.field(name) for name in columns]).empty_table()]
        for table in scan.batches(columns, time=self.time, start=self.start, end=self.end):
            parts.append(table)
            if sum(each.nbytes for each in parts) > self.memory // 4:
                parts = [view.newest(pa.concat_tables(parts).combine_chunks())]
        newest = view.newest(pa.concat_tables(parts).combine_chunks())
        if not self.keys:
            # The one entity of a view without entities; Feast looks it up by this name and value.
            newest = newest.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * newest.num_rows))
        return newest

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """The same rows, at most `rows` at a time; at least one table, if an empty one."""
        newest = self.table()
        for start in range(0, max(newest.num_rows, 1), rows):
            yield newest.slice(start, rows)
