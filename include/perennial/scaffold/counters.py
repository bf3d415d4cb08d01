"""Finds columns that count: they number the rows, or only rise with time, so that each partition has unseen values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from perennial._common.duckdb_session import in_parts
from perennial._common.sql_quoting import quote_ident
from perennial.scaffold.profiling import Look, ProfiledColumn

#: What programs call the number of a row where it had no name.
_NAMELESS = re.compile(r"^(unnamed(: ?|_)\d+|column\d+|)$", re.IGNORECASE)
_NAMED_LIKE_NUMBER = re.compile(
    r"^(index|idx|level_0|instant|s_?no|sl_?no|serial(_(no|number))?|(row|rec|record|line)(_?(id|no|nr|num|number))?)$"
)
#: So many of the rows must follow the rule, and so many different values make a column that rises one that counts.
_NEARLY, _DIFFERENT = 0.99, 3
#: So many columns are looked at by one query.
_AT_ONCE = 50


def row_numbers(look: Look, but: set[str]) -> dict[str, str]:
    """Name -> why, of the columns that number the rows: in the order of the data, of each file, or in another order.

    Args:
        look: The profiled data.
        but: Names of columns that are something else.
    """
    whole = [each for each in look.columns if each.name not in but and not each.missing and _is_whole(each)]
    if not whole:
        return {}
    counts = [each for some in in_parts(whole, _AT_ONCE) for each in _moves(look, some)]
    files = _files(look)
    reasons = {}
    for column, (steps, rises, restarts, width) in zip(whole, counts, strict=True):
        if _numbers_rows(look, column, (steps, rises, restarts), width, files):
            each_file = " of each file" if restarts and steps + restarts == look.rows - 1 else ""
            reasons[column.name] = f"numbers the rows{each_file}"
    return reasons


def _moves(look: Look, columns: Sequence[ProfiledColumn]) -> list[tuple[Any, ...]]:
    """Of each column: rows with one more than the row before, more, and less and 0 or 1; and its range's width."""
    pairs = [(quote_ident(each.name), quote_ident(f"{each.name}__before")) for each in columns]
    # Wide enough for the difference of any two.
    kinds = ["HUGEINT" if each.kind == "integer" else "DOUBLE" for each in columns]
    before = ", ".join(
        f"CAST({name} AS {kind}) AS {name}, lag(CAST({name} AS {kind})) OVER (ORDER BY rowid) AS {earlier}"
        for (name, earlier), kind in zip(pairs, kinds, strict=True)
    )
    asked = ", ".join(
        f"count(*) FILTER ({name} = {earlier} + 1), count(*) FILTER ({name} > {earlier}),"
        f" count(*) FILTER ({name} < {earlier} AND {name} IN (0, 1)), max({name}) - min({name})"
        for name, earlier in pairs
    )
    (counts,) = look.ask(f"SELECT {asked} FROM (SELECT {before} FROM looked)")  # noqa: S608
    return [counts[first : first + 4] for first in range(0, len(counts), 4)]


def _numbers_rows(look: Look, column: ProfiledColumn, moves: tuple[int, int, int], width: float, files: int) -> bool:
    """Whether the values of a column are the numbers of the rows.

    Args:
        look: The profiled data.
        column: Whole numbers.
        moves: How many rows have one more than the row before, how many more than it, and how many begin again.
        width: The largest value less the smallest.
        files: How many files there are.
    """
    steps, rises, restarts = moves
    last = look.rows - 1
    if column.distinct < _DIFFERENT:
        return False
    if _NAMELESS.match(column.source):
        return True
    if steps + restarts >= _NEARLY * last and restarts < files:
        return True
    if _NAMED_LIKE_NUMBER.match(column.name) and (rises >= 0.9 * last or column.distinct > 0.9 * look.rows):
        return True
    if width != last or column.distinct < 0.9 * look.rows:
        return False
    return bool(look.ask(f"SELECT count(DISTINCT {quote_ident(column.name)}) FROM looked")[0][0] == look.rows)  # noqa: S608


def rising(look: Look, but: set[str]) -> dict[str, str]:
    """Name -> why, of the numbers that never fall (or never rise) from one moment to the next, and of years.

    Args:
        look: The profiled data, with its table `timed`.
        but: Names of columns that are something else.
    """
    numbers = [each for each in look.columns if each.name not in but and each.is_number and each.distinct > 1]
    reasons: dict[str, str] = {}
    for some in in_parts(numbers, _AT_ONCE):
        reasons |= _rising(look, some)
    return reasons


def _rising(look: Look, columns: Sequence[ProfiledColumn]) -> dict[str, str]:
    names = [quote_ident(each.name) for each in columns]
    by_moment = ", ".join(f"min({name}) AS low{n}, max({name}) AS high{n}" for n, name in enumerate(names))
    years = ", ".join(
        f"{end}(CASE WHEN {name} < 10000 AND {name} > -10000 THEN {name} - year(moment) END)"
        for name in names
        for end in ("min", "max")
    )
    ends = ", ".join(
        f"low{n}, high{n}, lag(low{n} IGNORE NULLS) OVER w AS low_{n}, lag(high{n} IGNORE NULLS) OVER w AS high_{n}"
        for n in range(len(names))
    )
    turns = ", ".join(
        f"count(*) FILTER (low{n} < high_{n}), count(*) FILTER (high{n} > low_{n})" for n in range(len(names))
    )
    moments, *counts = look.ask(
        f"SELECT count(*), {turns} FROM (SELECT {ends} FROM (SELECT moment, {by_moment} FROM timed GROUP BY moment)"  # noqa: S608
        " WINDOW w AS (ORDER BY moment))"
    )[0]
    offsets = look.ask(f"SELECT {years} FROM timed")[0]  # noqa: S608
    reasons = {}
    for number, column in enumerate(columns):
        falls, rises = counts[2 * number : 2 * number + 2]
        if -10_000 < column.low <= column.high < 10_000 and offsets[2 * number] == offsets[2 * number + 1]:
            reasons[column.name] = "is the year, and the next one has never been seen"
        elif column.distinct >= _DIFFERENT and moments >= 20 and min(falls, rises) <= moments / 1000:
            direction = "falls" if falls <= rises else "rises"
            reasons[column.name] = f"never {direction} from one time to the next: what comes has never been seen"
    return reasons


def _is_whole(column: ProfiledColumn) -> bool:
    if column.kind == "integer":
        return True
    return column.kind == "number" and float(column.low).is_integer() and float(column.high).is_integer()


def _files(look: Look) -> int:
    place = look.place
    if place.dialect or place.origin:
        return 1
    return len(place.files)
