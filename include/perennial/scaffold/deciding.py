"""Decides on the design of a new use case from the profiled data and the options; asks where these are not enough.

What is assumed without asking is recorded as an `Assumption`, with its reason.
"""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

from perennial._common.sql_quoting import quote_ident
from perennial.errors import InvalidParams
from perennial.scaffold import (
    clocks,
    column_types,
    counters,
    entities,
    features,
    figures,
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
    clock = clocks.find(look, measured, drop | {time.name, label_column.name})
    clocks.note(clock, time, assume)
    others = drop | {clock.name} if clock else drop
    entity = entities.choose(look, measured, options, label_column, others, ask, assume)
    cuts = figures.cuts(measured, options, assume)
    known_after = figures.known_after(measured, options, assume)
    special = {time.name, label_column.name, *(key.name for key in entity)}
    keep = {look.column(name, "--keep").name for name in options.keep}
    later, leaks = _known_later(look, options, label, special | drop, keep)
    learnt_later = tuple(dict.fromkeys(each.name for each in (label_column, *later, *(leak.column for leak in leaks))))
    numbering = counters.row_numbers(look, special | drop | keep)
    counting = counters.rising(look, special | drop | keep | numbering.keys()) | numbering
    row_key = entities.row_key(look, measured, entity, clock, drop.union(learnt_later), numbering.keys(), assume)
    own, left_out = features.choose(look, measured, special, row_key, later, leaks, keep, drop, counting)
    features.note_readings(look, assume)
    placeholders.note(look, label_column, special.union(row_key, drop, counting) - {label_column.name}, assume)
    placeholders.note_words(look, drop | {time.name, label_column.name}, assume)
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
        sample=figures.sample(look, cuts, quote_ident(label_column.name) if label.classes else labels.truths(label)[0]),
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
    _note_time(measured, look, assume, is_bounded=bool(since or until))
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
    # What is no feature anyway tells nothing, nor does another column that would only together with it.
    but, task = special | {column.name for column in later}, "regression" if label.task == "regression" else "binary"
    suspects: dict[str, Suspect] = {}
    for truth in labels.truths(label):  # Of several classes each against all others.
        for each in leakage.find(look, label.column, truth, task, but | suspects.keys()):
            suspects[each.column.name] = each
    return later, [each for name, each in suspects.items() if name not in keep]


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


def _note_time(measured: Times, look: Look, assume: list[Assumption], *, is_bounded: bool) -> None:
    assume.append(Assumption("time zone", "UTC", _why_utc(measured.column)))
    if measured.missing:
        why = "they have no time that can be read"
        # A database is asked for the rows of a time.
        why += "" if look.place.dialect else ", and will go to quarantine"
        if is_bounded:
            why += ", or lie outside --since and --until"
        assume.append(Assumption("rows", f"{measured.missing} of {look.rows} are left out", why))
    if not measured.is_sorted:
        assume.append(Assumption("order", "by time", "the rows lie in another order, which means nothing here"))
