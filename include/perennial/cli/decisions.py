"""Rolling back, resuming and reviewing decisions: `rollback`, `resume`, `history`."""

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
from perennial.dag_names import CHAMPION
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from perennial.gate.rollback_plan import RollbackRequest
    from perennial.use_case import UseCase

Reason = Annotated[
    str | None, typer.Option(metavar="TEXT", help="The reason, recorded in the ledger. Asked for if it is not given.")
]


@app.command(epilog=example('perennial rollback flights --reason "wrong at night" --pause 7d --wait'))
def rollback(
    use_case: UseCaseName,
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="VERSION",
            help="Version to roll back to; by default the previous champion.",
            autocompletion=completion.served,
        ),
    ] = None,
    reason: Reason = None,
    pause: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Pause automatic promotion for this long: 12h, 7d, 2w.",
            autocompletion=completion.pauses,
        ),
    ] = None,
    until_resumed: Annotated[
        bool, typer.Option("--until-resumed", help="Pause it until `perennial resume`; the default.")
    ] = False,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version the champion again.

    Automatic promotion is paused, so that the gate does not reverse the rollback.
    """
    from perennial import discovery
    from perennial.gate import rollback_plan

    if pause and until_resumed:
        raise InvalidParams("--pause and --until-resumed exclude each other.", "Give one of them.")
    tell = note if as_json else say
    declared = discovery.load(use_case)
    reason_text = "dry run" if dry_run and not reason else _reason(reason, "roll back")
    request = rollback_plan.parse_request(use_case, {"to": to, "reason": reason_text, "pause": pause})
    planned = rollback_plan.plan(declared, request.to)
    first = declared.cadence.at(planned.effective_from).key
    paused = f"for {request.pause}" if request.pause else f"until `perennial resume {use_case}`"
    tell(f"{use_case}: v{planned.previous} -> v{planned.version}, which scores from partition {first} on.")
    tell(f"Automatic promotion is paused {paused}; until then a person decides.")
    result: dict[str, Any] = {"from": planned.previous, "to": planned.version, "first_partition": first}
    result["pause"] = request.pause
    if not dry_run:
        # By its number: if somebody else has rolled back meanwhile, this must not go one version further.
        request = request.model_copy(update={"to": planned.version})
        result["run"] = _run(declared, request, wait, tell)
    if as_json:
        show_json(result)


@app.command(epilog=example('perennial resume flights --reason "v4 was trained without the broken sensor"'))
def resume(
    use_case: UseCaseName, reason: Reason = None, wait: Wait = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Resume automatic promotion after a rollback."""
    from perennial import discovery, lake_cache
    from perennial.gate import rollback_plan
    from perennial.registry import deployments, ledger

    tell = note if as_json else say
    declared = discovery.load(use_case)
    table = declared.tables.ledger
    pause = rollback_plan.active_pause(declared, ledger.from_rows(lake_cache.records([table])[table]))
    reason_text = "dry run" if dry_run and not reason else _reason(reason, "resume automatic promotion")
    request = rollback_plan.parse_request(use_case, {"action": "resume", "reason": reason_text})
    ends = "would end" if dry_run else "ends"
    tell(f"{use_case}: this pause of automatic promotion {ends}: {deployments.pause_text(pause)}")
    result: dict[str, Any] = {"pause": deployments.pause_text(pause)}
    if not dry_run:
        result["run"] = _run(declared, request, wait, tell)
    if as_json:
        show_json(result)


@app.command(name="history", epilog=example("perennial history flights"))
def show_history(use_case: UseCaseName, as_json: AsJson = False) -> None:
    """Show the deployment history of a use case.

    Which version was champion when, who decided, and why.
    """
    from perennial import discovery
    from perennial.registry import deployments

    declared = discovery.load(use_case)
    history = deployments.history(declared)
    if as_json:
        show_json(history.as_json())
        return
    if not history.served:
        say(f"{use_case}: no version has been in production yet.")
        return
    out = console()
    out.print(deployments.as_table(declared, history))
    if history.pause:
        out.print(f"Paused: {deployments.pause_text(history.pause)}", highlight=False, markup=False)


def _run(use_case: UseCase, request: RollbackRequest, wait: bool, tell: Callable[[str], None]) -> dict[str, Any]:
    params = request.model_dump(mode="json", exclude_none=True)
    return runs.run(use_case, CHAMPION, partition=None, params=params, wait=wait, tell=tell)


def _reason(reason: str | None, action: str) -> str:
    missing = InvalidParams(f"A reason to {action} is missing.", 'Add --reason "...": it is kept in the ledger.')
    return reason_for(reason, action, missing)
