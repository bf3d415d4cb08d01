"""Finds the key columns of the entity, and the columns that identify a row."""

from __future__ import annotations

import re
from dataclasses import dataclass

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold.profiling import Look, ProfiledColumn
from perennial.scaffold.times import Times

_SOUNDS_LIKE_KEY = re.compile(r"(^|_)(id|key|no|nr|code|number|sku|uuid|user|customer|store|shop|sensor|device)(_|$)")
#: How often a value must occur, on average, to be a key with a past.
_REPETITION = 3


@dataclass(frozen=True)
class Candidate:
    """A column that may say what a row is about.

    Attributes:
        each: Rows for each of its values, on average.
        is_series: Whether it has one row at each moment, at most.
    """

    column: ProfiledColumn
    each: float
    is_series: bool


def candidates(look: Look, times: Times, but: set[str]) -> list[Candidate]:
    """Columns that may be an entity's key: whole numbers and text that repeat, nearly always there.

    Args:
        look: The profiled data.
        times: The times of its rows.
        but: Names of columns that something else was decided on.
    """
    chosen = []
    for column in look.columns:
        if column.name in but or column.kind not in ("integer", "text") or column.missing > times.rows / 100:
            continue
        if column.distinct < 2 or times.rows / column.distinct < _REPETITION:
            continue
        # Whole numbers may be amounts, and text that is numbers for the greater part a measure with some words.
        if (column.kind == "integer" or column.mixed) and not _is_named_like_key(column):
            continue
        chosen.append(Candidate(column, times.rows / column.distinct, repeated(look, (column.name,)) == 0))
    return chosen


def repeated(look: Look, keys: tuple[str, ...]) -> int:
    """How many (key, moment) occur more than once.

    Args:
        look: The profiled data, with its table `timed`.
        keys: Names of key columns; empty: how many moments do.
    """
    return _more_than_once(look, (*keys, "moment"))


def identifying(look: Look, times: Times, keys: tuple[str, ...], but: set[str]) -> tuple[str, ...]:
    """Columns that identify a row and are never missing; empty: there are none.

    The keys and the time, if they do; else a column that does alone and is no measure, one named like a key first.

    Args:
        look: The profiled data.
        times: The times of its rows.
        keys: Names of the entity's key columns.
        but: Names of columns that are known too late, or that somebody does not want.
    """
    by_name = {column.name: column for column in look.columns}
    if all(not by_name[key].missing for key in keys) and not repeated(look, keys):
        return (*keys, times.column.name)
    for column in sorted(look.columns, key=_is_named_like_key, reverse=True):
        if column.name in but or column.missing or column.distinct <= times.rows * 0.9:
            continue
        if _may_name_rows(column, times) and not _more_than_once(look, (column.name,)):
            return (column.name,)
    return ()


def _may_name_rows(column: ProfiledColumn, times: Times) -> bool:
    """Whether a column is no measure, whose values are different by chance only."""
    if column.kind == "integer":
        return _is_named_like_key(column) or column.high - column.low == times.rows - 1
    return column.kind == "text" and (_is_named_like_key(column) or not column.mixed)


def _is_named_like_key(column: ProfiledColumn) -> bool:
    return _SOUNDS_LIKE_KEY.search(column.name) is not None


def _more_than_once(look: Look, columns: tuple[str, ...]) -> int:
    by = ", ".join(map(quote_ident, columns))
    sql = f"SELECT count(*) FROM (SELECT {by} FROM timed GROUP BY {by} HAVING count(*) > 1)"  # noqa: S608
    return int(look.ask(sql)[0][0])
