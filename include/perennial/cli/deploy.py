"""Bring the definitions of this commit to an environment: `deploy`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from perennial.cli import audit, completion
from perennial.cli.features import apply
from perennial.cli.frame import AsJson, DryRun, app, example, note, say
from perennial.errors import PerennialError


@app.command(epilog=example("perennial deploy --to staging"))
def deploy(
    to: Annotated[
        str,
        typer.Option("--to", metavar="ENVIRONMENT", help="Which one.", autocompletion=completion.environments),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_backfill: Annotated[
        bool, typer.Option("--no-backfill", help="Register the definitions only; compute nothing again.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring this commit's features to an environment.

    Refuses what is not committed. Then does what `apply` does, with the settings of that environment: shows the plan,
    asks, registers, and computes again. What was deployed, by whom and when, is in the audit log of the environment.

    Code gets to servers by image or git bundle, not by this command.
    """
    from perennial.settings import settings, variable

    if settings().environment != to:
        # Everything that was read so far was that of another environment: begin again.
        command = [sys.executable, "-m", "perennial.cli", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | {variable("environment"): to})  # noqa: S606 - this very command
    commit = _commit()
    audit.add(f"commit {commit}")
    (note if as_json else say)(f"Commit {commit} to environment {to}")
    apply(yes=yes, first=None, last=None, no_backfill=no_backfill, recompute=False, dry_run=dry_run, as_json=as_json)


def _commit() -> str:
    """The commit of the project, if its files are those of it.

    Raises:
        PerennialError: they are not, or the project is in no git repository.
    """
    from perennial.registry import provenance
    from perennial.settings import settings

    commit = provenance.code_version()
    if commit == "unknown":
        raise PerennialError(
            f"{settings().project} is in no git repository.",
            "Deploy from a checkout, or set PERENNIAL_COMMIT to the commit that the files are of.",
        )
    if commit.endswith("+dirty"):
        raise PerennialError(
            f"{settings().project} has changes that are not committed (`git status` shows them).",
            "Commit or remove them: what is deployed must be in git.",
        )
    return commit
