"""Showing the progress of a replay or a backfill: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perennial.dag_names import FEATURES
from perennial.partitions import Partition

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Step:
    """What happened to one pipeline of one partition.

    Attributes:
        seconds: How long it took, once it is done.
        url: The page of its run in Airflow; empty if there is none yet.
    """

    partition: str
    pipeline: str
    state: Literal["started", "waiting-for-approval", "done", "already-done"]
    seconds: float = 0.0
    url: str = ""


#: What else to print below the line of a step.
Remarks = Callable[[Step], Iterable[str]]


def show(
    console: Console, partitions: Sequence[Partition], steps: Iterable[Step], remarks: Remarks = lambda step: ()
) -> None:
    """Go through `steps` to the end and show them.

    Args:
        console: Where to.
        partitions: The partitions that the steps are about, in their order.
        steps: Made while they are shown.
        remarks: Called with each step that has a line.
    """
    if console.is_terminal:
        _live(console, partitions, steps, remarks)
    else:
        _plain(console, partitions, steps, remarks)


def _plain(console: Console, partitions: Sequence[Partition], steps: Iterable[Step], remarks: Remarks) -> None:
    began = time.monotonic()
    for step in steps:
        if line := _line(step):
            place = [partition.key for partition in partitions].index(step.partition) + 1
            elapsed = time.monotonic() - began
            console.print(f"[{place}/{len(partitions)}] {elapsed:6.1f} s  {line}", highlight=False, markup=False)
            _print_below(console, remarks(step))


def _print_below(console: Console, remarks: Iterable[str]) -> None:
    for remark in remarks:
        # Addresses stay in one piece, so that a terminal makes links of them.
        console.print(f"    {remark}", highlight=False, markup=False, soft_wrap=True)


def _live(console: Console, partitions: Sequence[Partition], steps: Iterable[Step], remarks: Remarks) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        total = bar.add_task("", total=len(partitions))
        places = {partition.key: place for place, partition in enumerate(partitions)}
        for step in steps:
            bar.update(total, completed=places[step.partition], description=f"{step.partition} {step.pipeline:<10}")
            if line := _line(step):
                bar.console.print(line, highlight=False, markup=False)
                _print_below(bar.console, remarks(step))
        bar.update(total, completed=len(partitions), description="done")


def _line(step: Step) -> str:
    """What to print about a step; nothing when it starts."""
    match step.state:
        case "done":
            return f"{step.partition}  {step.pipeline:<10} done in {step.seconds:.1f} s"
        case "waiting-for-approval":
            return f"{step.partition}  {step.pipeline:<10} is waiting for approval: {step.url}"
        case "already-done" if step.pipeline == FEATURES:
            return f"{step.partition}  already done"
        case _:
            return ""
