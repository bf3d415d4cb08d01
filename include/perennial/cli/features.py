"""Changing features: `plan` and `apply`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli import completion, prompts
from perennial.cli.frame import (
    REFUSED,
    AsJson,
    DryRun,
    app,
    console,
    example,
    if_interrupted,
    note,
    say,
    show_json,
)
from perennial.cli.quarantined import QuarantineRemarks
from perennial.errors import InvalidParams, PerennialError

if TYPE_CHECKING:
    from perennial.feature_changes.planning import Plan
    from perennial.partitions import Partition
    from perennial.runs.progress import Step
    from perennial.use_case import UseCase


@app.command(epilog=example("perennial plan --markdown > plan.md"))
def plan(
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
) -> None:
    """Show what a change to features would do.

    Lists what differs between feature_repo/ and the registry, which use cases and models depend on it, which partitions
    must be computed again, and how long that took last time. Changes nothing, and needs no Airflow.

    Exits with 3 if the change destroys something that feature_repo/acknowledged.toml does not name.
    """
    from perennial.feature_changes import planning, rendering

    if as_json and as_markdown:
        raise InvalidParams("--json and --markdown exclude each other.", "Give one of them.")
    planned = planning.plan()
    if as_json:
        show_json(rendering.as_json(planned))
    elif as_markdown:
        typer.echo(rendering.markdown(planned), nl=False)
    else:
        _show(planned)
    if planned.is_refused:
        raise typer.Exit(REFUSED)
    planned.check_acknowledgements()


@app.command(epilog=example("perennial apply --from 2013-03 --to 2013-12"))
def apply(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PERIOD",
            help="Compute again from this month, day or hour on.",
            autocompletion=completion.periods,
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="PERIOD",
            help="Compute again up to this one, included.",
            autocompletion=completion.periods,
        ),
    ] = None,
    no_backfill: Annotated[
        bool, typer.Option("--no-backfill", help="Register the definitions only; compute nothing again.")
    ] = False,
    recompute: Annotated[bool, typer.Option("--recompute", help="Compute all partitions in the lake again.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register changed features, and compute them again.

    Shows the plan, asks, registers feature_repo/, and computes the affected partitions again through Airflow. If it is
    stopped, run it again to do the rest.

    Exits with 3, like `plan`, if the change destroys something that it does not acknowledge.
    """
    from perennial.feature_changes import backfill, planning

    backfill.partitions_between([], first, last)  # Wrong dates are reported before anything is read.
    if no_backfill and (first or last or recompute):
        raise InvalidParams("--no-backfill excludes --from, --to and --recompute.", "Give one or the other.")
    planned = planning.plan(everything=recompute)
    if as_json:
        done = _Done(planned)
        try:
            _apply(planned, no_backfill, first, last, yes, dry_run, done, note)
        finally:
            # Whatever the end is: what was done until then is done.
            show_json(done.as_json())
    else:
        _show(planned)
        _apply(planned, no_backfill, first, last, yes, dry_run, _Done(planned), say)


@dataclass
class _Done:
    """How far applying a plan has come.

    Attributes:
        registered: Whether the registry was changed by this command.
        partitions: (use case, partition) -> `would-be-computed`, `not-begun`, `started`, `done` or `failed`, how many
            seconds it took, and the page of its run.
        remarks: Use case -> what its runs left in quarantine.
    """

    plan: Plan
    registered: bool = False
    partitions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    remarks: dict[str, QuarantineRemarks] = field(default_factory=dict)

    def expect(self, work: Sequence[tuple[UseCase, list[Partition]]], state: str) -> None:
        for use_case, partitions in work:
            for partition in partitions:
                self.partitions[use_case.name, partition.key] = {"state": state, "seconds": None, "run": None}

    def watched(self, use_case: UseCase, steps: Iterable[Step]) -> Iterator[Step]:
        """The steps of a use case's partitions, seen as they go by; the one that is under way at an error failed."""
        last = None
        try:
            for step in steps:
                last = self.partitions[use_case.name, step.partition]
                last["state"] = step.state
                if step.url:
                    last["run"] = step.url
                if step.state == "done":
                    last["seconds"] = round(step.seconds, 1)
                yield step
        except PerennialError:
            if last is not None and last["state"] == "started":
                last["state"] = "failed"
            raise

    def as_json(self) -> dict[str, Any]:
        from perennial.feature_changes import rendering

        computed = [
            {"use_case": name, "partition": partition, **fate, "quarantine": self._quarantine(name, partition)}
            for (name, partition), fate in self.partitions.items()
        ]
        return {"plan": rendering.as_json(self.plan), "registered": self.registered, "computed": computed}

    def _quarantine(self, use_case: str, partition: str) -> dict[str, Any] | None:
        return self.remarks[use_case].as_json(partition) if use_case in self.remarks else None


def _apply(
    planned: Plan,
    no_backfill: bool,
    first: str | None,
    last: str | None,
    yes: bool,
    dry_run: bool,
    done: _Done,
    tell: Callable[[str], None],
) -> None:
    if planned.is_refused:
        raise typer.Exit(REFUSED)
    planned.check_acknowledgements()
    work = [] if no_backfill else _work(planned, first, last)
    done.expect(work, "would-be-computed" if dry_run else "not-begun")
    if dry_run or (planned.is_empty and not work):
        return
    if work:
        _check_airflow()
    if not yes and not _confirmed():
        tell("Nothing was applied.")
        raise typer.Exit(1)
    from perennial.feature_changes import applying

    done.registered = applying.apply(planned)
    tell("Registered." if done.registered else "These definitions are registered already.")
    _compute_again(work, done, tell)
    for line in _left_out(planned, work):
        tell(line)


def _left_out(planned: Plan, work: Sequence[tuple[UseCase, list[Partition]]]) -> Iterator[str]:
    """What a plan would have computed again and this command did not, and what follows from it."""
    computed = {(use_case.name, partition.key) for use_case, partitions in work for partition in partitions}
    for one in planned.recomputations:
        left = [key for key in one.partitions if (one.use_case, key) not in computed]
        if left:
            span = left[0] if len(left) == 1 else f"{left[0]}..{left[-1]}"
            yield (
                f"{one.use_case}: {len(left)} of {len(one.partitions)} partitions ({span}) were not computed again."
                " Training rejects a window that contains them; `perennial apply` computes them."
            )


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise InvalidParams("The plan needs to be confirmed, and there is no terminal to ask on.", "Add --yes.")
    return prompts.confirm("Apply this plan?")


def _show(planned: Plan) -> None:
    from perennial.feature_changes import rendering

    for text, style in rendering.lines(planned):
        typer.secho(text, fg=style if style != "bold" else None, bold=style == "bold")


def _work(planned: Plan, first: str | None, last: str | None) -> list[tuple[UseCase, list[Partition]]]:
    """The partitions to compute again, by use case."""
    from perennial import discovery
    from perennial.feature_changes import backfill

    work = []
    for one in planned.recomputations:
        use_case = discovery.load(one.use_case)
        partitions = backfill.partitions_between(
            [use_case.cadence.partition(key) for key in one.partitions], first, last
        )
        if partitions:
            work.append((use_case, backfill.order_partitions(use_case, partitions)))
    return work


def _check_airflow() -> None:
    """Before anything is changed: what is registered would otherwise wait for its values."""
    from perennial.errors import ServiceUnavailable
    from perennial.services.airflow_api import AirflowClient

    with AirflowClient(patience=5) as client:
        try:
            client.health()
        except ServiceUnavailable as error:
            raise ServiceUnavailable(
                f"{error.problem}\nNothing was applied: partitions must be computed again, which Airflow does.",
                "Start it (`perennial up`), or add --no-backfill and run `perennial apply` again later.",
            ) from error


def _compute_again(work: Sequence[tuple[UseCase, list[Partition]]], done: _Done, tell: Callable[[str], None]) -> None:
    from perennial.feature_changes import backfill
    from perennial.ingestion import places
    from perennial.runs import progress
    from perennial.services.airflow_api import AirflowClient

    if_interrupted("What Airflow is running continues; the same command resumes where it was.")
    with AirflowClient(tell=note) as client:
        for use_case, partitions in work:
            tell(f"{use_case.name}: computing {len(partitions)} partition{'s' if len(partitions) > 1 else ''} again.")
            remarks = done.remarks[use_case.name] = QuarantineRemarks(use_case)
            steps = backfill.backfill(
                client, use_case, partitions, backfill.target_digest(use_case), places.seen_here(use_case)
            )
            shown = done.watched(use_case, remarks.in_errors(steps))
            progress.show(console(stderr=tell is note), partitions, shown, remarks.of_step)
