"""Names and strings as they may stand in SQL, whatever they hold."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A column's name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A string."""
    return "'" + value.replace("'", "''") + "'"
