"""Partitions: half-open intervals of event time, the unit of ingestion, scoring and monitoring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache, total_ordering

from perennial.errors import InvalidPartition


class Cadence(StrEnum):
    """How event time is cut into partitions. All boundaries are UTC; weeks start on Monday."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    @property
    def cron(self) -> str:
        """The cron expression that fires at each partition's start."""
        return {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *"}[self]

    @property
    def key_format(self) -> str:
        """The `strftime` format of a partition's name."""
        return {"hourly": "%Y-%m-%dT%H", "daily": "%Y-%m-%d", "weekly": "%Y-%m-%d", "monthly": "%Y-%m"}[self]

    @property
    def every(self) -> str:
        """A partition's length as Polars writes it: a time truncated to it is the start of its partition."""
        return {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1mo"}[self]

    def floor(self, moment: datetime) -> datetime:
        """The start of the partition that contains `moment`."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        day = hour.replace(hour=0)
        match self:
            case Cadence.HOURLY:
                return hour
            case Cadence.DAILY:
                return day
            case Cadence.WEEKLY:
                return day - timedelta(days=day.weekday())
            case Cadence.MONTHLY:
                return day.replace(day=1)

    def after(self, start: datetime) -> datetime:
        """The start of the partition that follows the one starting at `start`."""
        match self:
            case Cadence.HOURLY:
                return start + timedelta(hours=1)
            case Cadence.DAILY:
                return start + timedelta(days=1)
            case Cadence.WEEKLY:
                return start + timedelta(days=7)
            case Cadence.MONTHLY:
                return (start + timedelta(days=32)).replace(day=1)

    def partition(self, key: str) -> Partition:  # type: ignore[override]
        """The partition named `key`.

        Raises:
            InvalidPartition: `key` is not in this cadence's format, or not the start of a partition.
        """
        try:
            start = _time(key, self.key_format)
        except (TypeError, ValueError):
            start = None
        if start is None or self.floor(start) != start or start.strftime(self.key_format) != key:
            example = self.at(datetime(2013, 3, 4, tzinfo=UTC)).key
            guess = self._guess(key)
            raise InvalidPartition(
                f"{key!r} is not the name of a {self} partition.",
                f"Did you mean {guess!r}?" if guess else f"Use a name like {example!r}.",
            )
        return Partition(start, self)

    def _guess(self, key: str) -> str | None:
        """The key of the partition that contains `key`, if that is a time in another format."""
        for notation in (self.key_format, *(other.key_format for other in Cadence), "%Y-%m-%d %H:%M", "%Y%m%d", "%Y%m"):
            try:
                return self.at(datetime.strptime(str(key), notation).replace(tzinfo=UTC)).key
            except ValueError:
                continue
        try:
            moment = datetime.fromisoformat(str(key))
            return self.at(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).key
        except (ValueError, OverflowError):
            return None

    def at(self, moment: datetime) -> Partition:
        """The partition that contains `moment`, which must be timezone-aware.

        Raises:
            ValueError: `moment` has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone; partitions are cut in UTC.")
        return Partition(self.floor(moment), self)


# Every DAG needs its use case's first and last partition: the same few keys each time.
@lru_cache(maxsize=1024)
def _time(name: str, form: str) -> datetime:
    return datetime.strptime(name, form).replace(tzinfo=UTC)


@total_ordering
@dataclass(frozen=True)
class Partition:
    """One half-open interval `[start, end)` of event time in UTC, named by its start.

    While it is under way it may be open: only its part `[since, until)` is read and computed then. The name, the start
    and the end are the same, and so are equality and order.
    """

    start: datetime
    cadence: Cadence
    _part: tuple[datetime, datetime] | None = field(default=None, compare=False, repr=False)

    @property
    def end(self) -> datetime:
        """The exclusive end (UTC): the start of the next partition."""
        return self.cadence.after(self.start)

    @property
    def key(self) -> str:
        """Its name: its start in the cadence's format, for instance `2013-01`."""
        return self.start.strftime(self.cadence.key_format)

    @property
    def is_open(self) -> bool:
        """Whether only a part of it is read: more rows may come."""
        return self._part is not None

    @property
    def since(self) -> datetime:
        """From when on rows are read (inclusive, UTC): its start, unless it is open."""
        return self._part[0] if self._part else self.start

    @property
    def until(self) -> datetime:
        """Until when rows are read (exclusive, UTC): its end, unless it is open."""
        return self._part[1] if self._part else self.end

    def opened(self, since: datetime, until: datetime) -> Partition:
        """The same partition, of which only a part is read.

        Args:
            since: Where the part begins (inclusive, UTC).
            until: Where the part ends (exclusive, UTC).

        Raises:
            ValueError: the part is not within the partition.
        """
        if not self.start <= since <= until <= self.end:
            raise ValueError(f"[{since}, {until}) is not a part of partition {self}")
        return replace(self, _part=(since, until))

    @property
    def next(self) -> Partition:
        """The partition after this one."""
        return Partition(self.end, self.cadence)

    @property
    def previous(self) -> Partition:
        """The partition before this one."""
        return self.cadence.at(self.start - timedelta(microseconds=1))

    def preceding(self, many: int, first: Partition) -> list[Partition]:
        """Up to `many` partitions directly before this one, none before `first`, oldest first.

        Args:
            many: The largest number of partitions to return.
            first: The earliest partition to return, usually the use case's first; of the same cadence.
        """
        partitions: list[Partition] = []
        current = self
        while len(partitions) < many and current > first:
            current = current.previous
            partitions.append(current)
        return partitions[::-1]

    def through(self, last: Partition) -> Iterator[Partition]:
        """This partition and every later one up to and including `last`."""
        current = self
        while current <= last:
            yield current
            current = current.next

    def __lt__(self, other: Partition) -> bool:
        return self.start < other.start

    def __str__(self) -> str:
        return self.key
