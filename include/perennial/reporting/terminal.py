"""Shows the status of a use case in a terminal: a table of its partitions, or one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.registry.deployments import NOTHING
from perennial.reporting.partition_status import PredictionsMade, RolloutStatus, UseCaseStatus

if TYPE_CHECKING:
    from rich.table import Table

#: So many closed alarms are shown.
CLOSED = 6
#: And the value of so many months.
MONTHS = 3


def table(state: UseCaseStatus) -> Table:
    """The partitions as a table for a terminal."""
    from rich import box
    from rich.table import Table

    # Narrow on purpose: it fits into a terminal of 80 columns.
    drawn = Table(
        box=box.SIMPLE_HEAD,
        title=f"{state.title} ({state.name})",
        title_justify="left",
        pad_edge=False,
        padding=0,
        show_edge=False,
    )
    drawn.add_column("partition", no_wrap=True)
    # Only where something was: it is one column more than a terminal may have room for.
    made = [row.predictions for row in state.partitions if row.predictions]
    served = "request\n+ ahead" if any(each.ahead for each in made) else "served"
    for heading in (
        "rows",
        "quaran-\ntined",
        "pend-\ning",
        "champion",
        state.metric,
        "first\nmodel",
        "drifted\ncolumns",
        *([served] if made else []),
    ):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("verdict", no_wrap=True)
    drawn.add_column("done")
    colours = {"healthy": "green", "warning": "yellow", "alarm": "red"}
    for row in state.partitions:
        is_closed = row.alarm is not None and not row.alarm.is_open
        colour = "yellow" if is_closed else colours.get(row.verdict or "", "")
        drawn.add_row(
            row.partition,
            _count(row.rows),
            _count(row.quarantined),
            _count(row.waiting),
            f"v{row.champion}" if row.champion else NOTHING,
            _value(row.metric),
            _value(row.first_model_metric),
            _count(row.drifted_columns if row.champion else None),
            *([_served(row.predictions, is_split=served != "served")] if made else []),
            f"[{colour}]{row.verdict}[/]" if colour else row.verdict or NOTHING,
            row.done,
        )
    return drawn


def alarm_lines(state: UseCaseStatus) -> list[str]:
    """The alarms, each with its state, its cause and what would help: all open ones, and the newest closed ones."""
    every = [one.alarm for one in state.partitions if one.alarm is not None]
    closed = [alarm for alarm in every if not alarm.is_open]
    shown = [alarm for alarm in every if alarm.is_open or alarm in closed[-CLOSED:]]
    more = len(every) - len(shown)
    earlier = [f"{more} earlier alarm{'s are' if more > 1 else ' is'} closed"] if more else []
    return earlier + [f"{alarm.partition} {alarm}" for alarm in shown]


def earnings_lines(state: UseCaseStatus) -> list[str]:
    """What decisions were worth: in all, and in each of the newest months."""
    earned = state.earnings
    if earned is None:
        return []
    lines = [f"{earned.span}: {earned.in_words(earned)}"]
    for month in earned.months[-MONTHS:] if len(earned.months) > 1 else ():
        lines.append(f"{month.month}: {earned.in_words(month)}")
    return [f"{'' if place else 'Value':<10} {line}" for place, line in enumerate(lines)]


def estimate_lines(state: UseCaseStatus) -> list[str]:
    """The newest estimate without labels, beside the truth if that is known, and how often estimates were right."""
    newest = next((one for one in reversed(state.partitions) if one.estimate), None)
    if newest is None:
        return []
    later = "not measured yet" if newest.metric is None else f"later measured {newest.metric:.4f}"
    within, both = state.estimates
    record = f"; the truth is within the 90% interval in {within} of {both} partitions" if both else ""
    return [f"{'Estimated':<10} {newest.partition}: {state.metric} {newest.estimate} without labels, {later}{record}"]


def interval_lines(state: UseCaseStatus) -> list[str]:
    """How many labels of the newest partition lie within their prediction intervals."""
    newest = next((one for one in reversed(state.partitions) if one.interval), None)
    return [] if newest is None else [f"{'Intervals':<10} {newest.partition}: around {newest.interval}"]


def regret_lines(state: UseCaseStatus) -> list[str]:
    """What the champions reached beside models that served nobody, and how to measure what is not measured yet."""
    if state.regret is None:
        return []
    shown = [f"{'Regret':<10} {state.regret}"]
    if state.regret.always is None:
        command = f"perennial backtest {state.name}"
        shown.append(f"{'':<10} retrained at every partition, baseline model: not measured, run `{command}`")
    return shown


def one_line(state: UseCaseStatus) -> str:
    """A use case in one line: champion, newest partition, its verdict, owner; or that it is retired."""
    if state.retired:
        return f"{state.name}: {state.retired}"
    if not state.is_known:
        return f"{state.name}: unknown, owner {state.owner}"
    champion = f"champion v{state.champion}" if state.champion else "no champion"
    last = state.partitions[-1] if state.partitions else None
    latest = f"{last.partition} {last.verdict or 'not monitored yet'}" if last else "nothing has run yet"
    if last is not None and last.alarm is not None:
        latest += f" ({'open' if last.alarm.is_open else 'closed'}: {last.alarm.cause_in_words})"
    paused = ", promotion paused" if state.pause else ""
    tried = f", {_tried(state.rollout)}" if state.rollout else ""
    pending = f", {state.waiting} in quarantine pending review" if state.waiting else ""
    count = len(state.late_publications)
    late = f", {count} view{'s' if count > 1 else ''} published late" if count else ""
    earned = f", worth {state.earnings.in_words(state.earnings)}" if state.earnings else ""
    return f"{state.name}: {champion}{earned}{tried}{paused}, {latest}{pending}{late}, owner {state.owner}"


def _tried(rollout: RolloutStatus) -> str:
    if rollout.by is not None:
        return f"v{rollout.version} is in shadow (by {rollout.by})"
    return f"v{rollout.version} is tried ({rollout.stage})"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _served(made: PredictionsMade | None, *, is_split: bool) -> str:
    """The share of predictions that were served; split: `10+50%`, on request and ahead. In one column, for room."""
    if made is None:
        return NOTHING
    ahead = made.share_ahead
    if not is_split or ahead is None:
        return f"{made.share_served:.0%}"
    return f"{made.share_served - ahead:.0%}".removesuffix("%") + f"+{ahead:.0%}"
