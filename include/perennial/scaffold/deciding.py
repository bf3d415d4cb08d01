"""Decides on the design of a new use case from the profiled data and the options; asks where these are not enough.

What is assumed without asking is recorded as an `Assumption`, with its reason.
"""

from __future__ import annotations

import getpass
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from perennial.errors import InvalidParams
from perennial.scaffold import (
    column_types,
    counters,
    features,
    figures,
    keys,
    labels,
    leakage,
    placeholders,
    profiling,
    sources,
    times,
)
from perennial.scaffold.asking import Ask
from perennial.scaffold.design import Assumption, Design, Label
from perennial.scaffold.leakage import Suspect
from perennial.scaffold.options import Options
from perennial.scaffold.profiling import Look, ProfiledColumn
from perennial.scaffold.times import Times


def decide(look: Look, options: Options, ask: Ask) -> Design:
    """Decide on the whole design of a new use case.

    Args:
        look: What profiling says of the data.
        options: What the person gave.
        ask: Asks the person about what is unclear.

    Raises:
        InvalidParams: the data is not enough, an option does not fit it, or something is unclear and nobody answers.
    """
    assume = [Assumption("files", what, why) for what, why in look.place.notes]
    drop = _dropped(look, options)
    time = _time(look, options, drop, ask, assume)
    look, label_column = _with_label(look, options, drop | {time.name}, ask, assume)
    since, until = _moment(options.since, "--since"), _moment(options.until, "--until")
    look, measured = _measured(look, time, since, until, assume)
    label_column = look.column(label_column.source, "--label")
    label = labels.understand(look, label_column, options, ask, assume)
    entity = _keys(look, measured, options, label_column, drop, ask, assume)
    _note_gaps(entity, assume)
    cuts = figures.cuts(measured, options, assume)
    known_after = figures.known_after(measured, options, assume)
    special = {time.name, label_column.name, *(key.name for key in entity)}
    keep = {look.column(name, "--keep").name for name in options.keep}
    later, leaks = _known_later(look, options, label, special | drop, keep)
    learnt_later = tuple(dict.fromkeys(each.name for each in (label_column, *later, *(leak.column for leak in leaks))))
    numbering = counters.row_numbers(look, special | drop | keep)
    counting = counters.rising(look, special | drop | keep | numbering.keys()) | numbering
    row_key = _row_key(look, measured, entity, drop.union(learnt_later), numbering.keys(), assume)
    own, left_out = features.choose(look, measured, special, row_key, later, leaks, keep, drop, counting)
    features.note_readings(look, assume)
    placeholders.note(look, label_column, special.union(row_key, drop, counting) - {label_column.name}, assume)
    _note_rare_keys(entity, measured, assume)
    return Design(
        name=options.name,
        owner=_owner(options, assume),
        place=look.place,
        rows=measured.rows,
        time=time,
        since=since,
        until=until,
        resolution=measured.resolution,
        columns=look.columns,
        keys=entity,
        row_key=row_key,
        learnt_later=learnt_later,
        numbering=tuple(name for name in numbering if name not in learnt_later),
        counting=tuple(counting),
        label=label,
        features=(*(key for key in entity if key.kind == "text" and key.distinct <= 100), *own),
        later=tuple(column for column in later if column.has_mean),
        left_out=left_out,
        known_after=known_after,
        spans=figures.spans(times.spacing(look, tuple(key.name for key in entity), measured.moments), measured),
        calendar=figures.calendar(measured),
        cuts=cuts,
        sample=figures.sample(look, cuts, labels.truth(label_column, label.positive)),
        policy=figures.policy(cuts, measured, label, known_after),
        assumptions=tuple(assume),
    )


def _with_label(
    look: Look, options: Options, others: set[str], ask: Ask, assume: list[Assumption]
) -> tuple[Look, ProfiledColumn]:
    """The label, and the profile with its words read as the task needs them."""
    column = labels.choose(look, options, others, ask, assume)
    if options.task != "regression":  # A class that is read as missing would be gone.
        return profiling.as_written(look, column), column
    return profiling.with_words_as_unknown(look, column), column


def _measured(
    look: Look, time: ProfiledColumn, since: datetime | None, until: datetime | None, assume: list[Assumption]
) -> tuple[Look, Times]:
    """The rows between `since` and `until`, and their times."""
    measured = times.measure(look, time, since, until)
    if measured is None:
        raise InvalidParams(
            "No row is between --since and --until.", f"The data reaches from {time.low} to {time.high}."
        )
    _note_time(measured, look, assume)
    return profiling.within(look, "timed", measured.rows) if measured.missing else look, measured


def _known_later(
    look: Look, options: Options, label: Label, special: set[str], keep: set[str]
) -> tuple[tuple[ProfiledColumn, ...], list[Suspect]]:
    """The columns that `--later` names, and those that may leak the label, except for the names in `keep`.

    Args:
        look: The profiled data.
        options: What the person gave.
        label: What is predicted.
        special: Names of columns that are no features anyway: time, keys, label, and what is dropped.
        keep: Names of columns that are features all the same.
    """
    later = tuple(look.column(name, "--later") for name in options.later)
    truth = labels.truth(label.column, label.positive)
    # What is no feature anyway tells nothing, nor does another column that would only together with it.
    suspects = leakage.find(look, label.column, truth, label.task, special | {column.name for column in later})
    return later, [each for each in suspects if each.column.name not in keep]


def _note_rare_keys(entity: Sequence[ProfiledColumn], measured: Times, assume: list[Assumption]) -> None:
    values = max((key.distinct for key in entity), default=0)
    if values > measured.rows / 2:
        why = f"about {values} different keys in {measured.rows} rows: hardly any occurs again"
        assume.append(Assumption("past", "features of the past are mostly missing", why, "--no-key"))


def _owner(options: Options, assume: list[Assumption]) -> str:
    if options.owner:
        return options.owner
    owner = getpass.getuser()
    assume.append(Assumption("owner", owner, "whoever wrote this", "--owner"))
    return owner


def _dropped(look: Look, options: Options) -> set[str]:
    """The columns that somebody does not want, for whatever else they may be."""
    dropped = {look.column(name, "--drop").name for name in options.drop}
    by_option = {
        "--time": (options.time,) if options.time else (),
        "--key": options.key,
        "--label": (options.label,) if options.label else (),
        "--later": options.later,
        "--keep": options.keep,
    }
    for option, given in by_option.items():
        for name in given:
            if look.column(name, option).name in dropped:
                raise InvalidParams(
                    f"{option} {name} and --drop {name} exclude each other: a column that is dropped is nothing else.",
                    "Give one of them.",
                )
    return dropped


def _time(look: Look, options: Options, drop: set[str], ask: Ask, assume: list[Assumption]) -> ProfiledColumn:
    """The column of the rows' time."""
    if options.time:
        column = look.column(options.time, "--time")
    else:
        candidates = [each for each in times.candidates(look) if each.name not in drop]
        if not candidates:
            which = "column that is not dropped" if drop else "column"
            raise InvalidParams(
                f"No {which} of {look.place.named} holds the time of a row: no dates, times, or seconds since 1970"
                " that differ and are nearly always there.",
                "Name the column with --time, and its notation with --time-format; a model lives in time, and without"
                " it nothing can be replayed, watched or proven.",
            )
        if len(candidates) == 1 and (candidates[0].kind == "time" or column_types.sounds_like_time(candidates[0].name)):
            column = candidates[0]
            assume.append(Assumption("time", column.source, _why_time(column), "--time"))
        else:
            question = "Which column is the time of a row, the moment of prediction?"
            chosen = ask(question, [column.source for column in candidates], "--time COLUMN")
            column = look.column(chosen, "--time")
    if column.moment is None or column.low == column.high:
        content = "one moment only" if column.moment else f"{column.reading.description}, no times"
        raise InvalidParams(
            f"--time {column.source}: the column holds {content}.",
            "Name another one, or say how its days are written: --time-format '%d.%m.%Y'.",
        )
    if column.missing > look.rows / 2:
        raise InvalidParams(
            f"--time {column.source}: {column.missing} of {look.rows} rows have no time that can be read.",
            "Name another one, or say how its days are written: --time-format '%d.%m.%Y'.",
        )
    for other in column.either:
        if column_types.AMBIGUOUS.get(column.reading.notation) == other.notation:
            raise InvalidParams(
                f"--time {column.source}: every value is a day both as {column.reading.notation} and as"
                f" {other.notation}.",
                f"Give --time {column.source} --time-format '{column.reading.notation}' or '{other.notation}'.",
            )
    if column.kind != "time" or column.reading.notation:
        reading = column.as_time()
        assert reading is not None  # noqa: S101
        assume.append(Assumption("notation", reading.description, f"all of {column.source!r} fit it", "--time-format"))
    if look.place.dialect and not sources.written(column, look.place):
        why = f"what {column.source!r} holds is not ordered like time, so the database cannot tell what is of one"
        assume.append(Assumption("reading", "the whole table, for each partition", why, "--time"))
    return column


def _why_time(column: ProfiledColumn) -> str:
    if column.kind == "time":
        return f"the only column of {column.reading.description}"
    return "its name and its range say so"


def _moment(given: str, option: str) -> datetime | None:
    if not given:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidParams(f"{option} {given}: that is no time.", "Write it like 2024-01-31.") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _why_utc(column: ProfiledColumn) -> str:
    if column.has_zone or column.reading.physical == "TIMESTAMP WITH TIME ZONE":
        return "each time names its zone, and is converted"
    return "times that name no zone are taken as UTC"


def _note_time(measured: Times, look: Look, assume: list[Assumption]) -> None:
    assume.append(Assumption("time zone", "UTC", _why_utc(measured.column)))
    if measured.missing:
        why = "they have no time, or lie outside --since and --until"
        assume.append(Assumption("rows", f"{measured.missing} of {look.rows} are left out", why))
    if not measured.is_sorted:
        assume.append(Assumption("order", "by time", "the rows lie in another order, which means nothing here"))


def _keys(
    look: Look,
    measured: Times,
    options: Options,
    label: ProfiledColumn,
    drop: set[str],
    ask: Ask,
    assume: list[Assumption],
) -> tuple[ProfiledColumn, ...]:
    """What rows are about; empty: all are one series."""
    if options.key and options.no_key:
        raise InvalidParams("--key and --no-key exclude each other.", "Give one of them.")
    if options.key:
        columns = tuple(look.column(key, "--key") for key in options.key)
        for column in columns:
            if column.name in (label.name, measured.column.name):
                raise InvalidParams(f"--key {column.source}: that column is the label or the time.", "Leave it out.")
            if column.kind not in ("integer", "text"):
                raise InvalidParams(
                    f"--key {column.source}: the column holds {column.reading.description}; keys are whole numbers or"
                    " text.",
                    "Give another one, or --no-key.",
                )
        return columns
    if options.no_key:
        return ()
    taken = {label.name, measured.column.name, *drop}
    candidates = keys.candidates(look, measured, taken)
    series = [each for each in candidates if each.is_series and each.missing <= measured.rows * keys.FEW_MISSING]
    if not candidates:
        lacking = [
            f"{each.source} lacks {each.missing / measured.rows:.0%}" for each in keys.lacking(look, measured, taken)
        ]
        which = "no other column" if drop else "no column"
        gaps = f" without gaps ({', '.join(lacking)} of its values)" if lacking else ""
        why = f"{which}{gaps} repeats like one; all rows are one series"
        assume.append(Assumption("key", "none", why, "--key"))
        return ()
    if len(series) == 1 and keys.repeated(look, ()):
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


def _note_gaps(entity: Sequence[ProfiledColumn], assume: list[Assumption]) -> None:
    for key in entity:
        if key.missing:
            what = f"{key.missing:,} rows have no {key.source}"
            assume.append(Assumption("key", what, "they have no past: fill the key in the data if it is known"))


def _row_key(
    look: Look,
    measured: Times,
    entity: Sequence[ProfiledColumn],
    but: set[str],
    numbering: Collection[str],
    assume: list[Assumption],
) -> tuple[str, ...]:
    """What identifies a row; empty: a digest does."""
    row_key = keys.identifying(look, measured, tuple(key.name for key in entity), but, numbering)
    if not row_key:
        lacking = [key for key in entity if key.missing]
        why = "no columns identify a row"
        if lacking and not keys.repeated(look, tuple(key.name for key in entity)):
            gaps = " and ".join(f"{key.missing:,} rows have no {key.source}" for key in lacking)
            why = f"{' and '.join(key.source for key in entity)} and the time would identify a row, but {gaps}"
        assume.append(Assumption("identity", "row_id", f"{why}: a digest of what is known at its time does"))
        return ()
    named = " and ".join(look.column(name, "--key").source for name in row_key)
    option = "--drop" if len(row_key) == 1 and row_key != (measured.column.name,) else ""
    assume.append(Assumption("identity", named, "no two rows have the same", option))
    return row_key
