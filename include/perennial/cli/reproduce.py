"""Proving what a version is: `reproduce`, `card`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, DryRun, UseCaseName, app, console, example, if_interrupted, say, show_json

if TYPE_CHECKING:
    from perennial.reproduce.report import Reproduction
    from perennial.use_case import UseCase

Version = Annotated[
    int,
    typer.Argument(
        min=1, help="A registered version, for instance 3.", autocompletion=completion.versions, metavar="VERSION"
    ),
]


@app.command(epilog=example("perennial reproduce flights 1"))
def reproduce(
    use_case: UseCaseName,
    version: Version,
    checkout: Annotated[
        bool, typer.Option("--checkout", help="Use the code it was trained with: a checkout of that commit.")
    ] = False,
    with_changes: Annotated[
        bool,
        typer.Option(
            "--with-changes",
            help="With --checkout: also apply the uncommitted changes that were recorded, and run them.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Reproduce a version from its records, and compare.

    Compares rows, fit and predictions bit for bit; fails if they are not equal. Changes nothing.
    """
    from perennial import discovery
    from perennial.cli.waiting import watched
    from perennial.errors import InvalidParams
    from perennial.reproduce.report import table

    if with_changes and not checkout:
        raise InvalidParams("--with-changes applies to a checkout.", "Add --checkout.")
    declared = discovery.load(use_case)
    if_interrupted("Nothing was changed, and nothing continues; the same command starts again.")
    # A thread that waits for a busy core must sleep; read when the libraries below are loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    label = f"{use_case} v{version}"
    if checkout:
        from perennial.reproduce import checkout as by_commit

        with watched(label) as step:
            result = by_commit.reproduce(declared, version, with_changes=with_changes, say=step)
    else:
        with watched(label) as step:
            step("loading the libraries")
            expected = _training_seconds(declared, version)
        with watched(label, expected) as step:
            result = _refit(declared, version, step)
    if as_json:
        show_json(result.as_json())
    else:
        out = console()
        out.print(table(result))
        if result.advice:
            out.print(result.advice, markup=False, highlight=False, soft_wrap=True)
    if not result.equal:
        raise typer.Exit(1)


@app.command(epilog=example("perennial card flights 1 > card.md"))
def card(
    use_case: UseCaseName,
    version: Version,
    as_html: Annotated[bool, typer.Option("--html", help="The HTML page instead of Markdown.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Print the model card of a version, as of now.

    It is also attached to the version in MLflow, replacing an earlier one.
    """
    from perennial import discovery

    declared = discovery.load(use_case)
    from perennial.gate import model_card

    if dry_run:
        shown = model_card.render(declared, version)[model_card.HTML if as_html else model_card.MARKDOWN]
    else:
        markdown = model_card.attach(declared, version)
        shown = model_card.read(declared, version, model_card.HTML) if as_html else markdown
    if as_json:
        show_json({"use_case": use_case, "version": version, "attached": not dry_run, "card": shown})
    else:
        say(shown)


def _training_seconds(use_case: UseCase, version: int) -> float | None:
    """How long the training of a version took, which to do again takes about as long."""
    from perennial._common.heavy_imports import fast_imports

    with fast_imports():
        from perennial.registry import tracking
        from perennial.reproduce import refit  # noqa: F401 - what `_refit` needs
    run = tracking.training_run(use_case, version)
    return (run.ended - run.started).total_seconds() if run.started and run.ended else None


def _refit(use_case: UseCase, version: int, step: Callable[[str], None]) -> Reproduction:
    from perennial.reproduce import refit

    return refit.reproduce(use_case, version, step)
