"""Lengths of time as people write them: 12h, 90d, 2w."""

from __future__ import annotations

from datetime import timedelta

from perennial.errors import InvalidParams

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def duration(text: str, option: str) -> timedelta:
    """A length of time, more than none.

    Args:
        text: A whole number and its unit.
        option: Where it was given, for the error.

    Raises:
        InvalidParams: it is none.
    """
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not (number.isascii() and number.isdecimal()) or not 0 < int(number) < 10_000:
        raise InvalidParams(f"{option} {text} is no length of time.", "Write it as 12h, 90d or 2w.")
    return timedelta(**{unit: int(number)})


def shown(length: timedelta) -> str:
    """The same the other way round, for lengths of whole minutes: 36h, 2d, 90m."""
    minutes = int(length.total_seconds() // 60)
    for unit, size in (("d", 24 * 60), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
