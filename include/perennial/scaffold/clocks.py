"""Notices a column of times of day beside a column of days: both would be the time of a row, and only the day is."""

from __future__ import annotations

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.scaffold.design import Assumption
from perennial.scaffold.profiling import Look, ProfiledColumn
from perennial.scaffold.times import Times

#: 18:30, 18.30.00, 06:30 pm.
_CLOCK = r"\s*[0-2]?\d[:.][0-5]\d([:.][0-5]\d([.,]\d+)?)?(\s*[AaPp]\.?[Mm]\.?)?\s*"
_HOURS = frozenset({"hour", "hr", "hrs", "hours", "hour_of_day", "stunde", "heure", "hora"})


def find(look: Look, measured: Times, but: set[str]) -> ProfiledColumn | None:
    """The column of times of day; None: there is none, or the column of time has them.

    Args:
        look: The profiled data, with its table `timed`.
        measured: The times of its rows.
        but: Names of columns that something else was decided on.
    """
    if measured.resolution.length.days < 1:
        return None
    others = [each for each in look.columns if each.name not in but and not each.missing and each.distinct > 1]
    for column in others:
        if column.kind == "text" and _holds_clocks(look, column):
            return column
    hours = [each for each in others if each.kind == "integer" and each.name in _HOURS]
    return next((each for each in hours if each.low >= 0 and each.high <= 24), None)


def note(clock: ProfiledColumn | None, time: ProfiledColumn, assume: list[Assumption]) -> None:
    """Record as an assumption that the time of day is no part of the time.

    Args:
        clock: The column of times of day, if there is one.
        time: The column of days.
        assume: Collects what was assumed.
    """
    if clock:
        why = (
            f"{clock.source!r} holds times of day, and only one column can be the time: to predict within a day, join"
            " both in one column of the data"
        )
        assume.append(Assumption("time", f"the day alone, {time.source!r}", why, "--time"))


def _holds_clocks(look: Look, column: ProfiledColumn) -> bool:
    matches = f"regexp_full_match({quote_ident(column.name)}, {quote_literal(_CLOCK)})"
    # Prices have no leading zeros and more than two parts only as times.
    has_parts = f"regexp_matches({quote_ident(column.name)}, '[:]|[.].*[.]')"
    return bool(look.ask(f"SELECT coalesce(bool_and({matches} AND {has_parts}), false) FROM timed")[0][0])  # noqa: S608
