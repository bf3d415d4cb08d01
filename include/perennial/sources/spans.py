"""A stretch of time, as a condition that a database understands on a column of its own type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import types

#: How moments are written in a column: in a type of time, as a number since 1970, as a number like 20240131, or as text
#: that begins with a day like 2024-01-31. "": in a way that is not ordered like time.
Written = Literal["", "type", "seconds", "milliseconds", "microseconds", "days", "text"]
_PER_SECOND = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """The moments from `start` (included) to `end` (excluded), both UTC, of a column.

    Attributes:
        written: How they are written there. A column's type of time is seen, and taken, in any case.
    """

    column: str
    start: datetime
    end: datetime
    written: Written = "type"

    def conditions(
        self, column: sa.ColumnElement[Any], kind: types.TypeEngine[Any], dialect: str
    ) -> list[sa.ColumnElement[bool]]:
        """What every row of the span fulfils; none if the database cannot tell.

        A little wider than the span: text may carry a zone, and fractions are rounded by whoever reads them. Moments
        without a zone are UTC.

        Args:
            column: The column in the query.
            kind: Its type, as the database declares it.
            dialect: SQLAlchemy's name of the database. `sqlite` is special: its declared types say nothing of values.

        Returns:
            Conditions that are joined by AND.
        """
        start, end = self.start.astimezone(UTC), self.end.astimezone(UTC)
        is_loose = dialect == "sqlite"  # Of no type of time, whatever it is called.
        if isinstance(kind, types.DateTime) and not is_loose:
            if not kind.timezone:
                start, end = start.replace(tzinfo=None), end.replace(tzinfo=None)
            bounds: tuple[Any, Any] = sa.literal(start, kind), sa.literal(end, kind)
            return [column >= bounds[0], column < bounds[1]]
        if isinstance(kind, types.Date) and not is_loose:
            return [column >= sa.literal(start.date(), kind), column <= sa.literal(end.date(), kind)]
        if is_loose and self.written in (*_PER_SECOND, "days"):
            column, is_number = sa.cast(column, types.Numeric()), True
        else:
            is_number = isinstance(kind, types.Integer | types.Numeric | types.Float)
        if is_number and self.written in _PER_SECOND:
            unit = _PER_SECOND[self.written]
            low, high = (int(each.timestamp()) * unit for each in (start, end))
            return [column >= sa.literal(low - unit), column <= sa.literal(high + unit)]
        if is_number and self.written == "days":
            low, high = (int(f"{each:%Y%m%d}") for each in (start, end))
            return [column >= sa.literal(low), column <= sa.literal(high)]
        if self.written == "text" and (is_loose or isinstance(kind, types.String)):
            # Digits and hyphens at the same places: in any collation they are ordered like the days.
            day = sa.func.substr(column, 1, 10)
            return [day >= f"{start - _DAY:%Y-%m-%d}", day <= f"{end + _DAY:%Y-%m-%d}"]
        return []
