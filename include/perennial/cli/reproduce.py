"""Proving what a version is: `reproduce`, `card`."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from perennial.cli.frame import UseCaseName, app, console, example, say

Version = Annotated[int, typer.Argument(min=1, help="A registered version, for instance 3.")]


@app.command(epilog=example("perennial reproduce flights 1"))
def reproduce(
    use_case: UseCaseName,
    version: Version,
    checkout: Annotated[
        bool, typer.Option("--checkout", help="By the code it was trained by: in a checkout of that commit.")
    ] = False,
    with_changes: Annotated[
        bool,
        typer.Option("--with-changes", help="With --checkout: apply the changes that were in no commit, and run them."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a version again from what was recorded: its rows, its fit, its predictions; fail if they are not equal."""
    from perennial import discovery
    from perennial.errors import InvalidParams
    from perennial.reproduce.report import table

    if with_changes and not checkout:
        raise InvalidParams("--with-changes applies to a checkout.", "Add --checkout.")
    found = discovery.load(use_case)
    # A thread that waits for a busy core must sleep; read when the libraries below are loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if checkout:
        from perennial.reproduce import checkout as by_commit

        result = by_commit.reproduce(
            found, version, with_changes=with_changes, say=lambda line: typer.echo(line, err=True)
        )
    else:
        from perennial.imports import quickly

        with quickly():
            from perennial.reproduce import replay
        result = replay.reproduce(found, version)
    if as_json:
        print(json.dumps(result.as_json(), indent=2, ensure_ascii=False))
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
) -> None:
    """Print the model card of a version, made anew from what is recorded, and attach it in MLflow."""
    from perennial import discovery

    found = discovery.load(use_case)
    from perennial import model_card

    written = model_card.attach(found, version)
    say(model_card.read(found, version, model_card.HTML) if as_html else written)
