"""Rows of one source as its table has them: all of a stretch of time, or the newest of each key in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.repo_config import RepoConfig

from perennial.feature_store.scan import open_scan
from perennial.feature_store.windows import StoredView


@dataclass(frozen=True)
class Pull:
    """Rows with an event time in [start, end], both UTC; None bounds nothing."""

    config: RepoConfig
    source: DataSource
    keys: Sequence[str]
    features: Sequence[str]
    time: str
    created: str | None
    start: datetime | None
    end: datetime | None

    def table(self) -> pa.Table:
        scan = open_scan(self.source, self.config)
        return scan.read(self._columns, time=self.time, start=self.start, end=self.end)

    def batches(self, rows: int) -> Iterator[pa.Table]:
        scan = open_scan(self.source, self.config)
        wanted = self._columns or scan.schema.names
        empty = True
        for table in scan.batches(wanted, time=self.time, start=self.start, end=self.end):
            for start in range(0, table.num_rows, rows):
                empty = False
                yield table.slice(start, rows)
        if empty:
            yield pa.schema([scan.schema.field(name) for name in dict.fromkeys(wanted)]).empty_table()

    @property
    def _columns(self) -> list[str]:
        """What to read; nothing, which means all, when Feast names no feature: a transformation then wants them all."""
        created = [self.created] if self.created else []
        return list(dict.fromkeys([*self.keys, *self.features, self.time, *created])) if self.features else []


@dataclass(frozen=True)
class PullLatest(Pull):
    """Of those rows the newest of each key. In memory is a batch of the table and one row a key."""

    memory: int = 1 << 30

    def table(self) -> pa.Table:
        scan = open_scan(self.source, self.config)
        columns = self._columns or scan.schema.names
        values = [name for name in columns if name not in (*self.keys, self.time, self.created)]
        view = StoredView(scan, self.keys, values, self.time, self.created or None, ttl=None, only_known=False)
        parts = [pa.schema([scan.schema.field(name) for name in columns]).empty_table()]
        for table in scan.batches(columns, time=self.time, start=self.start, end=self.end):
            parts.append(table)
            if sum(part.nbytes for part in parts) > self.memory // 4:
                parts = [view.newest(pa.concat_tables(parts).combine_chunks())]
        newest = view.newest(pa.concat_tables(parts).combine_chunks())
        if not self.keys:
            # The one entity of a view without entities; Feast looks it up by this name and value.
            newest = newest.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * newest.num_rows))
        return newest

    def batches(self, rows: int) -> Iterator[pa.Table]:
        newest = self.table()
        for start in range(0, max(newest.num_rows, 1), rows):
            yield newest.slice(start, rows)
