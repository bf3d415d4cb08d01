"""How often the features of the partition under way are refreshed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from pydantic import Field, model_validator

from perennial.partitions import Cadence, Partition
from perennial.use_case.declarations import Declaration

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
#: The shortest partition of each cadence.
LENGTHS = {Cadence.HOURLY: _HOUR, Cadence.DAILY: _DAY, Cadence.WEEKLY: 7 * _DAY, Cadence.MONTHLY: 28 * _DAY}


class Refresh(Declaration):
    """How often the features of the partition under way are brought to the lake and the online store.

    Scoring, training and monitoring wait for the partition's end as ever.
    """

    every: timedelta = Field(
        gt=timedelta(0),
        description="Time between two refreshes: minutes that divide an hour, hours that divide a day, or a day; on the"
        " clock, UTC, and shorter than a partition.",
    )
    overlap: timedelta | None = Field(
        default=None,
        ge=timedelta(0),
        description="How long after its event time a raw row may still arrive or change. A refresh fetches and computes"
        " again from so long before the previous one, and from the beginning of that day (of daily partitions: hour);"
        " what is older stays until the partition's end. None: from the partition's beginning, which costs more the"
        " longer it lasts.",
    )

    @model_validator(mode="after")
    def _is_on_the_clock(self) -> Self:
        if not self._cron():
            raise ValueError(f"{self.every} is neither minutes that divide an hour, hours that divide a day, nor a day")
        return self

    def _cron(self) -> str:
        minutes, rest = divmod(self.every, _MINUTE)
        if rest:
            return ""
        if self.every < _HOUR:
            return f"*/{minutes} * * * *" if 60 % minutes == 0 else ""
        hours, rest = divmod(self.every, _HOUR)
        if rest or 24 % hours:
            return ""
        return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"

    @property
    def cron(self) -> str:
        """The cron expression (UTC) that fires at each refresh."""
        return self._cron()

    def part(self, partition: Partition, last: datetime | None, until: datetime) -> Partition:
        """The part of a partition that a refresh fetches and computes.

        Args:
            partition: The partition under way.
            last: Until when the previous refresh of it came (UTC); None: there was none.
            until: Until when this one comes (UTC).
        """
        if last is None or self.overlap is None:
            return partition.opened(partition.start, until)
        # Features of whole days, or hours, begin with one: half of one would be another value.
        unit = Cadence.DAILY if LENGTHS[partition.cadence] > _DAY else Cadence.HOURLY
        since = unit.floor(max(last - self.overlap, partition.start))
        return partition.opened(max(since, partition.start), until)
