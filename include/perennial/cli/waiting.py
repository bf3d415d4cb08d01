"""Shows the progress of long work: the current step, the time elapsed, and an estimate of what is left.

A live line on a terminal, elsewhere a plain line per step; always on standard error, so that a result can be piped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING

from perennial.cli.frame import console
from perennial.dag_names import AWAITING_INPUT

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.services.airflow_api import AirflowClient
    from perennial.services.airflow_records import DagRun

#: Takes the name of a step that begins, and how many of all steps (done, all) are behind it where that is known.
Step = Callable[..., None]


@contextmanager
def watched(label: str, expected: float | None = None) -> Iterator[Step]:
    """Show `label` until the block ends.

    Args:
        label: What is going on, for people.
        expected: How long it may take in all, in seconds, judging by earlier times. None: estimated from the steps.

    Yields:
        What to call when a step begins: `step(name)` or `step(name, done, all)`.
    """
    out = console(stderr=True)
    with _live(out, label, expected) if out.is_terminal else _plain(out, label, expected) as step:
        yield step


def usual_seconds(client: AirflowClient, dag: str) -> float | None:
    """How long the latest runs of a DAG that succeeded took, in the middle; None: none did."""
    took = [
        (run.ended - run.started).total_seconds() for run in client.latest_successes(dag) if run.started and run.ended
    ]
    return median(took) if took else None


def tasks_of(client: AirflowClient, step: Step) -> Callable[[DagRun], None]:
    """What shows the tasks of a run that is followed, each time it is looked at."""

    def seen(run: DagRun) -> None:
        tasks = client.task_instances(run)
        over = [task for task in tasks if task.state in ("success", "failed", "skipped", "upstream_failed", "removed")]
        now = [task.task for task in tasks if task.state in ("running", AWAITING_INPUT, "deferred", "up_for_retry")]
        waits = any(task.state == AWAITING_INPUT for task in tasks)
        text = f"{', '.join(now) or run.state}{' (waits for a person)' if waits else ''}"
        step(text, len(over), len(tasks))

    return seen


@contextmanager
def _plain(out: Console, label: str, expected: float | None) -> Iterator[Step]:
    began, last = time.monotonic(), ""
    if expected is not None:
        out.print(f"{label}: usually takes {_span(expected)}", highlight=False, markup=False, soft_wrap=True)

    def step(name: str, done: int | None = None, count: int | None = None) -> None:
        nonlocal last
        if name != last:
            place = f" [{done}/{count}]" if count else ""
            seconds = f"{time.monotonic() - began:6.1f} s"
            out.print(f"{seconds}  {label}{place}: {name}", highlight=False, markup=False, soft_wrap=True)
        last = name

    yield step


@contextmanager
def _live(out: Console, label: str, expected: float | None) -> Iterator[Step]:
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    def share(task: Task) -> float | None:
        """How far it is, by time if it is known how long it takes, else by steps."""
        elapsed = task.elapsed or 0.0
        if expected:
            return min(elapsed / expected, 0.99)
        return task.completed / task.total if task.total else None

    class Bar(BarColumn):
        def render(self, task: Task):  # type: ignore[no-untyped-def]
            drawn, far = super().render(task), share(task)
            drawn.total, drawn.completed, drawn.pulse = (None, 0, True) if far is None else (1.0, far, False)
            return drawn

    class Left(ProgressColumn):
        def render(self, task: Task) -> Text:
            elapsed, far = task.elapsed or 0.0, share(task)
            if expected:
                left = expected - elapsed
                return Text(f"about {_span(left)} left" if left > 0 else "longer than usual", style="cyan")
            return Text(f"about {_span(elapsed / far - elapsed)} left" if far else "", style="cyan")

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), Bar(), TimeElapsedColumn(), Left())
    with Progress(*columns, console=out, transient=True) as progress:
        line = progress.add_task(label, total=None)

        def step(name: str, done: int | None = None, count: int | None = None) -> None:
            place = f" {done}/{count}" if count else ""
            progress.update(line, description=f"{label}{place}: {name}", completed=done or 0, total=count)

        yield step


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
