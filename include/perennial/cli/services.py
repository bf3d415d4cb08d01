"""Starting, stopping and looking: `up`, `down`, `login`, `status`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from perennial.cli.frame import app, console, example, say


@app.command(epilog=example("perennial up"))
def up() -> None:
    """Start PostgreSQL, MLflow and Airflow on this machine; what runs already is left alone."""
    from perennial import embedded

    embedded.up(say)
    _print_addresses()


@app.command(epilog=example("perennial down"))
def down() -> None:
    """Stop everything that `up` started."""
    from perennial import embedded

    if not embedded.down(say):
        say("Nothing was running.")


@app.command(name="status", epilog=example("perennial status flights"))
def show_status(
    use_case: Annotated[str | None, typer.Argument(help="A use case; without it, a line for each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what became of each partition: rows, champion, its metric, drift, verdict, what was done."""
    from perennial import discovery, embedded, history, status

    names = [use_case] if use_case else discovery.names()
    states = [status.status(discovery.load(name)) for name in names]
    services = embedded.services()
    if as_json:
        shown: Any = [state.as_json() for state in states]
        print(json.dumps(shown[0] if use_case else shown, indent=2, ensure_ascii=False))
        return
    out = console()
    for service in services:
        out.print(f"{service.name:<10} {service.state:<8} {service.address}", highlight=False)
    for state in states:
        if use_case is None:
            out.print(status.one_line(state), highlight=False)
            continue
        champion = f"v{state.champion}" if state.champion else "none yet"
        out.print(f"{'Owner':<10} {state.owner}\n{'Champion':<10} {champion}", highlight=False)
        if state.rollback:
            out.print(f"{'Rollback':<10} {state.rollback}", highlight=False, markup=False)
        if state.pause:
            out.print(f"{'Paused':<10} {history.paused(state.pause)}", highlight=False, markup=False)
        if state.partitions:
            out.print(status.table(state))
    for hint in dict.fromkeys(state.hint for state in states if state.hint):
        out.print(hint, highlight=False)


@app.command(epilog=example("perennial login"))
def login() -> None:
    """Show the addresses of Airflow and MLflow and the generated login."""
    _print_addresses()


def _print_addresses() -> None:
    from perennial.login import login as access
    from perennial.settings import settings

    where, who = settings(), access()
    typer.echo(f"\nAirflow   {where.airflow_uri}\nMLflow    {where.mlflow_uri}")
    typer.echo(f"Login     user {who.user}, password {who.password}")
