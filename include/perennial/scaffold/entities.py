"""Decides what rows are about, the keys of the entity, and what identifies a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from perennial.errors import InvalidParams
from perennial.scaffold import keys, times
from perennial.scaffold.asking import Ask
from perennial.scaffold.design import Assumption
from perennial.scaffold.options import Options
from perennial.scaffold.profiling import Look, ProfiledColumn
from perennial.scaffold.times import Times


def choose(
    look: Look,
    measured: Times,
    options: Options,
    label: ProfiledColumn,
    others: set[str],
    ask: Ask,
    assume: list[Assumption],
) -> tuple[ProfiledColumn, ...]:
    """What rows are about; empty: all are one series.

    Args:
        look: The profiled data, with its table `timed`.
        measured: The times of its rows.
        options: What the person gave.
        label: The label's column.
        others: Names of columns that are something else: a time of day, or dropped.
        ask: Asks the person.
        assume: Collects what was assumed.

    Raises:
        InvalidParams: the options exclude each other or name a column that is no key, or nobody is there to ask.
    """
    if options.key and options.no_key:
        raise InvalidParams("--key and --no-key exclude each other.", "Give one of them.")
    taken = {label.name, measured.column.name}
    if options.key:
        chosen = tuple(_given(look.column(key, "--key"), taken) for key in options.key)
    elif options.no_key:
        chosen = ()
    else:
        chosen = _inferred(look, measured, taken, others, ask, assume)
    for key in chosen:
        if key.missing:
            what = f"{key.missing:,} rows have no {key.source}"
            assume.append(Assumption("key", what, "they have no past: fill the key in the data if it is known"))
    values = max((key.distinct for key in chosen), default=0)
    if values > measured.rows / 2:
        why = f"about {values} different keys in {measured.rows} rows: hardly any occurs again"
        assume.append(Assumption("past", "features of the past are mostly missing", why, "--no-key"))
    return chosen


def _given(column: ProfiledColumn, taken: set[str]) -> ProfiledColumn:
    if column.name in taken:
        raise InvalidParams(f"--key {column.source}: that column is the label or the time.", "Leave it out.")
    if column.kind not in ("integer", "text"):
        raise InvalidParams(
            f"--key {column.source}: the column holds {column.reading.description}; keys are whole numbers or text.",
            "Give another one, or --no-key.",
        )
    return column


def _inferred(
    look: Look, measured: Times, taken: set[str], others: set[str], ask: Ask, assume: list[Assumption]
) -> tuple[ProfiledColumn, ...]:
    """The keys that the data makes clear, or that the person chooses."""
    taken = taken | others
    candidates = keys.candidates(look, measured, taken)
    if not candidates:
        lacking = [
            f"{each.source} lacks {each.missing / measured.rows:.0%}" for each in keys.lacking(look, measured, taken)
        ]
        which = "no other column" if others else "no column"
        gaps = f" without gaps ({', '.join(lacking)} of its values)" if lacking else ""
        assume.append(Assumption("key", "none", f"{which}{gaps} repeats like one; all rows are one series", "--key"))
        return ()
    if not any(keys.is_named_like_key(each.column) for each in candidates) and _is_one_series(look):
        why = "the rows follow one another at equal intervals, each at a time of its own; all rows are one series"
        assume.append(Assumption("key", "none", why, "--key"))
        return ()
    series = [each for each in candidates if each.is_series and each.missing <= measured.rows * keys.FEW_MISSING]
    if len(series) == 1:
        column = series[0].column
        why = f"the only column with at most one row a moment, {series[0].each:.0f} rows each"
        assume.append(Assumption("key", column.source, why, "--key or --no-key"))
        return (column,)
    none = "none of them"
    shown = [each.column.source for each in candidates]
    question = (
        "What is a row about, whose past may tell its future? Columns that repeat:"
        f" {', '.join(map(str, candidates[:12]))}."
    )
    option = "--key COLUMN (once for each), or --no-key if all rows are one series"
    if any(each.missing for each in candidates):
        option += " (rows without a key have no past: fill the key in the data if it is known)"
    answer = ask(question, [*shown, none], option)
    return () if answer == none else (look.column(answer, "--key"),)


def _is_one_series(look: Look) -> bool:
    return not keys.repeated(look, ()) and times.is_regular(look)


def row_key(
    look: Look,
    measured: Times,
    entity: Sequence[ProfiledColumn],
    clock: ProfiledColumn | None,
    but: set[str],
    numbering: Collection[str],
    assume: list[Assumption],
) -> tuple[str, ...]:
    """What identifies a row; empty: a digest does.

    Args:
        look: The profiled data, with its table `timed`.
        measured: The times of its rows.
        entity: The keys.
        clock: The column of the time of day, where the time is a day.
        but: Names of columns that are known too late, or that somebody does not want.
        numbering: Names of columns that number the rows.
        assume: Collects what was assumed.
    """
    names = tuple(key.name for key in entity)
    chosen = keys.identifying(look, measured, names, (clock.name,) if clock else (), but, numbering)
    if not chosen:
        lacking = [key for key in entity if key.missing]
        why = "no columns identify a row"
        if lacking and not keys.repeated(look, names):
            gaps = " and ".join(f"{key.missing:,} rows have no {key.source}" for key in lacking)
            why = f"{' and '.join(key.source for key in entity)} and the time would identify a row, but {gaps}"
        assume.append(Assumption("identity", "row_id", f"{why}: a digest of what is known at its time does"))
        return ()
    named = " and ".join(look.column(name, "--key").source for name in chosen)
    option = "--drop" if len(chosen) == 1 and chosen != (measured.column.name,) else ""
    assume.append(Assumption("identity", named, "no two rows have the same", option))
    return chosen
