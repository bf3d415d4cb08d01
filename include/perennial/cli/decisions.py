"""Undoing decisions and looking back at them: `rollback`, `resume`, `history`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from perennial.cli import runs
from perennial.cli.frame import UseCaseName, app, console, example, say
from perennial.errors import InvalidParams

Reason = Annotated[str | None, typer.Option(help="Why; it is kept in the ledger. Asked for if it is not given.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; fail if the run fails.")]


@app.command(epilog=example('perennial rollback flights --reason "wrong at night" --pause 7d --wait'))
def rollback(
    use_case: UseCaseName,
    to: Annotated[int | None, typer.Option(min=1, help="Version to return to; by default the one before.")] = None,
    reason: Reason = None,
    pause: Annotated[str | None, typer.Option(help="Pause automatic promotion for so long: 12h, 7d, 2w.")] = None,
    until_resumed: Annotated[
        bool, typer.Option("--until-resumed", help="Pause it until `perennial resume`; this is the default.")
    ] = False,
    wait: Wait = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Let an earlier version serve again, in one step, and pause automatic promotion."""
    from perennial import discovery, undo

    if pause and until_resumed:
        raise InvalidParams("--pause and --until-resumed exclude each other.", "Give one of them.")
    found = discovery.load(use_case)
    why = "dry run" if dry_run and not reason else _reason(reason, "roll back")
    wish = undo.params_of(use_case, {"to": to, "reason": why, "pause": pause})
    planned = undo.plan(found, wish.to)
    first = found.cadence.at(planned.effective_from).key
    paused = f"for {wish.pause}" if wish.pause else f"until `perennial resume {use_case}`"
    say(f"{use_case}: v{planned.previous} -> v{planned.version}, which predicts from partition {first} on.")
    say(f"Automatic promotion is paused {paused}; a person decides meanwhile.")
    if not dry_run:
        # By its number: if somebody else has rolled back meanwhile, this must not go one version further.
        wish = wish.model_copy(update={"to": planned.version})
        runs.run(found, "champion", partition=None, params=wish.model_dump(mode="json", exclude_none=True), wait=wait)


@app.command(epilog=example('perennial resume flights --reason "v4 was trained without the broken sensor"'))
def resume(use_case: UseCaseName, reason: Reason = None, wait: Wait = False) -> None:
    """Let the gate promote by itself again after a rollback."""
    from perennial import discovery, glance, ledger, undo

    found = discovery.load(use_case)
    table = f"{found.name}.ledger"
    undo.insist_on_a_pause(found, ledger.parsed(glance.records([table])[table]))
    wish = undo.params_of(use_case, {"action": "resume", "reason": _reason(reason, "resume automatic promotion")})
    runs.run(found, "champion", partition=None, params=wish.model_dump(mode="json", exclude_none=True), wait=wait)


@app.command(name="history", epilog=example("perennial history flights"))
def show_history(
    use_case: UseCaseName, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show which version served when, how it came to serve, who decided that, and why."""
    from perennial import discovery, history

    found = discovery.load(use_case)
    told = history.history(found)
    if as_json:
        print(json.dumps(told.as_json(), indent=2, ensure_ascii=False))
        return
    if not told.served:
        say(f"{use_case}: no version has served yet.")
        return
    out = console()
    out.print(history.table(found, told))
    if told.pause:
        out.print(f"Paused: {history.paused(told.pause)}", highlight=False, markup=False)


def _reason(given: str | None, what: str) -> str:
    """The reason, asked for on a terminal."""
    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"Why {what}?")
    if given is None or not given.strip():
        raise InvalidParams(f"A reason to {what} is missing.", 'Add --reason "...": it is kept in the ledger.')
    return given
