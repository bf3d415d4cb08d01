"""Retiring a use case, and bringing it back: `retire`."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.cli.frame import AsJson, DryRun, UseCaseName, app, example, note, reason_for, say, show_json
from perennial.errors import InvalidParams


@app.command(epilog=example('perennial retire flights --reason "replaced by arrivals"'))
def retire(
    use_case: UseCaseName,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; kept in the file.", metavar="TEXT", show_default=False)
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Bring a retired use case back.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Retire a use case, or bring it back.

    Its schedules stop and nothing of it can be started. Its records, models and features stay as they are, on the pages
    and for every command that reads. Writes the file retired.toml in the use case's folder: commit it, so that every
    checkout agrees.
    """
    from perennial import discovery

    tell = note if as_json else say
    retired = discovery.retirement(use_case)
    file = f"include/use_cases/{use_case}/{discovery.RETIRED}"
    if undo:
        if retired is None:
            raise InvalidParams(f"Use case {use_case!r} is not retired.", "There is nothing to undo.")
        if not dry_run:
            discovery.reinstate(use_case)
        tell(f"{file} {'would be' if dry_run else 'is'} deleted: {use_case} is active again. Commit that.")
    else:
        if retired is not None:
            raise InvalidParams(f"Use case {use_case!r} is {retired}", "`--undo` brings it back.")
        missing = InvalidParams("A reason to retire it is missing.", 'Add --reason "...": it is kept in the file.')
        retired = discovery.retire(use_case, reason_for(reason, "retire it", missing), write=not dry_run)
        tell(f"{use_case} {'would be' if dry_run else 'is'} {retired}")
        tell(f"Airflow stops its schedules once it has read {file}, within a minute. Commit that file.")
    if as_json:
        shown = None if undo or retired is None else vars(retired)
        show_json({"use_case": use_case, "retired": shown, "file": file, "written": not dry_run})
