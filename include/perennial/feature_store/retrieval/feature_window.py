"""The feature rows that one time slice of entity rows after another can see, each read from the files once.

Time slices come oldest first. Of the rows before a slice only the newest of each key can still be seen, so only these
are carried along: what is in memory is a slice and one row a key, not the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from perennial.feature_store.retrieval.stored_view import StoredView, earlier

_INSTANT = timedelta(microseconds=1)


@dataclass
class FeatureWindow:
    """What entity rows can see of a view, slice after slice.

    Attributes:
        view: The view.
        first: The first timestamp of all entity rows, UTC; None when there is none.
        last: The last timestamp of all entity rows, UTC; None when there is none.
        memory: About how many bytes the rows may take.
        keys: Only rows whose value in each of these columns is one of the given ones; None: rows of any key.
    """

    view: StoredView
    first: datetime | None
    last: datetime | None
    memory: int
    keys: Mapping[str, pa.Array] | None = None
    _rows: pa.Table | None = None
    _read_before: datetime | None = None
    _previous: datetime | None = None
    _is_whole: bool = field(default=False)

    def upto(self, last: datetime | None) -> pa.Table:
        """The rows that entity rows after the previous call's `last`, and up to this one, can see.

        Args:
            last: The last timestamp of the slice, UTC; None when no row of it has one.

        Raises:
            BadFeatures: the table lacks a column.
            DamagedFile: a file cannot be read.
        """
        scan, view = self.view.scan, self.view
        if self._rows is None:
            self._rows = self._begin(last)
        if self._is_whole or last is None or self._read_before is None:
            return self._rows
        if self._previous is not None:
            self._rows = view.still_visible(self._rows, self._previous)
        more = scan.read(view.columns, time=view.time, start=self._read_before, before=last + _INSTANT, keys=self.keys)
        self._rows = pa.concat_tables([self._rows, more]).combine_chunks()
        self._read_before, self._previous = last + _INSTANT, last
        return self._rows

    def _begin(self, last: datetime | None) -> pa.Table:
        """All rows, if they are few or there is one slice only; else those from before the first entity row."""
        scan, view = self.view.scan, self.view
        start = earlier(self.first, view.ttl)
        size = view.rows_between(self.first, self.last) * scan.width(view.columns)
        if self.first is None or last is None or last == self.last or size <= self.memory:
            self._is_whole = True
            return scan.read(view.columns, time=view.time, start=start, end=self.last, keys=self.keys)
        self._read_before = self.first
        return self._before(self.first, start)

    def _before(self, first: datetime, start: datetime | None) -> pa.Table:
        """Of the rows before the first entity row, those it can see; read some at a time."""
        view = self.view
        parts: list[pa.Table] = [pa.schema([view.scan.schema.field(name) for name in view.columns]).empty_table()]
        for batch in view.scan.batches(view.columns, time=view.time, start=start, before=first, keys=self.keys):
            parts.append(batch)
            if sum(table.nbytes for table in parts) > self.memory // 4:
                parts = [view.still_visible(pa.concat_tables(parts).combine_chunks(), first)]
        return view.still_visible(pa.concat_tables(parts).combine_chunks(), first)
