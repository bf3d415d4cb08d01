"""Services and their state: `up`, `down`, `login`, `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, DryRun, app, console, example, if_interrupted, note, say, show_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from perennial.reporting.partition_status import UseCaseStatus


@app.command(epilog=example("perennial up"))
def up(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Start PostgreSQL, MLflow, Airflow and predictions on request.

    Services that work are left alone; what runs but no longer works is started again. Prints no password.
    """
    from perennial import embedded

    tell = note if as_json else say
    if dry_run:
        embedded.check_ports()
        for service in embedded.services():
            would = {"stopped": "would be started", "running": "is running, and would be left alone"}
            action = would.get(service.state, "is external, and would be left alone")
            tell(f"{service.name:<10} {action}  {service.address}")
        if as_json:
            show_json({"would_start": [each.name for each in embedded.services() if each.state == "stopped"]})
        return
    if_interrupted("What was started keeps running: `perennial up` starts the rest, `perennial down` stops all.")
    embedded.up(tell)
    if as_json:
        show_json({"services": [vars(service) for service in embedded.services()], **_addresses()})
    else:
        _print_addresses()
        say("Login     `perennial login` shows the user and the password.")


@app.command(epilog=example("perennial down"))
def down(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Stop everything that `up` started.

    Running tasks are ended, and run again after the next `up`; no data is deleted.
    """
    from perennial import embedded

    tell = note if as_json else say
    if dry_run:
        stopped = embedded.running()
        for name in stopped:
            tell(f"{name}: would be stopped")
    else:
        if_interrupted("Some services are still running: `perennial down` stops the rest.")
        stopped = embedded.down(tell)
    if not stopped:
        tell("Nothing is running." if dry_run else "Nothing was running.")
    if as_json:
        show_json({"would_stop" if dry_run else "stopped": stopped})


@app.command(name="status", epilog=example("perennial status flights"))
def show_status(
    use_case: Annotated[
        str | None,
        typer.Argument(
            help="A use case; without it, one line for each.", autocompletion=completion.use_cases, metavar="USE_CASE"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a use case, or of all of them.

    For a partition: rows, champion, its metric, drift, verdict, and what was done; for an alarm whether it is open, its
    cause, and what would help.
    """
    from perennial import discovery, embedded
    from perennial.reporting import partition_status, terminal
    from perennial.settings import settings

    loaded, broken = ([discovery.load(use_case)], {}) if use_case else discovery.load_all()
    states = partition_status.statuses(loaded)
    services = embedded.services()
    if as_json:
        costs = _costs_as_json([state.name for state in states if state.is_known])
        shown: Any = [state.as_json() | {"costs": costs.get(state.name)} for state in states]
        shown += [{"name": name, "problem": error.problem, "fix": error.fix} for name, error in broken.items()]
        show_json(shown[0] if use_case else shown)
        return
    out = console()
    if environment := settings().environment:
        out.print(f"Environment {environment}", highlight=False)
    for service in services:
        out.print(f"{service.name:<10} {service.state:<8} {service.address}", highlight=False)
    for state in states:
        if use_case is None:
            out.print(terminal.one_line(state), highlight=False)
        else:
            _show_state(out, state)
            for line in _cost_lines(state):
                out.print(line, highlight=False, markup=False)
    for name, error in broken.items():
        out.print(f"{name}: cannot be loaded: {error.problem} {error.fix}", highlight=False, markup=False)
    for hint in dict.fromkeys(state.hint for state in states if state.hint):
        out.print(hint, highlight=False)


def _show_state(out: Console, state: UseCaseStatus) -> None:
    """A use case and its partitions."""
    from perennial.registry import deployments
    from perennial.reporting import terminal

    if state.retired:
        out.print(f"{'Retired':<10} {state.retired}", highlight=False, markup=False)
    champion = f"v{state.champion}" if state.champion else "none yet" if state.is_known else "unknown"
    earned = "".join(f"\n{line}" for line in terminal.earnings_lines(state))
    out.print(f"{'Owner':<10} {state.owner}\n{'Champion':<10} {champion}{earned}", highlight=False)
    if state.rollout:
        out.print(f"{'Rollout':<10} {state.rollout}", highlight=False, markup=False)
    if state.rollback:
        out.print(f"{'Rollback':<10} {state.rollback}", highlight=False, markup=False)
    if state.pause:
        out.print(f"{'Paused':<10} {deployments.pause_text(state.pause)}", highlight=False, markup=False)
    served = [each for each in state.partitions if each.predictions]
    if served:
        out.print(f"{'Predicted':<10} {served[-1].partition}: {served[-1].predictions}", highlight=False)
    for late in state.late_publications:
        out.print(f"{'Late':<10} {late}", highlight=False, markup=False, style="yellow")
    if state.partitions:
        out.print(terminal.table(state))
    for line in terminal.alarm_lines(state):
        out.print(f"{'Alarm':<10} {line}", highlight=False, markup=False)
    for line in [*terminal.interval_lines(state), *terminal.estimate_lines(state), *terminal.regret_lines(state)]:
        out.print(line, highlight=False, markup=False)


def _cost_lines(state: UseCaseStatus) -> list[str]:
    """What runs of the newest month cost; none: none was recorded."""
    from perennial.settings import settings
    from perennial.telemetry import costs

    if not state.is_known:
        return []
    prices = settings().prices
    found = costs.of_use_cases([state.name], prices)[state.name]
    return [f"{'Costs':<10} {costs.in_words(found, prices)}"] if found.by_month else []


def _costs_as_json(names: Sequence[str]) -> dict[str, Any]:
    """What runs of the newest month cost, and the last retraining; nothing of a use case whose records are damaged."""
    from perennial.errors import PerennialError
    from perennial.settings import settings
    from perennial.telemetry import costs

    prices = settings().prices
    try:
        found = costs.of_use_cases(names, prices) if names else {}
    except PerennialError:
        one_by_one = [_costs_as_json([name]) for name in names] if len(names) > 1 else []
        return {name: told for each in one_by_one for name, told in each.items()}
    currency = {"currency": prices.currency if prices is not None else ""}
    return {name: currency | of_one.as_json(months=1) for name, of_one in found.items()}


@app.command(epilog=example("perennial login"))
def login(as_json: AsJson = False) -> None:
    """Show the addresses of the servers, and the login.

    The password is generated once and stored in the home, readable by its owner only.
    """
    from perennial.services.credentials import login as access
    from perennial.services.credentials import other_logins

    who, others = access(), {one.user: one.password for one in other_logins()}
    if as_json:
        shown: dict[str, Any] = _addresses() | {"user": who.user, "password": who.password}
        show_json(shown | ({"others": others} if others else {}))
        return
    _print_addresses()
    say(f"Login     user {who.user}, password {who.password}")
    for user, password in others.items():
        say(f"          user {user}, password {password}, for Airflow only")


def _addresses() -> dict[str, str]:
    from perennial.settings import settings

    where = settings()
    return {"airflow": where.airflow_public_uri, "mlflow": where.mlflow_public_uri, "serving": where.serving_uri}


def _print_addresses() -> None:
    shown = _addresses()
    say(f"\nAirflow   {shown['airflow']}\nMLflow    {shown['mlflow']}\nServing   {shown['serving']}")
