"""The feature rows that matter to one stretch of examples after another, each read from the files once.

Examples come in order of time. Of the rows before a stretch only the newest of each key can still be seen, so only
these are carried along: what is in memory is a stretch and one row a key, not the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from perennial.feature_store.entity_rows import utc
from perennial.feature_store.point_in_time import FeatureRows, newest_of_each
from perennial.feature_store.scan import Scan, column, earlier

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class StoredView:
    """A feature view as its table stores it: the table, and what the table calls the columns.

    Args:
        scan: The table.
        keys: The join keys.
        features: The features.
        time: The event time.
        created: When a row was written, if that is known.
        ttl: How old a row may be; None: any age.
        only_known: Whether rows written after an example's moment are hidden from it.
    """

    scan: Scan
    keys: Sequence[str]
    features: Sequence[str]
    time: str
    created: str | None
    ttl: timedelta | None
    only_known: bool

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys([*self.keys, *self.features, self.time, *([self.created] if self.created else [])]))

    def rows_between(self, first: datetime | None, last: datetime | None) -> int:
        """At most so many rows can be seen by examples between these moments."""
        self.scan.check(self.columns)
        return self.scan.rows(self.time, earlier(first, self.ttl), last)

    def rows(self, stored: pa.Table) -> FeatureRows:
        """Rows read from the table, as a join wants them."""
        return FeatureRows(
            keys=[column(stored, key) for key in self.keys],
            event_times=utc(column(stored, self.time)),
            values=stored.select(list(self.features)),
            created=utc(column(stored, self.created)) if self.created else None,
        )

    def newest(self, stored: pa.Table) -> pa.Table:
        """The newest of the rows of each key."""
        return stored.take(newest_of_each(self.rows(stored)))

    def still_visible(self, stored: pa.Table, at: datetime) -> pa.Table:
        """Those of the rows that an example at `at` or later may see."""
        moment = pa.scalar(at, pa.timestamp("us", "UTC"))
        expired = earlier(at, self.ttl)
        if expired is not None:
            fresh = pc.greater_equal(utc(column(stored, self.time)), pa.scalar(expired - _INSTANT))
            stored = stored.filter(fresh).combine_chunks()
        is_old = pc.less_equal(utc(column(stored, self.time)), moment)
        if self.only_known and self.created:
            is_old = pc.and_(is_old, pc.less_equal(utc(column(stored, self.created)), moment))
        old = stored.filter(is_old).combine_chunks()
        return pa.concat_tables([self.newest(old), stored.filter(pc.invert(is_old))]).combine_chunks()


@dataclass
class FeatureWindow:
    """What examples may see of a view, stretch after stretch.

    Args:
        view: The view.
        first, last: The moments of the first and the last of all examples, UTC; None when there is none.
        memory: About how many bytes may be held.
        keys: Only rows whose value in each of these columns is one of the given ones; None: rows of any key.
    """

    view: StoredView
    first: datetime | None
    last: datetime | None
    memory: int
    keys: Mapping[str, pa.Array] | None = None
    _held: pa.Table | None = None
    _read_before: datetime | None = None
    _previous: datetime | None = None
    _whole: bool = field(default=False)

    def upto(self, last: datetime | None) -> pa.Table:
        """The rows that examples after the previous call's `last`, and up to this one, may see.

        Args:
            last: The moment of the stretch's last example, UTC; None when no example of it has one.
        """
        scan, view = self.view.scan, self.view
        if self._held is None:
            start = earlier(self.first, view.ttl)
            size = view.rows_between(self.first, self.last) * scan.width(view.columns)
            if self.first is None or last is None or last == self.last or size <= self.memory:
                # Little enough, or one stretch is all there is: read it in one go.
                self._whole = True
                self._held = scan.read(view.columns, time=view.time, start=start, end=self.last, keys=self.keys)
            else:
                self._held = self._before(self.first, start)
                self._read_before = self.first
        if self._whole or last is None or self._read_before is None:
            return self._held
        if self._previous is not None:
            self._held = view.still_visible(self._held, self._previous)
        more = scan.read(view.columns, time=view.time, start=self._read_before, before=last + _INSTANT, keys=self.keys)
        self._held = pa.concat_tables([self._held, more]).combine_chunks()
        self._read_before, self._previous = last + _INSTANT, last
        return self._held

    def _before(self, first: datetime, start: datetime | None) -> pa.Table:
        """Of the rows before the first example, those it may see; read some at a time."""
        view = self.view
        parts: list[pa.Table] = [pa.schema([view.scan.schema.field(name) for name in view.columns]).empty_table()]
        for part in view.scan.batches(view.columns, time=view.time, start=start, before=first, keys=self.keys):
            parts.append(part)
            if sum(table.nbytes for table in parts) > self.memory // 4:
                parts = [view.still_visible(pa.concat_tables(parts).combine_chunks(), first)]
        return view.still_visible(pa.concat_tables(parts).combine_chunks(), first)
