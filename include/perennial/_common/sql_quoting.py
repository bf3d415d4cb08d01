"""Quotes names and texts for SQL, as PostgreSQL's functions of these names do; DuckDB and SQLite read the same."""

from __future__ import annotations


def quote_ident(name: str) -> str:
    """The name of a table or column, as it may stand in SQL whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A string, as it may stand in SQL whatever it contains. Values that can be bound are better bound."""
    return "'" + text.replace("'", "''") + "'"
