"""Chooses the numbers of a use case: cadence, label delay, lookback windows, limits of gate and drift."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta

from perennial.errors import InvalidParams
from perennial.partitions import Cadence
from perennial.scaffold import times
from perennial.scaffold.design import Assumption, Label, Lookback, Policy
from perennial.scaffold.options import Options
from perennial.scaffold.profiling import Look
from perennial.scaffold.texts import spoken
from perennial.scaffold.times import Buckets, Times

#: Rows that a partition should have, as far as the data allows.
_ROWS_A_PARTITION = 100
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SPANS = tuple(
    Lookback(name, length)
    for name, length in {
        "10m": timedelta(minutes=10),
        "1h": _HOUR,
        "6h": 6 * _HOUR,
        "1d": _DAY,
        "7d": 7 * _DAY,
        "28d": 28 * _DAY,
        "91d": 91 * _DAY,
        "365d": 365 * _DAY,
    }.items()
)
_BLOCKS = {
    Cadence.HOURLY: timedelta(minutes=10),
    Cadence.DAILY: 2 * _HOUR,
    Cadence.WEEKLY: _DAY,
    Cadence.MONTHLY: _DAY,
}
_MAX_AGE = {Cadence.HOURLY: 24, Cadence.DAILY: 7, Cadence.WEEKLY: 4, Cadence.MONTHLY: 3}


def cuts(measured: Times, options: Options, assume: list[Assumption]) -> Buckets:
    """The cadence and its partitions, most of which have rows: all of them, unless another cadence was asked for.

    Args:
        measured: The times of the rows.
        options: What the person gave.
        assume: Collects what was assumed.

    Raises:
        InvalidParams: the cadence is unknown, or too few of its partitions have rows.
    """
    if options.cadence:
        if options.cadence not in set(Cadence):
            raise InvalidParams(f"--cadence {options.cadence}: unknown.", f"Known: {', '.join(Cadence)}.")
        chosen = [each for each in measured.buckets if each.cadence == options.cadence]
        if not chosen or not chosen[0].is_mostly_filled:
            raise _unfit(measured, chosen[0] if chosen else None, options.cadence)
        return _with_gaps_noted(chosen[0], assume)
    buckets = times.fitting(measured, _ROWS_A_PARTITION)
    if buckets is None:
        coarsest = [each for each in measured.buckets if len(each.partitions) >= 4]
        raise _unfit(measured, coarsest[-1] if coarsest else None, "any")
    span = f"{measured.first:%Y-%m-%d %H:%M} to {measured.last:%Y-%m-%d %H:%M}"
    why = f"{span} are {len(buckets.partitions)} partitions of {min(buckets.rows)} to {max(buckets.rows)} rows"
    assume.append(Assumption("cadence", str(buckets.cadence), why, "--cadence"))
    return _with_gaps_noted(buckets, assume)


def _with_gaps_noted(cuts: Buckets, assume: list[Assumption]) -> Buckets:
    if cuts.empty:
        why = f"{len(cuts.empty)} of the {len(cuts.partitions)} partitions have none ({_some(cuts.empty)})"
        assume.append(Assumption("partitions without rows", "nothing happened in them", why, "--cadence"))
    return cuts


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")


def _unfit(measured: Times, cuts: Buckets | None, cadence: str) -> InvalidParams:
    span = f"from {measured.first:%Y-%m-%d %H:%M} to {measured.last:%Y-%m-%d %H:%M}"
    if cuts is None or len(cuts.partitions) < 4:
        return InvalidParams(
            f"The time of the rows (column {measured.column.source!r}) reaches {span}: too short for partitions of"
            f" {cadence} cadence, at least four of which are needed.",
            "Give more data, or a time column that tells the rows apart.",
        )
    return InvalidParams(
        f"The rows have gaps: of the {len(cuts.partitions)} {cuts.cadence} partitions {span}, {len(cuts.empty)} have no"
        f" rows ({_some(cuts.empty)}); at least four, and three quarters of them, must have some.",
        "Give a stretch without gaps by --since and --until, or a coarser --cadence.",
    )


def known_after(measured: Times, options: Options, assume: list[Assumption]) -> timedelta:
    """How long after its moment a label is known.

    Args:
        measured: The times of the rows.
        options: What the person gave.
        assume: Collects what was assumed.

    Raises:
        InvalidParams: `--label-after` is not a length of time.
    """
    if options.label_after:
        match = re.fullmatch(r"(\d+)\s*(s|m|h|d|w)", options.label_after.strip())
        if match is None or not int(match[1]):
            raise InvalidParams(
                f"--label-after {options.label_after}: that is no length of time.", "Write it like 30m, 6h, 1d or 4w."
            )
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[match[2]]
        delay = timedelta(**{unit: int(match[1])})
    else:
        delay = measured.resolution.length
        unit = measured.resolution.name
        one = f"an {unit}" if unit == "hour" else f"a {unit}"
        why = f"times are written to the {unit}, and what is of {one} is known once it is over"
        assume.append(Assumption("label known after", spoken(delay), why, "--label-after"))
    # Within a second nobody knows which came first.
    return delay + timedelta(seconds=1) if measured.resolution.is_below_seconds and options.label_after else delay


def sample(look: Look, cuts: Buckets, truth: str) -> tuple[str, ...]:
    """A partition of some hundred rows, or the fullest, and those after it until there is something to learn.

    Args:
        look: The profiled data.
        cuts: The partitions and their rows.
        truth: The label as a number, an expression over table `timed`; null where unknown.

    Returns:
        The names of the partitions, in the order of time.
    """
    last = len(cuts.partitions) - 1
    enough = [number for number in range(last) if cuts.rows[number] >= 500]
    first = min(enough, key=lambda n: cuts.rows[n]) if enough else max(range(last), key=lambda n: cuts.rows[n])
    least = look.ask(f"SELECT count(DISTINCT {truth}) FROM timed")[0][0]  # noqa: S608
    for end in range(first + 1, last + 2):
        begin, until = cuts.partitions[first].start, cuts.partitions[end - 1].end
        rows, labels_seen = look.ask(
            f"SELECT count({truth}), count(DISTINCT {truth}) FROM timed"  # noqa: S608
            f" WHERE moment >= '{begin.isoformat()}' AND moment < '{until.isoformat()}'"
        )[0]
        if rows >= 200 and labels_seen >= min(2, least):
            break
    return tuple(each.key for each in cuts.partitions[first:end])


def spans(spacing: timedelta, measured: Times) -> tuple[Lookback, ...]:
    """What features look back over: some four rows of a key, and the next longer span; no more than half the data.

    Args:
        spacing: The usual time from one row of a key to its next.
        measured: The times of the rows.
    """
    half = (measured.last - measured.first) / 2
    usable = [span for span in _SPANS if span.length <= half] or [_SPANS[0]]
    wanted = [span for span in usable if span.length >= 4 * spacing] or usable[-1:]
    return tuple(wanted[:2])


def calendar(measured: Times) -> tuple[str, ...]:
    """Which calendar features the data's span and resolution allow."""
    span, resolution = measured.last - measured.first, measured.resolution.length
    wanted = {
        "hour_of_day": resolution < _DAY and span > 2 * _DAY,
        "day_of_week": resolution <= _DAY and span > 14 * _DAY,
        "month_of_year": span > 400 * _DAY,
    }
    return tuple(name for name, fits in wanted.items() if fits)


def policy(cuts: Buckets, measured: Times, label: Label, known_after: timedelta) -> Policy:
    """The numbers of gate, drift and retraining.

    Args:
        cuts: The partitions and their rows.
        measured: The times of the rows.
        label: What is predicted; its rate or spread decides how many rows are enough.
        known_after: How long after its moment a label is known.

    Raises:
        InvalidParams: the data is too short for a first model and a proof of it.
    """
    length, count = times.LENGTH[cuts.cadence], len(cuts.partitions)
    block = max(_BLOCKS[cuts.cadence], known_after if measured.resolution.length > _DAY else measured.resolution.length)
    # Half of the first window is the gate's, and it needs five blocks with something to say in them.
    least = max(2, math.ceil(12 * block / length))
    if least > count - 2:
        raise InvalidParams(
            f"{count} {cuts.cadence} partitions are too few: the first model needs {least}, half of them for its gate,"
            " and some to be watched on.",
            "Give data of a longer time, or a finer --cadence.",
        )
    telling = {"binary": min(label.rate, 1 - label.rate), "multiclass": 1 - label.rate}.get(label.task, 0.5)
    share = label.rows / measured.rows
    initial = least
    while initial < max(least, count // 3) and sum(cuts.rows[:initial]) * share * telling < 4 * _ROWS_A_PARTITION:
        initial += 1
    holdout = max(6 * block, initial * length / 2)
    rows = sum(cuts.rows[:initial]) * share
    typical = sorted(cuts.rows)[count // 2]
    return Policy(
        initial_partitions=initial,
        holdout=_round(holdout, block),
        block=block,
        gate_rows=int(min(200, max(10, rows / 5))),
        drift_rows=int(min(200, max(2, typical / 2))),
        batch_rows=0 if cuts.empty else max(1, min(cuts.rows) // 2),
        performance_drop=_drop(label),
        max_age=_MAX_AGE[cuts.cadence],
    )


def _drop(label: Label) -> float:
    """By how much less of the gate's metric is an alarm: of ROC AUC, of the log loss of the shares alone, of RMSE."""
    if label.task == "binary":
        return 0.05
    return float(f"{label.spread / (10 if label.task == 'multiclass' else 4):.2g}")


def _round(length: timedelta, block: timedelta) -> timedelta:
    return block * math.ceil(length / block)
