"""Turns a time range into SQL conditions on a database column of whatever type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import types

#: How times are stored in a column: in a time type, as a number since 1970, as a number like 20240131, or as text that
#: begins with a day like 2024-01-31. "": in a format that does not sort like time.
Written = Literal["", "type", "seconds", "milliseconds", "microseconds", "days", "text"]
_PER_SECOND = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """The times from `start` (inclusive) to `end` (exclusive), both UTC, of a column.

    Attributes:
        written: How they are stored there. A column with a time type is recognized in any case.
    """

    column: str
    start: datetime
    end: datetime
    written: Written = "type"

    def conditions(
        self, column: sa.ColumnElement[Any], kind: types.TypeEngine[Any], dialect: str
    ) -> list[sa.ColumnElement[bool]]:
        """Conditions that are true for every row of the span; none if the database cannot evaluate any.

        They are a little wider than the span: text may have a time zone, and readers may round fractions. Times
        without a zone are UTC. They are true as well for rows without a time, or with text that is no time: else no
        partition would ever meet those.

        Args:
            column: The column in the query.
            kind: Its type, as the database declares it.
            dialect: SQLAlchemy's name of the database. `sqlite` is special: its declared types do not constrain values.

        Returns:
            Conditions to be joined by AND.
        """
        start, end = self.start.astimezone(UTC), self.end.astimezone(UTC)
        is_loose = dialect == "sqlite"  # It has no time types, whatever they are called.
        if isinstance(kind, types.DateTime) and not is_loose:
            if not kind.timezone:
                start, end = start.replace(tzinfo=None), end.replace(tzinfo=None)
            bounds: tuple[Any, Any] = sa.literal(start, kind), sa.literal(end, kind)
            return [sa.or_(sa.and_(column >= bounds[0], column < bounds[1]), *_never(column, kind, dialect))]
        if isinstance(kind, types.Date) and not is_loose:
            bounds = sa.literal(start.date(), kind), sa.literal(end.date(), kind)
            return [sa.or_(sa.and_(column >= bounds[0], column <= bounds[1]), *_never(column, kind, dialect))]
        if is_loose and self.written in (*_PER_SECOND, "days"):
            column, is_number = sa.cast(column, types.Numeric()), True
        else:
            is_number = isinstance(kind, types.Integer | types.Numeric | types.Float)
        if is_number and self.written in _PER_SECOND:
            unit = _PER_SECOND[self.written]
            low, high = (int(each.timestamp()) * unit for each in (start, end))
            return [sa.or_(_between(column, low - unit, high + unit), *_never(column, kind, dialect))]
        if is_number and self.written == "days":
            low, high = (int(f"{each:%Y%m%d}") for each in (start, end))
            return [sa.or_(_between(column, low, high), *_never(column, kind, dialect))]
        if self.written == "text" and (is_loose or isinstance(kind, types.String)):
            # Digits and hyphens in the same places sort like the days in any collation.
            day = sa.func.substr(column, 1, 10)
            is_near = sa.and_(day >= f"{start - _DAY:%Y-%m-%d}", day <= f"{end + _DAY:%Y-%m-%d}")
            return [sa.or_(is_near, column.is_(None), sa.not_(column.like("____-__-__%")))]
        return []


def _between(column: sa.ColumnElement[Any], low: int, high: int) -> sa.ColumnElement[bool]:
    return sa.and_(column >= sa.literal(low), column <= sa.literal(high))


def _never(column: sa.ColumnElement[Any], kind: types.TypeEngine[Any], dialect: str) -> list[sa.ColumnElement[bool]]:
    """Conditions that are true for values that are no time: missing or infinite ones, or no number."""
    found: list[sa.ColumnElement[bool]] = [column.is_(None)]
    if dialect == "postgresql" and isinstance(kind, types.DateTime | types.Date):
        found.append(sa.not_(sa.func.isfinite(column)))
    elif dialect == "postgresql" and isinstance(kind, types.Float):
        found.append(column.in_([sa.cast(value, types.Double()) for value in ("NaN", "Infinity", "-Infinity")]))
    return found
