"""Changing features: `plan` and `apply`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.frame import REFUSED, AsJson, DryRun, agreed, app, console, example, if_interrupted, say, show_json
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from perennial.feature_changes.planning import Plan
    from perennial.partitions import Partition
    from perennial.use_case import UseCase


@app.command(epilog=example("perennial plan --markdown > plan.md"))
def plan(
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
) -> None:
    """Show what a change to features would do.

    What of feature_repo/ is not what the registry holds, which use cases and models depend on it, which partitions must
    be computed again, and how long that took last time. Changes nothing, and needs no Airflow.

    Exits with 3 if the change destroys something that feature_repo/acknowledged.toml does not name.
    """
    from perennial.feature_changes import planning, rendering

    if as_json and as_markdown:
        raise InvalidParams("--json and --markdown exclude each other.", "Give one of them.")
    made = planning.plan()
    if as_json:
        show_json(rendering.as_json(made))
    elif as_markdown:
        typer.echo(rendering.markdown(made), nl=False)
    else:
        _show(made)
    if made.is_refused:
        raise typer.Exit(REFUSED)
    made.insist_on_acknowledgements_that_fit()


@app.command(epilog=example("perennial apply --from 2013-03 --to 2013-12"))
def apply(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    first: Annotated[str | None, typer.Option("--from", help="Compute again from this month, day or hour on.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Compute again up to this one, included.")] = None,
    no_backfill: Annotated[
        bool, typer.Option("--no-backfill", help="Register the definitions only; compute nothing again.")
    ] = False,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute every partition again that the lake holds.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Register changed features, and compute them.

    Shows the plan, asks, registers what feature_repo/ says, and computes again, through Airflow, what that changes.
    May be stopped anywhere and run again: it does what is left.

    Exits with 3, like `plan`, if the change destroys something that it does not acknowledge.
    """
    from perennial.feature_changes import backfill, planning

    backfill.between([], first, last)  # A slip in the dates is told before anything is looked up.
    if no_backfill and (first or last or recompute):
        raise InvalidParams("--no-backfill excludes --from, --to and --recompute.", "Give one or the other.")
    made = planning.plan(everything=recompute)
    _show(made)
    if made.is_refused:
        raise typer.Exit(REFUSED)
    made.insist_on_acknowledgements_that_fit()
    work = [] if no_backfill else _work(made, first, last)
    if dry_run or (made.is_empty and not work):
        return
    if work:
        _insist_on_airflow()
    if not yes and not _agreed():
        say("Nothing was applied.")
        raise typer.Exit(1)
    from perennial.feature_changes import applying

    say("Registered." if applying.apply(made) else "The registry holds these definitions already.")
    _compute_again(work)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise InvalidParams("Nobody is there to agree to the plan.", "Add --yes.")
    return agreed("Apply this?")


def _show(made: Plan) -> None:
    from perennial.feature_changes import rendering

    for text, style in rendering.lines(made):
        typer.secho(text, fg=style if style != "bold" else None, bold=style == "bold")


def _work(made: Plan, first: str | None, last: str | None) -> list[tuple[UseCase, list[Partition]]]:
    """The partitions to compute again, by use case."""
    from perennial import discovery
    from perennial.feature_changes import backfill

    found = []
    for one in made.recomputations:
        use_case = discovery.load(one.use_case)
        wanted = backfill.between([use_case.cadence.partition(key) for key in one.partitions], first, last)
        if wanted:
            found.append((use_case, backfill.in_order(use_case, wanted)))
    return found


def _insist_on_airflow() -> None:
    """Before anything is changed: what is registered would otherwise wait for its values."""
    from perennial.airflow_api import AirflowClient
    from perennial.errors import ServiceUnavailable

    with AirflowClient(patience=5) as client:
        try:
            client.health()
        except ServiceUnavailable as error:
            raise ServiceUnavailable(
                f"{error.problem}\nNothing was applied: partitions must be computed again, which Airflow does.",
                "Start it (`perennial up`), or add --no-backfill and run `perennial apply` again later.",
            ) from error


def _compute_again(work: Sequence[tuple[UseCase, list[Partition]]]) -> None:
    from perennial import progress
    from perennial.airflow_api import AirflowClient
    from perennial.feature_changes import backfill

    if_interrupted("What Airflow runs now goes on; the same command picks up where it was.")
    with AirflowClient() as client:
        for use_case, wanted in work:
            say(f"{use_case.name}: computing {len(wanted)} partition{'s' if len(wanted) > 1 else ''} again.")
            steps = backfill.backfill(client, use_case, wanted, backfill.wish_of(use_case))
            progress.show(console(), wanted, steps)
