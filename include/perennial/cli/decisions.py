"""Undoing decisions and looking back at them: `rollback`, `resume`, `history`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli import completion, runs
from perennial.cli.frame import (
    AsJson,
    DryRun,
    UseCaseName,
    Wait,
    app,
    console,
    example,
    note,
    reason_for,
    say,
    show_json,
)
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from perennial.gate.rollback_plan import RollbackRequest
    from perennial.use_case import UseCase

Reason = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why; it is kept in the ledger. Asked for if it is not given.")
]


@app.command(epilog=example('perennial rollback flights --reason "wrong at night" --pause 7d --wait'))
def rollback(
    use_case: UseCaseName,
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="VERSION",
            help="Version to return to; by default the one before.",
            autocompletion=completion.served,
        ),
    ] = None,
    reason: Reason = None,
    pause: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Pause automatic promotion for so long: 12h, 7d, 2w.", autocompletion=completion.pauses
        ),
    ] = None,
    until_resumed: Annotated[
        bool, typer.Option("--until-resumed", help="Pause it until `perennial resume`; this is the default.")
    ] = False,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let an earlier version serve again, in one step.

    Automatic promotion pauses, so that the gate does not undo it.
    """
    from perennial import discovery
    from perennial.gate import rollback_plan

    if pause and until_resumed:
        raise InvalidParams("--pause and --until-resumed exclude each other.", "Give one of them.")
    tell = note if as_json else say
    found = discovery.load(use_case)
    why = "dry run" if dry_run and not reason else _reason(reason, "roll back")
    wish = rollback_plan.parse_request(use_case, {"to": to, "reason": why, "pause": pause})
    planned = rollback_plan.plan(found, wish.to)
    first = found.cadence.at(planned.effective_from).key
    paused = f"for {wish.pause}" if wish.pause else f"until `perennial resume {use_case}`"
    tell(f"{use_case}: v{planned.previous} -> v{planned.version}, which predicts from partition {first} on.")
    tell(f"Automatic promotion is paused {paused}; a person decides meanwhile.")
    told: dict[str, Any] = {"from": planned.previous, "to": planned.version, "first_partition": first}
    told["pause"] = wish.pause
    if not dry_run:
        # By its number: if somebody else has rolled back meanwhile, this must not go one version further.
        wish = wish.model_copy(update={"to": planned.version})
        told["run"] = _run(found, wish, wait, tell)
    if as_json:
        show_json(told)


@app.command(epilog=example('perennial resume flights --reason "v4 was trained without the broken sensor"'))
def resume(
    use_case: UseCaseName, reason: Reason = None, wait: Wait = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Let the gate promote by itself again after a rollback."""
    from perennial import discovery, lake_cache
    from perennial.gate import rollback_plan
    from perennial.registry import deployments, ledger

    tell = note if as_json else say
    found = discovery.load(use_case)
    table = found.tables.ledger
    pause = rollback_plan.active_pause(found, ledger.from_rows(lake_cache.records([table])[table]))
    why = "dry run" if dry_run and not reason else _reason(reason, "resume automatic promotion")
    wish = rollback_plan.parse_request(use_case, {"action": "resume", "reason": why})
    ends = "would end" if dry_run else "ends"
    tell(f"{use_case}: this pause of automatic promotion {ends}: {deployments.pause_text(pause)}")
    told: dict[str, Any] = {"pause": deployments.pause_text(pause)}
    if not dry_run:
        told["run"] = _run(found, wish, wait, tell)
    if as_json:
        show_json(told)


@app.command(name="history", epilog=example("perennial history flights"))
def show_history(use_case: UseCaseName, as_json: AsJson = False) -> None:
    """Show which version served when, who decided that, and why."""
    from perennial import discovery
    from perennial.registry import deployments

    found = discovery.load(use_case)
    told = deployments.history(found)
    if as_json:
        show_json(told.as_json())
        return
    if not told.served:
        say(f"{use_case}: no version has served yet.")
        return
    out = console()
    out.print(deployments.as_table(found, told))
    if told.pause:
        out.print(f"Paused: {deployments.pause_text(told.pause)}", highlight=False, markup=False)


def _run(use_case: UseCase, wish: RollbackRequest, wait: bool, tell: Callable[[str], None]) -> dict[str, Any]:
    params = wish.model_dump(mode="json", exclude_none=True)
    return runs.run(use_case, "champion", partition=None, params=params, wait=wait, tell=tell)


def _reason(given: str | None, what: str) -> str:
    missing = InvalidParams(f"A reason to {what} is missing.", 'Add --reason "...": it is kept in the ledger.')
    return reason_for(given, what, missing)
