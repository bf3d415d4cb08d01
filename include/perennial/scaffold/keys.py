"""Finds the key columns of the entity, and the columns that identify a row."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold import names
from perennial.scaffold.profiling import Look, ProfiledColumn
from perennial.scaffold.times import Times

_SOUNDS_LIKE_KEY = re.compile(r"(^|_)(id|key|no|nr|code|number|sku|uuid|user|customer|store|shop|sensor|device)(_|$)")
#: How often a value must occur, on average, to be a key with a past.
_REPETITION = 3
#: So many pairs of rows at one moment must be expected to have the same key by chance, before none has it for a reason.
_SURPRISING = 5
#: A column that lacks more than the one share of its values is asked about, and with more than the other is no key.
FEW_MISSING, _MANY_MISSING = 0.01, 0.1


@dataclass(frozen=True)
class Candidate:
    """A column that may say what a row is about.

    Attributes:
        each: Rows for each of its values, on average.
        missing: Rows without a value.
        is_series: Whether it has one row at each moment, at most, and that not by chance.
    """

    column: ProfiledColumn
    each: float
    is_series: bool
    missing: int = 0

    def __str__(self) -> str:
        gaps = f", {self.missing:,} rows have none" if self.missing else ""
        return f"{self.column.source} ({self.each:.0f} rows each{gaps})"


def candidates(look: Look, times: Times, but: set[str]) -> list[Candidate]:
    """Columns that may be an entity's key: whole numbers and text that repeat, nearly always there.

    Args:
        look: The profiled data.
        times: The times of its rows.
        but: Names of columns that something else was decided on.
    """
    chosen = []
    # Pairs of rows at the same moment.
    pairs = look.ask("SELECT coalesce(sum(n * (n - 1) / 2), 0) FROM (SELECT count(*) AS n FROM timed GROUP BY moment)")
    for column in look.columns:
        if column.name in but or column.missing > times.rows * _MANY_MISSING or not _repeats(column, times):
            continue
        one_each = float(pairs[0][0]) * _alike(look, column) >= _SURPRISING and repeated(look, (column.name,)) == 0
        chosen.append(Candidate(column, times.rows / column.distinct, one_each, column.missing))
    return chosen


def lacking(look: Look, times: Times, but: set[str]) -> list[ProfiledColumn]:
    """Columns named like keys that would be candidates, but lack too many of their values.

    Args:
        look: The profiled data.
        times: The times of its rows.
        but: Names of columns that something else was decided on.
    """
    others = [each for each in look.columns if each.name not in but and each.missing > times.rows * _MANY_MISSING]
    return [each for each in others if is_named_like_key(each) and _repeats(each, times)]


def _repeats(column: ProfiledColumn, times: Times) -> bool:
    if column.kind not in ("integer", "text") or column.distinct < 2:
        return False
    if (times.rows - column.missing) / column.distinct < _REPETITION:
        return False
    # Whole numbers may be amounts, and text that is numbers for the greater part a measure with some words.
    return (column.kind == "text" and not column.mixed) or is_named_like_key(column)


def _alike(look: Look, column: ProfiledColumn) -> float:
    """How probable it is that two rows have the same value."""
    name = quote_ident(column.name)
    sql = f"SELECT sum(n * n) / (sum(n) * sum(n)) FROM (SELECT count({name})::DOUBLE AS n FROM timed GROUP BY {name})"  # noqa: S608
    return float(look.ask(sql)[0][0])


def repeated(look: Look, keys: tuple[str, ...]) -> int:
    """How many (key, moment) occur more than once; where a key is missing, they do not count.

    Args:
        look: The profiled data, with its table `timed`.
        keys: Names of key columns; empty: how many moments do.
    """
    return _more_than_once(look, (*keys, "moment"), keys)


def identifying(
    look: Look,
    times: Times,
    keys: tuple[str, ...],
    clock: tuple[str, ...],
    but: set[str],
    numbering: Collection[str],
) -> tuple[str, ...]:
    """Columns that identify a row and are never missing; empty: there are none.

    A column named like an identifier that does so alone; else the keys and the time, if they do, which may be by
    chance; else a column that does alone and is no measure, one named like a key first.

    Args:
        look: The profiled data.
        times: The times of its rows.
        keys: Names of the entity's key columns.
        clock: Name of the column of the time of day, where the time is a day; empty: there is none.
        but: Names of columns that are known too late, or that somebody does not want.
        numbering: Names of columns that number the rows. Whoever writes the data again may number them otherwise.
    """
    by_name = {column.name: column for column in look.columns}
    for column in look.columns:
        is_stable = column.name not in but and (column.name not in numbering or column.name == "id")
        if is_stable and is_named_like_id(column) and _is_different(look, column, times):
            return (column.name,)
    for parts in dict.fromkeys((keys, (*keys, *clock))):
        if all(not by_name[key].missing for key in parts) and not repeated(look, parts):
            return (*parts, times.column.name)
    for column in sorted(look.columns, key=is_named_like_key, reverse=True):
        if column.name not in but and _may_name_rows(column, times) and _is_different(look, column, times):
            return (column.name,)
    return ()


def _is_different(look: Look, column: ProfiledColumn, times: Times) -> bool:
    """Whether no two rows have the same value, and all have one."""
    if column.kind not in ("integer", "text") or column.missing or column.distinct <= times.rows * 0.9:
        return False
    return not _more_than_once(look, (column.name,))


def is_named_like_id(column: ProfiledColumn) -> bool:
    """Whether a column is called like what identifies one thing."""
    return names.sounds_like_id(column.name)


def _may_name_rows(column: ProfiledColumn, times: Times) -> bool:
    """Whether a column is no measure, whose values are different by chance only."""
    if column.kind == "integer":
        return is_named_like_key(column) or column.high - column.low == times.rows - 1
    return column.kind == "text" and (is_named_like_key(column) or not column.mixed)


def is_named_like_key(column: ProfiledColumn) -> bool:
    """Whether a column is called like a key, such as `store` or `customer_id`."""
    return _SOUNDS_LIKE_KEY.search(column.name) is not None


def _more_than_once(look: Look, columns: tuple[str, ...], filled: tuple[str, ...] = ()) -> int:
    by = ", ".join(map(quote_ident, columns))
    where = " AND ".join(["true", *(f"{quote_ident(each)} IS NOT NULL" for each in filled)])
    sql = f"SELECT count(*) FROM (SELECT {by} FROM timed WHERE {where} GROUP BY {by} HAVING count(*) > 1)"  # noqa: S608
    return int(look.ask(sql)[0][0])
