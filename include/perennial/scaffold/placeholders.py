"""Notices what probably stands for "not known": -200 among measures that are positive, 999, `?` or `unknown` in text.

It is told, and stays what it is: only people know whether `none` is a kind of something or no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.scaffold import fitting, places
from perennial.scaffold.design import Assumption
from perennial.scaffold.profiling import Look, ProfiledColumn

#: How often such a number must occur: so many times, and in such a share of the rows.
_TIMES, _SHARE = 5, 0.001
#: Fewer different values are names of something, of which one may be called -1.
_DIFFERENT = 10
#: By how much it must be apart from all others: a share of their width. Of numbers that are usual in this, by less.
_APART, _USUAL_APART = 0.5, 0.05
_USUAL = frozenset({-1, -9, -99, -999, -9999, -99999, 99, 999, 9999, 99999, 999999, 32767, -32768, 2147483647})

#: So many columns are named that have the same.
_LISTED = 6
_FIX = "if it stands for a value that is not known, leave it empty in the data, or declare it as `nulls` in source.py"


@dataclass(frozen=True)
class Placeholder:
    """A number of a column that probably stands for none.

    Attributes:
        rows: How many rows have it.
    """

    column: ProfiledColumn
    value: float
    rows: int


def find(look: Look, but: set[str]) -> list[Placeholder]:
    """The columns' smallest or largest numbers that are repeated, and apart from all others.

    Args:
        look: The profiled data, with its table `timed`.
        but: Names of columns that something else was decided on.
    """
    columns = [each for each in look.columns if each.is_number and each.name not in but and each.distinct > _DIFFERENT]
    asked = [(each.name, fact) for each in columns for fact in _facts(each)]
    answers = iter(places.read_each(look.connection, look.place, asked, "timed"))
    facts = [(each, [next(answers) for _ in range(4)]) for each in columns]
    found = [
        each
        for column, (low, second, high, last) in facts
        for each in _of_column(look, column, low, second, high, last)
    ]
    # What stands for none in one column does so in others.
    same = {each.value for each in found}
    known = {(each.column.name, each.value) for each in found}
    for column, (low, _, high, _) in facts:
        for value, rows in ((column.low, low), (column.high, high)):
            if value in same and (column.name, value) not in known and _is_frequent(look, rows):
                found.append(Placeholder(column, value, rows))
    return found


def note(look: Look, label: ProfiledColumn, but: set[str], assume: list[Assumption]) -> None:
    """Record as assumptions which numbers are taken for what they are although they may stand for none.

    Args:
        look: The profiled data, with its table `timed`.
        label: The label's column; told first.
        but: Names of columns that something else was decided on.
        assume: Collects what was assumed.
    """
    by_value: dict[float, list[Placeholder]] = {}
    for each in find(look, but):
        if each.column.name == label.name:
            what = f"{each.rows:,} values of the label {each.column.source!r} are the number {_shown(each.value)}"
            share = f"in {each.rows / look.rows:.1%} of the rows"
            why = f"{share}, and apart from all others: {_FIX}, or a model learns it as an outcome"
            assume.append(Assumption("values", what, why))
        else:
            by_value.setdefault(each.value, []).append(each)
    for value, found in by_value.items():
        rows = sum(each.rows for each in found)
        columns = _listed([(each.column, each.rows) for each in found], look)
        what = f"{rows:,} values of {columns} are the number {_shown(value)}"
        assume.append(Assumption("values", what, f"apart from all others: {_FIX}"))


def note_words(look: Look, but: set[str], assume: list[Assumption]) -> None:
    """Record as assumptions which words of text stay categories although they may stand for no value.

    Args:
        look: The profiled data, with its table `timed`.
        but: Names of columns that something else was decided on.
        assume: Collects what was assumed.
    """
    columns = [each for each in look.columns if each.kind == "text" and each.name not in but and each.distinct > 1]
    words = ", ".join(map(quote_literal, fitting.NOTHING))
    trimmed = {each.name: f"trim({quote_ident(each.name)})" for each in columns}
    asked = [
        (name, f"histogram(CASE WHEN lower({text}) IN ({words}) THEN {text} END)") for name, text in trimmed.items()
    ]
    by_word: dict[str, list[tuple[ProfiledColumn, int]]] = {}
    for column, counts in zip(columns, places.read_each(look.connection, look.place, asked, "timed"), strict=True):
        for word, rows in (counts or {}).items():
            if _is_frequent(look, rows):
                by_word.setdefault(word, []).append((column, rows))
    for word, found in by_word.items():
        what = f"{sum(rows for _, rows in found):,} values of {_listed(found, look)} are {word!r}"
        assume.append(Assumption("values", what, f"a category like any other: {_FIX}"))


def _listed(columns: Sequence[tuple[ProfiledColumn, int]], look: Look) -> str:
    """Columns, each with the share of the rows that have something."""
    shown = [f"{column.source!r} ({rows / look.rows:.1%} of the rows)" for column, rows in columns[:_LISTED]]
    if len(columns) > _LISTED:
        shown.append(f"{len(columns) - _LISTED} other columns")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _shown(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _facts(column: ProfiledColumn) -> Sequence[str]:
    """Of both ends of a column: how many rows have it, and which value is next."""
    name, low, high = quote_ident(column.name), _literal(column.low), _literal(column.high)
    return (
        f"count(*) FILTER ({name} = {low})",
        f"min({name}) FILTER ({name} > {low})",
        f"count(*) FILTER ({name} = {high})",
        f"max({name}) FILTER ({name} < {high})",
    )


def _of_column(look: Look, column: ProfiledColumn, low: int, second: Any, high: int, last: Any) -> list[Placeholder]:
    ends = []
    if second is None or last is None:
        return []
    if _is_frequent(look, low):
        is_usual = column.low in _USUAL and second >= 0
        # The only negative number of many that are counted is apart from them by nothing but its sign.
        is_apart = second - column.low > _APART * (column.high - second)
        if is_apart or is_usual:
            ends.append(Placeholder(column, column.low, low))
    if _is_frequent(look, high):
        apart = _USUAL_APART if column.high in _USUAL else _APART
        if column.high - last > apart * (last - column.low):
            ends.append(Placeholder(column, column.high, high))
    return ends


def _is_frequent(look: Look, rows: int) -> bool:
    return rows >= _TIMES and rows >= _SHARE * look.rows


def _literal(value: Any) -> str:
    return f"CAST({value!r} AS DOUBLE)" if isinstance(value, float) else str(value)
