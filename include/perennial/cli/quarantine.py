"""What was refused, and the way back: `quarantine list`, `show`, `release`, `discard`."""

from __future__ import annotations

import getpass
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli import runs
from perennial.cli.frame import UseCaseName, app, console, example, say
from perennial.errors import InvalidParams, ServiceUnavailable

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.partitions import Partition
    from perennial.quarantine import Item
    from perennial.use_case import UseCase

group = typer.Typer(
    help="Look at rows and batches that were refused, and decide about them.",
    epilog=example("perennial quarantine list flights"),
    no_args_is_help=True,
)
app.add_typer(group, name="quarantine")

PartitionName = Annotated[str, typer.Option("--partition", help="Partition, for instance 2013-03.")]
TableName = Annotated[str | None, typer.Option("--table", help="Only this raw table.")]
Items = Annotated[list[str] | None, typer.Option("--item", help="Only this row or batch; repeat for more.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept with the decision. Asked for if it is not given.")]
Actor = Annotated[str | None, typer.Option("--by", help="Who decides; by default who is logged in here.")]
Run = Annotated[bool, typer.Option("--run/--no-run", help="Run the partition again, on the running Airflow.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end of that run; fail if it fails.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@group.command(name="list", epilog=example("perennial quarantine list flights --partition 2013-03"))
def show_list(
    use_case: UseCaseName,
    partition: Annotated[str | None, typer.Option(help="Only this partition, for instance 2013-03.")] = None,
    table: TableName = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what no longer waits.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what waits in quarantine, by partition, table and what it breaks."""
    from perennial import discovery

    found = discovery.load(use_case)
    where = found.partition(partition) if partition else None
    from perennial import quarantine  # Heavy: after what was asked for is known to exist.

    items = quarantine.items(found, where, None if everything else ("waiting", "releasing"))
    items = [item for item in items if table in (None, item.table)]
    if as_json:
        print(json.dumps([_as_json(item) for item in items], indent=2, ensure_ascii=False, default=str))
    elif not items:
        say(f"{use_case}: nothing waits in quarantine." if not everything else f"{use_case}: nothing was ever refused.")
    else:
        console().print(_table(items))


@group.command(name="show", epilog=example("perennial quarantine show flights 5f0c --partition 2013-03"))
def show_item(
    use_case: UseCaseName,
    item: Annotated[str, typer.Argument(help="What the row or batch is known by, or the beginning of it.")],
    partition: PartitionName,
    as_json: AsJson = False,
) -> None:
    """Show one row or batch: what it holds, what it breaks, what was decided."""
    found, where = _which(use_case, partition)
    from perennial import quarantine

    (meant,) = quarantine.find(found, where, named=[item], states=None)
    if as_json:
        print(json.dumps(_as_json(meant), indent=2, ensure_ascii=False, default=str))
        return
    say(f"{meant.kind} {meant.item} of {meant.table} {meant.partition}: {meant.state}")
    for reason in meant.reasons:
        say(f"  breaks {reason}")
    say(f"  refused {meant.recorded_at:%Y-%m-%d %H:%M:%S} UTC by suite {meant.suite}, code {meant.code_version}")
    if meant.decision:
        decision = meant.decision
        accepted = f", accepting {', '.join(sorted(decision.accepted))}" if decision.accepted else ""
        say(
            f"  {decision.action} {decision.recorded_at:%Y-%m-%d %H:%M:%S} UTC by {decision.actor}{accepted}:"
            f" {decision.reason}"
        )
    if meant.kind == "row":
        say(json.dumps(json.loads(meant.told), indent=2, ensure_ascii=False))
    else:
        say(f"  {meant.told}")
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
        typer.Option(help="Release it although it breaks this expectation, named as `list` names it; repeat for more."),
    ] = None,
    reason: Reason = None,
    by: Actor = None,
    run: Run = True,
    wait: Wait = False,
) -> None:
    """Judge what waits again, by the present suite; let in what passes, and run the partition."""
    found, where = _which(use_case, partition)
    why = _reason(reason, "release it")
    from perennial.quarantine import releasing

    outcome = releasing.release(
        found,
        where,
        table=table,
        named=item or (),
        accept=accept or (),
        actor=by or getpass.getuser(),
        reason=why,
    )
    say(f"{use_case} {partition}: released {_count(outcome.decided)}, still refused {len(outcome.refused)}.")
    for refused, still in outcome.refused[:20]:
        say(f"  {refused.kind} {refused.item} of {refused.table}: {still}")
    if len(outcome.refused) > 20:
        say(f"  and {len(outcome.refused) - 20} more: `perennial quarantine list {use_case} --partition {partition}`")
    if outcome.decided:
        _run_again(found, where, run, wait)
    if outcome.refused:
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
) -> None:
    """Say that what waits is rightly refused. It is kept, and waits no longer; what was released is taken back."""
    found, where = _which(use_case, partition)
    why = _reason(reason, "discard it")
    from perennial.quarantine import releasing

    outcome = releasing.discard(found, where, table=table, named=item or (), actor=by or getpass.getuser(), reason=why)
    say(f"{use_case} {partition}: discarded {_count(outcome.decided)}.")
    if any(each.state == "released" for each in outcome.decided):
        _run_again(found, where, run, wait)


def _which(use_case: str, partition: str) -> tuple[UseCase, Partition]:
    from perennial import discovery

    found = discovery.load(use_case)
    return found, found.partition(partition)


def _reason(given: str | None, what: str) -> str:
    """The reason, asked for on a terminal."""
    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"Why {what}?")
    if not (given or "").strip():
        raise InvalidParams("A decision needs a reason.", "Add --reason and say why, in a sentence.")
    return str(given)


def _run_again(use_case: UseCase, partition: Partition, run: bool, wait: bool) -> None:
    """Run `features` for the partition: it ingests with the decision, computes, and brings online."""
    command = f"perennial trigger {use_case.name} features --partition {partition.key}"
    if not run:
        say(f"It shows once the partition has run: {command}")
        return
    try:
        runs.run(use_case, "features", partition=partition.key, params={}, wait=wait)
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            f"The decision is recorded, but the partition was not run: {error.problem}",
            f"Start Airflow (`perennial up`), then `{command}`.",
        ) from error


def _count(items: list[Item]) -> str:
    rows = sum(item.kind == "row" for item in items)
    batches = len(items) - rows
    return f"{rows} rows" + (f" and {batches} batch{'es' if batches > 1 else ''}" if batches else "")


def _as_json(item: Item) -> dict[str, Any]:
    from dataclasses import asdict

    told = asdict(item)
    if item.kind == "row":
        told["told"] = json.loads(item.told)
    if item.decision:
        told["decision"]["accepted"] = sorted(item.decision.accepted)
    return told


def _table(items: list[Item]) -> Table:
    """Items that are alike in one line."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("partition", "table", "kind", "state"):
        drawn.add_column(heading, no_wrap=True)
    drawn.add_column("rows", justify="right", no_wrap=True)
    drawn.add_column("breaks", overflow="fold")
    drawn.add_column("for instance", no_wrap=True)
    alike: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        own = item.item if item.kind == "batch" else ""
        key = (item.partition, item.table, item.kind, item.state, "\n".join(item.reasons), own)
        alike.setdefault(key, []).append(item)
    for (partition, table, kind, state, reasons, _), some in alike.items():
        drawn.add_row(partition, table, kind, state, f"{sum(each.rows for each in some):,}", reasons, some[0].item)
    return drawn
