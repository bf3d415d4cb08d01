"""A feature view as its table stores it, and which of the stored rows an entity row can still see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.feature_store.retrieval.point_in_time import FeatureRows, newest_of_each
from perennial.feature_store.storage.arrow_columns import one_chunk, utc
from perennial.feature_store.storage.scan import Scan

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class StoredView:
    """A feature view's table, and what the table calls the view's columns.

    Attributes:
        scan: The table.
        keys: The join keys.
        features: The features.
        time: The event time.
        created: When a row was written, if that is known.
        ttl: How old a row may be; None: any age.
        known_at_the_time: Whether rows written after an entity row's timestamp are hidden from it.
        publication: When its rows are published; before that, they are hidden too.
    """

    scan: Scan
    keys: Sequence[str]
    features: Sequence[str]
    time: str
    created: str | None
    ttl: timedelta | None
    known_at_the_time: bool
    publication: Publication = AT_ONCE

    @property
    def columns(self) -> list[str]:
        """Everything that a retrieval reads."""
        return list(dict.fromkeys([*self.keys, *self.features, self.time, *([self.created] if self.created else [])]))

    def rows_between(self, first: datetime | None, last: datetime | None) -> int:
        """At most how many rows entity rows of an interval can see.

        Args:
            first: Their first timestamp, UTC; None when there is none.
            last: Their last timestamp, UTC; None when there is none.

        Raises:
            BadFeatures: the table lacks a column.
        """
        self.scan.check(self.columns)
        return self.scan.rows(self.time, earlier(first, self.ttl), last)

    def rows(self, stored: pa.Table) -> FeatureRows:
        """Rows read from the table, as a join takes them."""
        return FeatureRows(
            keys=[one_chunk(stored[key]) for key in self.keys],
            event_times=utc(one_chunk(stored[self.time])),
            values=stored.select(list(self.features)),
            created=utc(one_chunk(stored[self.created])) if self.created else None,
        )

    def newest(self, stored: pa.Table) -> pa.Table:
        """The newest of the rows of each key."""
        return stored.take(newest_of_each(self.rows(stored)))

    def still_visible(self, stored: pa.Table, at: datetime) -> pa.Table:
        """Those of the rows that an entity row at `at` or later may see.

        Args:
            stored: Rows read from the table.
            at: UTC.
        """
        timestamp = pa.scalar(at, pa.timestamp("us", "UTC"))
        expired = earlier(at, self.ttl)
        if expired is not None:
            is_fresh = pc.greater_equal(utc(one_chunk(stored[self.time])), pa.scalar(expired - _INSTANT))
            stored = stored.filter(is_fresh).combine_chunks()
        is_old = pc.less_equal(self._published(stored[self.time]), timestamp)
        if self.known_at_the_time and self.created:
            is_old = pc.and_(is_old, pc.less_equal(self._published(stored[self.created]), timestamp))
        old = stored.filter(is_old).combine_chunks()
        return pa.concat_tables([self.newest(old), stored.filter(pc.invert(is_old))]).combine_chunks()

    def _published(self, known: pa.ChunkedArray) -> pa.Array:
        """When rows are published that became known at these times."""
        return self.publication.times(utc(one_chunk(known)))


def earlier(moment: datetime | None, by: timedelta | None) -> datetime | None:
    """A time earlier by a duration; None, which bounds nothing, where either is None or the time would be too early.

    Args:
        moment: UTC.
        by: The duration.
    """
    try:
        return moment - by if moment is not None and by is not None else None
    except OverflowError:
        return None
