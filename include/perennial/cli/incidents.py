"""What went wrong, and who has seen it: `incidents list`, `show`, `acknowledge`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from perennial.cli import completion
from perennial.cli.frame import AsJson, app, console, example, note, reason_for, say, show_json
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from perennial.alerts.incidents import Incident


class _ListsByDefault(TyperGroup):
    """Takes what is no subcommand as what is to be listed: `perennial incidents flights`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_command = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        parsed: list[str] = super().parse_args(ctx, args if is_command else ["list", *args])
        return parsed


group = typer.Typer(
    cls=_ListsByDefault,
    help="Show what went wrong and what to do; acknowledge it. `list` may be left out.",
    epilog=example("perennial incidents flights"),
)
app.add_typer(group, name="incidents")

IncidentId = Annotated[
    str,
    typer.Argument(
        help="The incident's id, or the beginning of it.", metavar="INCIDENT", autocompletion=completion.incidents
    ),
]


@group.command(name="list", epilog=example("perennial incidents list flights --all"))
def show_list(
    use_case: Annotated[
        str | None,
        typer.Argument(
            help="Name of a use case; all of them, and the installation, without one.",
            autocompletion=completion.use_cases,
            metavar="USE_CASE",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include incidents that are closed.")] = False,
    look: Annotated[bool, typer.Option("--detect", help="Look for what is wrong first, and record it.")] = False,
    as_json: AsJson = False,
) -> None:
    """List open incidents, the most serious first."""
    from perennial import discovery
    from perennial.alerts import incidents
    from perennial.settings import settings

    if use_case is not None:
        discovery.folder(use_case)
    if look:
        from perennial.alerts import detection

        for source, why in detection.update(use_case).unread.items():
            note(f"{source} cannot be read, and closes no incident: {why}")
    elif not settings().alerts_every:
        note("PERENNIAL_ALERTS_EVERY is 0: incidents are looked for by `--detect` only.")
    names = [incidents.INSTALLATION, *discovery.names()] if use_case is None else [use_case]
    known, unread = incidents.readable(names)
    for what, why in unread.items():
        note(f"The {what} cannot be read: {why}")
    shown = [each for of_one in known.values() for each in of_one if each.is_open or everything]
    shown.sort(key=_order)
    if as_json:
        show_json([each.as_json() for each in shown])
    elif not shown:
        what = "no incident was ever recorded" if everything else "no incident is open"
        say(f"{use_case or 'all use cases'}: {what}.")
    else:
        console().print(_table(shown))


def _order(incident: Incident) -> tuple[bool, int, float]:
    from perennial.alert_routes import SEVERITIES

    return not incident.is_open, SEVERITIES.index(incident.latest.severity), -incident.first.recorded_at.timestamp()


@group.command(name="show", epilog=example("perennial incidents show 5f0c"))
def show_one(incident: IncidentId, as_json: AsJson = False) -> None:
    """Show what an incident means, and what to do.

    With each of its events, and the evidence.
    """
    from perennial.alerts import incidents

    found = incidents.find(incident, [each for of_one in incidents.every().values() for each in of_one])
    if as_json:
        show_json(found.as_json())
        return
    latest = found.latest
    say(f"{found.id} {found.state}, {latest.severity}: {_place(found)}: {latest.title}")
    say(f"  what it means: {latest.meaning}")
    if found.is_open:
        say(f"  what to do: {latest.action}")
        say(f"  where: {latest.link}")
    for each in found.events:
        by = f" by {each.by}" if each.by else ""
        words = {"opened": each.title, "updated": each.title}.get(each.event, each.note)
        say(f"  {each.recorded_at:%Y-%m-%d %H:%M:%S} UTC {each.event}{by}: {words}")
    for name, value in latest.evidence.items():
        say(f"  {name}: {value}")


@group.command(epilog=example('perennial incidents acknowledge 5f0c --note "the provider is late, I have asked"'))
def acknowledge(
    incident: IncidentId,
    text: Annotated[
        str | None,
        typer.Option(
            "--note", metavar="TEXT", help="What you know or do about it; it is kept. Asked for if not given."
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who; by default who is logged in here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say that you have seen an open incident.

    It stays open until what it is about is over. A rollback by the gate, of which no record tells that somebody has
    looked at it, is closed by that.
    """
    from perennial.alerts import incidents

    missing = InvalidParams("A note is missing.", 'Add --note "...": it is kept with the incident.')
    seen = incidents.acknowledge(incident, by or getpass.getuser(), reason_for(text, "is it as it is", missing))
    if as_json:
        show_json(seen.as_json())
    else:
        say(f"{seen.id} {seen.state}: {_place(seen)}: {seen.latest.title}")


def _place(incident: Incident) -> str:
    return incident.first.use_case or "the installation"


def _table(shown: Sequence[Incident]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("incident", "state", "severity", "use case", "since (UTC)"):
        drawn.add_column(heading, no_wrap=True)
    drawn.add_column("what happened", overflow="fold")
    colours = {"critical": "red", "warning": "yellow", "info": ""}
    for each in shown:
        colour = colours[each.latest.severity] if each.is_open else ""
        severity = f"[{colour}]{each.latest.severity}[/]" if colour else each.latest.severity
        since = f"{each.first.recorded_at:%Y-%m-%d %H:%M}"
        drawn.add_row(each.id[:8], each.state, severity, each.first.use_case or "-", since, escape(each.latest.title))
    return drawn
