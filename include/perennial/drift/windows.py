"""Windows of time inside the training data, whose distances from the rest are the baselines of drift.

The training rows are counted in blocks of time, a fraction of a partition each. A run of blocks as long as a partition
is a window that occurred; a random choice of as many blocks is one that might have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from perennial.partitions import Cadence, Partition

#: At most this many blocks are kept; longer blocks where there would be more, then evenly chosen ones.
BLOCKS = 512
#: Random windows, which show how far a partition is from the rest by chance.
RANDOM_WINDOWS = 300
#: A history is cut into at least this many windows, shorter than a partition if need be.
MIN_WINDOWS = 4
_MICROSECOND = 1_000_000
_LADDERS = {
    Cadence.HOURLY: ("10m", "1h"),
    Cadence.DAILY: ("1h", "6h", "1d"),
    Cadence.WEEKLY: ("1d", "1w"),
    Cadence.MONTHLY: ("1d", "1w", "1mo"),
}
_LENGTHS = {
    Cadence.HOURLY: timedelta(hours=1),
    Cadence.DAILY: timedelta(days=1),
    Cadence.WEEKLY: timedelta(days=7),
    Cadence.MONTHLY: timedelta(days=30),
}
#: How far from the same time a year ago a block is still of the same season.
_SEASON = {
    Cadence.HOURLY: timedelta(days=15),
    Cadence.DAILY: timedelta(days=15),
    Cadence.WEEKLY: timedelta(days=14),
    Cadence.MONTHLY: timedelta(0),
}


@dataclass(frozen=True)
class Blocks:
    """The blocks of time that training rows are counted in.

    Attributes:
        starts: (blocks,) ascending, microseconds since 1970 UTC.
        length: Of a block, microseconds; the longest if they differ.
    """

    starts: np.ndarray
    length: int

    @classmethod
    def of(cls, cadence: Cadence, times: pl.Series) -> tuple[Blocks, np.ndarray]:
        """Cut rows into blocks of time.

        Args:
            cadence: Blocks are a fraction of its partitions.
            times: (n,) event times, UTC.

        Returns:
            The blocks, and (n,) the block of each row; -1 where its block is not kept.
        """
        for every in _LADDERS[cadence]:
            floors = times.dt.truncate(every)
            starts = floors.unique().sort()
            if len(starts) <= BLOCKS:
                break
        kept = starts.gather(np.unique(np.linspace(0, len(starts) - 1, min(BLOCKS, len(starts))).astype(int)))
        ends = kept.dt.offset_by(every)
        begin = kept.dt.epoch("us").to_numpy()
        places = np.searchsorted(begin, floors.dt.epoch("us").to_numpy(), side="right") - 1
        block = np.where(begin[places.clip(min=0)] == floors.dt.epoch("us").to_numpy(), places, -1)
        return cls(begin, int((ends.dt.epoch("us").to_numpy() - begin).max())), block

    def __len__(self) -> int:
        return len(self.starts)

    def place(self, times: np.ndarray) -> np.ndarray:
        """The block of each time (microseconds), of rows among those that the blocks were made of; -1: of none."""
        places = np.searchsorted(self.starts, times, side="right") - 1
        inside = (places >= 0) & (times < self.starts[places.clip(min=0)] + self.length)
        return np.where(inside, places, -1)

    def runs(self, cadence: Cadence) -> np.ndarray:
        """(windows, 2): first block, and the one after the last, of every run as long as a partition.

        Of a history shorter than four partitions, runs of a fourth of it.
        """
        if not len(self.starts):
            return np.empty((0, 2), dtype=int)
        end = self.starts[-1] + self.length
        span = _microseconds(_LENGTHS[cadence])
        if end - self.starts[0] < MIN_WINDOWS * span:
            span = max(self.length, (end - self.starts[0]) // MIN_WINDOWS)
        first = np.arange(len(self.starts))
        after = np.searchsorted(self.starts, self.starts + span, side="left")
        # One that leaves nothing to compare it with is of no use.
        whole = (self.starts + span <= end) & (after - first < len(self.starts))
        return np.stack([first, after], axis=1)[whole]

    def choices(self, runs: np.ndarray) -> np.ndarray:
        """(windows, blocks) of 0 and 1: random choices of as many blocks as a run has, at most half of them.

        The seed is fixed: the same profile always gives the same limits.
        """
        if len(self.starts) < 2 * MIN_WINDOWS or not len(runs):
            return np.empty((0, len(self.starts)), dtype=int)
        size = min(int(np.median(runs[:, 1] - runs[:, 0])), len(self.starts) // 2)
        order = np.random.default_rng(0).random((RANDOM_WINDOWS, len(self.starts))).argsort(axis=1)
        return (order < size).astype(int)

    def season(self, partition: Partition) -> np.ndarray:
        """(blocks,) whether a block is of the partition's season in an earlier year.

        Months by their month; weeks within two weeks; days within 15 days and on the same weekday; hours within 15
        days and at the same hour.
        """
        is_in_season = np.zeros(len(self.starts), dtype=bool)
        for start, end in self._earlier_years(partition):
            is_in_season |= (self.starts >= start) & (self.starts < end)
        if partition.cadence == Cadence.DAILY and self.length <= _microseconds(timedelta(days=1)):
            # The epoch began on a Thursday.
            is_in_season &= (self.starts // _microseconds(timedelta(days=1)) + 3) % 7 == partition.start.weekday()
        if partition.cadence == Cadence.HOURLY:
            is_in_season &= self.starts // _microseconds(timedelta(hours=1)) % 24 == partition.start.hour
        return is_in_season

    def _earlier_years(self, partition: Partition) -> Iterator[tuple[int, int]]:
        around = _SEASON[partition.cadence]
        oldest = self.starts[0] if len(self.starts) else np.inf
        for years in range(1, 50):
            start = _years_before(partition.start, years) - around
            end = _years_before(partition.end, years) + around
            if _epoch(end) <= oldest:
                return
            yield _epoch(start), _epoch(end)


def _years_before(moment: datetime, years: int) -> datetime:
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    return moment.replace(year=moment.year - years, day=day)


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp()) * _MICROSECOND


def _microseconds(span: timedelta) -> int:
    return int(span.total_seconds()) * _MICROSECOND
