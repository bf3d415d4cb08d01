"""Who is told of incidents: `alerts routes`, `alerts test`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli.frame import FAILED, AsJson, app, console, example, say, show_json

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.alerts.route_status import RouteStatus

alerts = typer.Typer(help="See who is told of incidents, and try it.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(alerts, name="alerts")

_NONE = "Nobody is told of incidents: PERENNIAL_ALERT_ROUTES names no route (docs/alerts.md)."


@alerts.command(epilog=example("perennial alerts routes"))
def routes(as_json: AsJson = False) -> None:
    """Show each route, what it last did, and what failed."""
    from perennial.alerts import route_status

    statuses = route_status.statuses()
    if as_json:
        show_json([each.as_json() for each in statuses])
    elif not statuses:
        say(_NONE)
    else:
        console().print(_table(statuses))
        for line in (line for each in statuses for line in _problems(each)):
            say(line)


@alerts.command("test", epilog=example("perennial alerts test mail"))
def try_routes(
    route: Annotated[str | None, typer.Argument(help="A route's name; by default each one.", metavar="ROUTE")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a test message on a route, by Airflow's connections.

    They are read here: from AIRFLOW_CONN_* variables, a secrets backend, or Airflow's database where this machine may
    read it.
    """
    from perennial.alerts import delivery
    from perennial.settings import settings
    from perennial.sources.connections import run_as_airflow

    names = [delivery.find(route).name] if route else [each.name for each in settings().alert_routes]
    results: list[dict[str, Any]] = []
    for name in names:
        result, silence = run_as_airflow("perennial.orchestration.notifiers", name, f"test the alert route {name!r}")
        hint = f" Airflow's database was not searched: {silence}" if silence and result["state"] == "failed" else ""
        results.append({**result, "error": result["error"] + hint})
    if as_json:
        show_json(results)
    elif not results:
        say(_NONE)
    else:
        for each in results:
            say(f"{each['route']}: {each['state']}{'. ' + each['error'] if each['error'] else ''}")
    if any(each["state"] != "sent" for each in results):
        raise typer.Exit(FAILED)


def _table(statuses: list[RouteStatus]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(*("route", "notifier", "tells", "last sent (UTC)", "to tell", "state"), box=None)
    for each in statuses:
        row = (
            each.route.name,
            each.route.notifier,
            _tells(each),
            _time(each.last_sent),
            str(each.pending),
            _state(each),
        )
        table.add_row(*map(escape, row))
    return table


def _tells(status: RouteStatus) -> str:
    route = status.route
    whose = ", ".join([*route.use_cases, *(f"those of {owner}" for owner in route.owners)]) or "all"
    return f"{route.severity} and worse, {whose}" if route.severity != "critical" else f"critical, {whose}"


def _state(status: RouteStatus) -> str:
    if status.wrong:
        return "wrong"
    if status.failing_since is not None:
        return f"fails since {_time(status.failing_since)}"
    return f"quiet until {_time(status.quiet_until)}" if status.quiet_until else "works" if status.last_sent else "new"


def _problems(status: RouteStatus) -> list[str]:
    lines = [f"{status.route.name}: {problem}. Fix: {fix}" for problem, fix in status.wrong]
    if status.error:
        lines.append(f"{status.route.name}: {status.error} It is tried again from {_time(status.next_attempt)} on.")
    return lines


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"
