"""Rows and batches in quarantine: `quarantine list`, `show`, `release`, `discard`."""

from __future__ import annotations

import getpass
import json
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
    if_interrupted,
    note,
    reason_for,
    say,
    show_json,
)
from perennial.dag_names import FEATURES
from perennial.errors import InvalidParams, ServiceUnavailable
from perennial.quarantine import display
from perennial.quarantine.states import UNREADABLE, UNREADABLE_FIX, ItemState

if TYPE_CHECKING:
    from perennial.partitions import Partition
    from perennial.quarantine.review import ReviewOutcome
    from perennial.use_case import UseCase

group = typer.Typer(
    help="Look at rows and batches in quarantine, and review them.",
    epilog=example("perennial quarantine list flights"),
    no_args_is_help=True,
)
app.add_typer(group, name="quarantine")

PartitionName = Annotated[
    str,
    typer.Option(
        "--partition",
        metavar="PARTITION",
        help="Partition, for instance 2013-03.",
        autocompletion=completion.partitions,
    ),
]
TableName = Annotated[
    str | None,
    typer.Option("--table", metavar="TABLE", help="Only this raw table.", autocompletion=completion.raw_tables),
]
Items = Annotated[
    list[str] | None,
    typer.Option(
        "--item", metavar="ITEM", help="Only this row or batch; repeat for more.", autocompletion=completion.items
    ),
]
Reason = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why; it is kept with the decision. Asked for if it is not given.")
]
Actor = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who decides; by default who is logged in here.")
]
#: What Ctrl-C says while a decision is taken.
_DECIDING = (
    "The decision is recorded whole or not at all: `perennial quarantine list` shows which; repeating it is safe."
)
Run = Annotated[bool, typer.Option("--run/--no-run", help="Run the partition again, on the running Airflow.")]


@group.command(name="list", epilog=example("perennial quarantine list flights --partition 2013-03"))
def show_list(
    use_case: UseCaseName,
    partition: Annotated[
        str | None,
        typer.Option(
            metavar="PARTITION", help="Only this partition, for instance 2013-03.", autocompletion=completion.partitions
        ),
    ] = None,
    table: TableName = None,
    everything: Annotated[bool, typer.Option("--all", help="Include items that are no longer pending review.")] = False,
    as_json: AsJson = False,
) -> None:
    """List items pending review, by partition, table and reason."""
    from perennial import discovery

    declared = discovery.load(use_case)
    where = declared.partition(partition) if partition else None
    from perennial import quarantine  # Heavy: after what was asked for is known to exist.

    items = quarantine.list_items(declared, where, None if everything else (ItemState.PENDING, ItemState.RELEASING))
    items = [item for item in items if table in (None, item.table)]
    if as_json:
        show_json([display.as_json(item) for item in items])
    elif not items:
        nothing = "nothing was ever quarantined" if everything else "nothing in quarantine is pending review"
        say(f"{use_case}: {nothing}.")
    else:
        console().print(display.table(items))


@group.command(name="show", epilog=example("perennial quarantine show flights 5f0c --partition 2013-03"))
def show_item(
    use_case: UseCaseName,
    item: Annotated[
        str,
        typer.Argument(
            help="The name of the row or batch, or the beginning of it.",
            autocompletion=completion.items,
            metavar="ITEM",
        ),
    ],
    partition: PartitionName,
    as_json: AsJson = False,
) -> None:
    """Show one row or batch, why it is there, and what was decided."""
    declared, where = _targets(use_case, partition)
    from perennial import quarantine

    (meant,) = quarantine.find_items(declared, where, named=[item], states=None)
    if as_json:
        show_json(display.as_json(meant))
        return
    say(f"{meant.kind} {meant.item} of {meant.table} {meant.partition}: {meant.state.label}")
    for reason in meant.reasons:
        say(f"  fails {reason}")
    if meant.state == ItemState.PENDING and meant.reasons[0].startswith(UNREADABLE):
        say(f"  {UNREADABLE_FIX}")
    say(f"  quarantined {meant.recorded_at:%Y-%m-%d %H:%M:%S} UTC by suite {meant.suite}, code {meant.code_version}")
    if meant.decision:
        decision = meant.decision
        accepted = f", accepting {', '.join(sorted(decision.accepted))}" if decision.accepted else ""
        say(
            f"  {decision.action.label} {decision.recorded_at:%Y-%m-%d %H:%M:%S} UTC by {decision.actor}{accepted}:"
            f" {decision.reason}"
        )
    if meant.kind == "row":
        say(json.dumps(json.loads(meant.detail), indent=2, ensure_ascii=False))
    else:
        say(f"  {meant.detail}")
        say(f"  {meant.rows} rows; in Python: quarantine.content(use_case, {meant.content!r})")


@group.command(
    epilog=example('perennial quarantine release flights --partition 2013-03 --reason "the limit was too low" --wait')
)
def release(
    use_case: UseCaseName,
    partition: PartitionName,
    table: TableName = None,
    item: Items = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPECTATION",
            help="Release it although it breaks this expectation, named as `list` names it; repeat for more.",
            autocompletion=completion.expectations,
        ),
    ] = None,
    reason: Reason = None,
    by: Actor = None,
    run: Run = True,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Validate items pending review again, and release those that pass.

    By the current suite; then the partition runs again. What still breaks something stays, is named, and makes the
    command fail.
    """
    declared, where = _targets(use_case, partition)
    why = "dry run" if dry_run and not reason else _reason(reason, "release it")
    from perennial.quarantine import review

    if_interrupted(_DECIDING)
    outcome = review.release(
        declared,
        where,
        table=table,
        named=item or (),
        accept=accept or (),
        actor=by or getpass.getuser(),
        reason=why,
        dry_run=dry_run,
    )
    tell = note if as_json else say
    would = ("would be released", "would still be rejected") if dry_run else ("released", "still rejected")
    broken = outcome.still_broken
    tell(f"{use_case} {partition}: {would[0]} {display.count(outcome.decided)}, {would[1]} {len(broken)}.")
    for rejected, why in broken[:20]:
        tell(f"  {rejected.kind} {rejected.item} of {rejected.table}: {why}")
    if len(broken) > 20:
        tell(f"  and {len(broken) - 20} more: `perennial quarantine list {use_case} --partition {partition}`")
    _ingest(declared, where, outcome, needed=bool(outcome.decided), run=run and not dry_run, wait=wait, as_json=as_json)
    if broken:
        raise typer.Exit(1)


@group.command(
    epilog=example('perennial quarantine discard flights --partition 2013-03 --reason "a sensor that was broken"')
)
def discard(
    use_case: UseCaseName,
    partition: PartitionName,
    table: TableName = None,
    item: Items = None,
    reason: Reason = None,
    by: Actor = None,
    run: Run = True,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Discard items pending review.

    They stay stored, but are no longer pending; the release of an item named with --item is undone.
    """
    declared, where = _targets(use_case, partition)
    why = "dry run" if dry_run and not reason else _reason(reason, "discard it")
    from perennial.quarantine import review

    if_interrupted(_DECIDING)
    outcome = review.discard(
        declared,
        where,
        table=table,
        named=item or (),
        actor=by or getpass.getuser(),
        reason=why,
        dry_run=dry_run,
    )
    would = "would be discarded" if dry_run else "discarded"
    (note if as_json else say)(f"{use_case} {partition}: {would} {display.count(outcome.decided)}.")
    taken_back = any(each.state == ItemState.RELEASED for each in outcome.decided)
    _ingest(declared, where, outcome, needed=taken_back, run=run and not dry_run, wait=wait, as_json=as_json)


def _targets(use_case: str, partition: str) -> tuple[UseCase, Partition]:
    from perennial import discovery

    declared = discovery.load(use_case)
    return declared, declared.partition(partition)


def _reason(reason: str | None, action: str) -> str:
    missing = InvalidParams("A decision needs a reason.", "Add --reason and say why, in a sentence.")
    return reason_for(reason, action, missing)


def _ingest(
    use_case: UseCase,
    partition: Partition,
    outcome: ReviewOutcome,
    *,
    needed: bool,
    run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Run `features` for the partition, if it is needed and wanted: it ingests with the decision, and computes."""
    tell = note if as_json else say
    command = f"perennial trigger {use_case.name} features --partition {partition.key}"
    started: dict[str, Any] | None = None
    if needed and run:
        try:
            started = runs.run(use_case, FEATURES, partition=partition.key, params={}, wait=wait, tell=tell)
        except ServiceUnavailable as error:
            raise ServiceUnavailable(
                f"The decision is recorded, but the partition was not run: {error.problem}",
                f"Start Airflow (`perennial up`), then `{command}`.",
            ) from error
    elif needed:
        tell(f"It shows once the partition has run: {command}")
    if as_json:
        decided = [display.as_json(each) for each in outcome.decided]
        broken = [display.as_json(each) | {"still": why} for each, why in outcome.still_broken]
        show_json({"decided": decided, "refused": broken, "run": started})
