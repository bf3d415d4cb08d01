"""When feature rows are published: from when on serving can use a row, by the cadence and lag that its source declares.

A row that became known at `t` is published at the first multiple of the cadence since 1970-01-01 UTC that is later than
`t`, plus the lag. Later, because parts of event time are half-open: what becomes known at the moment of a tick comes
with the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from perennial.errors import BadFeatures

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

#: The longest cadence and the longest lag: moments of the next thousands of years stay within 64 bits.
LONGEST = timedelta(days=3660)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC)
#: The latest moment in each unit; what would be published later counts as published then.
_LAST_TICK = {"us": (_LAST - _EPOCH) // _MICROSECOND, "ns": 2**63 - 1}


@dataclass(frozen=True)
class Publication:
    """How rows of a feature table reach serving.

    Attributes:
        every: The cadence; None: each row by itself.
        after: The lag: how long it takes from a tick of the cadence (without one: from when the row became known) until
            the row can be served.
    """

    every: timedelta | None = None
    after: timedelta = timedelta(0)

    @property
    def is_at_once(self) -> bool:
        """Whether each row is published the moment it becomes known."""
        return self.every is None and not self.after

    def check(self, owner: str) -> None:
        """Check that these are a cadence and a lag.

        Args:
            owner: Whose they are, for errors.

        Raises:
            BadFeatures: one is no duration, or too short or too long.
        """
        declared = {"published_every": self.every, "published_after": self.after}
        for name, value in declared.items():
            if name == "published_every" and value is None:
                continue
            if not isinstance(value, timedelta):
                raise BadFeatures(
                    f"{owner} declares {name}={value!r}, which is no duration.",
                    f"Write it as a timedelta, for instance {name}=timedelta(hours=1).",
                )
            if value > LONGEST or value < timedelta(0) or (name == "published_every" and not value):
                least = "more than zero" if name == "published_every" else "zero or more"
                raise BadFeatures(
                    f"{owner} declares {name}={value!r}, which is out of range.",
                    f"It must be {least}, and at most {LONGEST.days} days.",
                )

    def of(self, known: datetime) -> datetime:
        """When a row is published.

        Args:
            known: When it became known; without a time zone in UTC.

        Returns:
            UTC, never before `known`; the last moment of year 9999 where it would be later than that.
        """
        known = known if known.tzinfo else known.replace(tzinfo=UTC)
        moment = (known - _EPOCH) // _MICROSECOND
        every, after = self._ticks("us")
        if moment > _LAST_TICK["us"] - every - after:
            return _LAST
        tick = moment - moment % every + every if every else moment
        return _EPOCH + timedelta(microseconds=tick + after)

    def ticks(self, known: pl.Expr, unit: str) -> pl.Expr:
        """The same for moments as whole numbers (int64) since 1970.

        Args:
            known: When rows became known; null stays null.
            unit: What they are counted in, `us` or `ns`.
        """
        import polars as pl

        if self.is_at_once:
            return known
        every, after = self._ticks(unit)
        last = _LAST_TICK[unit]
        tick = known - known % every + every if every else known
        return pl.when(known > last - every - after).then(last).otherwise(tick + after)

    def times(self, known: pa.Array) -> pa.Array:
        """The same for timestamps.

        Args:
            known: When rows became known (us or ns, UTC); null stays null.

        Returns:
            Timestamps of the same type.
        """
        import polars as pl
        import pyarrow as pa

        if self.is_at_once:
            return known
        ticks = pl.select(self.ticks(pl.lit(pl.Series(known.cast(pa.int64()))), known.type.unit)).to_series()
        return ticks.to_arrow().cast(known.type)

    def __str__(self) -> str:
        lag = f"{in_words(self.after)} later" if self.after else ""
        if self.every is None:
            return lag or "at once"
        return f"every {in_words(self.every)}" + (f", {lag}" if lag else "")

    def _ticks(self, unit: str) -> tuple[int, int]:
        scale = 1000 if unit == "ns" else 1
        every = self.every // _MICROSECOND if self.every else 0
        return every * scale, self.after // _MICROSECOND * scale


#: What a source without a declaration does.
AT_ONCE = Publication()


def in_words(length: timedelta) -> str:
    """A duration in the largest unit that it is a whole number of."""
    for unit, of_unit in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if not length % of_unit:
            count = length // of_unit
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{length.total_seconds():.15g} seconds"
