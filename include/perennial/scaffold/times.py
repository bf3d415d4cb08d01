"""Measures the time column: its range, resolution and gaps, and the cadence that fits it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.partitions import Cadence, Partition
from perennial.scaffold.profiling import Look, ProfiledColumn

#: So many partitions make a replay that shows something and ends.
FEWEST, MOST = 6, 40
#: In a regular series so many of the intervals are alike; of five trading days four are followed by another day.
_REGULAR = 0.75
_UNIT = {Cadence.HOURLY: "hour", Cadence.DAILY: "day", Cadence.WEEKLY: "week", Cadence.MONTHLY: "month"}
LENGTH = {
    Cadence.HOURLY: timedelta(hours=1),
    Cadence.DAILY: timedelta(days=1),
    Cadence.WEEKLY: timedelta(days=7),
    Cadence.MONTHLY: timedelta(days=30),
}


@dataclass(frozen=True)
class Resolution:
    """How finely times are written; what is of a moment is taken to be known once it is over."""

    name: str
    length: timedelta
    is_below_seconds: bool = False


@dataclass(frozen=True)
class Buckets:
    """The rows cut by a cadence.

    Attributes:
        partitions: From the first that has rows to the last.
        rows: Of each of them.
    """

    cadence: Cadence
    partitions: tuple[Partition, ...]
    rows: tuple[int, ...]

    @property
    def empty(self) -> list[str]:
        """The names of the partitions without a row."""
        return [each.key for each, rows in zip(self.partitions, self.rows, strict=True) if not rows]

    @property
    def is_mostly_filled(self) -> bool:
        """Whether there are enough partitions with rows, and few without."""
        filled = len(self.partitions) - len(self.empty)
        return filled >= 4 and filled >= 0.75 * len(self.partitions)


@dataclass(frozen=True)
class Times:
    """When the rows are from. Table `timed` of the look's connection holds those that have a moment, with `moment`.

    Attributes:
        first, last: The span.
        missing: Rows without a usable moment, or outside the span that was asked for.
        moments: Different moments.
        is_sorted: Whether the rows lie in the order of their time.
        buckets: By cadence, the finest first; those with far too many partitions are left out.
    """

    column: ProfiledColumn
    first: datetime
    last: datetime
    rows: int
    missing: int
    moments: int
    is_sorted: bool
    resolution: Resolution
    buckets: tuple[Buckets, ...]


def measure(look: Look, column: ProfiledColumn, since: datetime | None, until: datetime | None) -> Times | None:
    """Measure a time column, and make table `timed`; None: no row has a moment.

    Args:
        look: The profiled data.
        column: The time column.
        since: Rows before it are left out.
        until: Rows from it on are left out.
    """
    bounds = [f"moment >= {quote_literal(since.isoformat())}"] if since else []
    bounds += [f"moment < {quote_literal(until.isoformat())}"] if until else []
    where = " AND ".join(["moment IS NOT NULL", *bounds])
    look.connection.execute(
        f"CREATE OR REPLACE VIEW timed AS SELECT * FROM (SELECT *, {column.moment} AS moment FROM looked) WHERE {where}"  # noqa: S608
    )
    rows, first, last, moments = look.ask(
        "SELECT count(*), epoch_us(min(moment)), epoch_us(max(moment)), approx_count_distinct(moment) FROM timed"
    )[0]
    if not rows:
        return None
    begin, end = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=each) for each in (first, last))
    disordered = look.ask(
        f"SELECT count(*) FROM (SELECT moment < lag(moment) OVER (ORDER BY rowid) AS back FROM (SELECT rowid,"  # noqa: S608
        f" {column.moment} AS moment FROM looked) WHERE {where}) WHERE back"
    )[0][0]
    return Times(
        column=column,
        first=begin,
        last=end,
        rows=rows,
        missing=look.rows - rows,
        moments=moments,
        is_sorted=not disordered,
        resolution=_resolution(look),
        buckets=tuple(_buckets(look, begin, end)),
    )


def _resolution(look: Look) -> Resolution:
    finer = {
        "month": "day(moment) != 1 OR epoch_us(moment) % 86400000000 != 0",
        "day": "epoch_us(moment) % 86400000000 != 0",
        "hour": "epoch_us(moment) % 3600000000 != 0",
        "minute": "epoch_us(moment) % 60000000 != 0",
        "second": "epoch_us(moment) % 1000000 != 0",
    }
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in finer.values())
    result = look.ask(f"SELECT {counts}, count(DISTINCT dayofweek(moment)), count(DISTINCT moment) FROM timed")[0]  # noqa: S608
    by_unit = dict(zip(finer, result, strict=False))
    weekdays, moments = result[-2:]
    if not by_unit["month"] and moments > 1:
        # Shorter than any month: known before the next one begins.
        return Resolution("month", timedelta(days=28))
    if not by_unit["day"] and weekdays == 1 and moments > 2:
        return Resolution("week", timedelta(days=7))
    lengths = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
    for unit, length in lengths.items():
        if not by_unit[unit]:
            return Resolution(unit, length)
    return Resolution("second", timedelta(seconds=1), is_below_seconds=bool(by_unit["second"]))


def _buckets(look: Look, first: datetime, last: datetime) -> list[Buckets]:
    buckets = []
    for cadence, unit in _UNIT.items():
        if (last - first) / LENGTH[cadence] > 50_000:
            continue
        sql = f"SELECT epoch_us(date_trunc('{unit}', moment)), count(*) FROM timed GROUP BY 1"  # noqa: S608
        counts = dict(look.ask(sql))
        partitions = tuple(cadence.at(first).through(cadence.at(last)))
        rows = tuple(counts.get(round(each.start.timestamp()) * 1_000_000, 0) for each in partitions)
        buckets.append(Buckets(cadence, partitions, rows))
    return buckets


def fitting(times: Times, needed: int) -> Buckets | None:
    """The cadence whose number of partitions is nearest to what a replay wants: one without empty partitions, if any.

    Args:
        times: The times of the rows.
        needed: Rows that a partition should have, as far as the data allows; fewer weigh like too many partitions.
    """
    filled = [each for each in times.buckets if each.is_mostly_filled]
    usable = [each for each in filled if not each.empty] or filled

    def distance(each: Buckets) -> float:
        count = len(each.partitions)
        beyond = math.log(count / MOST) if count > MOST else math.log(FEWEST / count) if count < FEWEST else 0.0
        return beyond + max(0.0, math.log(needed / (times.rows / count)))

    return min(usable, key=distance, default=None)


def candidates(look: Look) -> list[ProfiledColumn]:
    """The columns that may hold the time of a row: those of times, else numbers that can be moments."""
    enough = [column for column in look.columns if column.moment and column.missing <= look.rows / 10]
    enough = [column for column in enough if column.low != column.high]
    plain = [column for column in enough if column.kind == "time"]
    return plain or enough


def spacing(look: Look, keys: tuple[str, ...], moments: int) -> timedelta:
    """The usual time from one moment of a key to its next: the median, of some keys if there are very many rows.

    Args:
        look: The profiled data, with its table `timed`.
        keys: Names of the key columns; empty: all rows are one series.
        moments: How many different moments there are, about.
    """
    by = ", ".join(map(quote_ident, keys)) or "1"
    some = f"WHERE hash({by}) % {math.ceil(moments / 1_000_000)} = 0" if keys and moments > 1_000_000 else ""
    sql = (
        f"SELECT approx_quantile(gap, 0.5) FROM (SELECT epoch(moment) - epoch(lag(moment) OVER"  # noqa: S608
        f" (PARTITION BY {by} ORDER BY moment)) AS gap FROM (SELECT DISTINCT {by}, moment FROM timed {some}))"
        " WHERE gap > 0"
    )
    seconds = look.ask(sql)[0][0]
    return timedelta(seconds=float(seconds or 0))


def is_regular(look: Look) -> bool:
    """Whether the moments of table `timed` follow one another at nearly equal intervals, as months do, or with gaps."""
    moments = "(SELECT DISTINCT moment FROM timed)"
    gaps = f"SELECT epoch(moment) - epoch(lag(moment) OVER (ORDER BY moment)) AS gap FROM {moments}"  # noqa: S608
    sql = (
        f"WITH gaps AS ({gaps}), usual AS (SELECT median(gap) AS length FROM gaps)"  # noqa: S608
        " SELECT avg((abs(gap - length) <= 0.1 * length)::INT) FROM gaps, usual WHERE gap IS NOT NULL"
    )
    return float(look.ask(sql)[0][0] or 0) >= _REGULAR
