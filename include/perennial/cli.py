"""The command line. Heavy modules are imported by the command that needs them: `--help` answers at once."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.errors import InvalidParams, InvalidPartition, PerennialError, UnknownUseCase

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="perennial",
    help="Keep machine-learning models alive: ingest, score, watch, retrain, promote.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _example(command: str) -> str:
    """The last line of a command's help."""
    return f"Example: {command}"


UseCaseName = Annotated[str, typer.Argument(help="Name of a use case: a folder of include/use_cases/.")]


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Read by `main`, which shows errors."""


@app.command(epilog=_example("perennial up"))
def up() -> None:
    """Start PostgreSQL, MLflow and Airflow on this machine; what runs already is left alone."""
    from perennial import embedded

    embedded.up(_say)
    _print_addresses()


@app.command(epilog=_example("perennial down"))
def down() -> None:
    """Stop everything that `up` started."""
    from perennial import embedded

    if not embedded.down(_say):
        _say("Nothing was running.")


@app.command(epilog=_example("perennial replay flights --from 2013-01 --to 2013-12"))
def replay(
    use_case: UseCaseName,
    first: Annotated[str, typer.Option("--from", help="First partition, for instance 2013-01.")],
    last: Annotated[str, typer.Option("--to", help="Last partition, included.")],
) -> None:
    """Bring a use case through its past, partition by partition, on the running Airflow."""
    from perennial import discovery, progress, status
    from perennial.airflow_api import AirflowClient
    from perennial.replay import partitions
    from perennial.replay import replay as steps

    found = discovery.load(use_case)
    wanted = partitions(found, first, last)
    console = _console()
    try:
        with AirflowClient() as client:
            progress.show(console, wanted, steps(client, found, wanted))
    except KeyboardInterrupt:
        _say("Stopped. What Airflow runs now goes on; the same command picks up where it was.")
        raise typer.Exit(130) from None
    console.print(status.table(status.status(found)))


@app.command(name="status", epilog=_example("perennial status flights"))
def show_status(
    use_case: Annotated[str | None, typer.Argument(help="A use case; without it, a line for each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what became of each partition: rows, champion, its metric, drift, verdict, what was done."""
    from perennial import discovery, embedded, status

    names = [use_case] if use_case else discovery.names()
    states = [status.status(discovery.load(name)) for name in names]
    services = embedded.services()
    if as_json:
        shown: Any = [state.as_json() for state in states]
        print(json.dumps(shown[0] if use_case else shown, indent=2, ensure_ascii=False))
        return
    console = _console()
    for service in services:
        console.print(f"{service.name:<10} {service.state:<8} {service.address}", highlight=False)
    for state in states:
        if use_case is None:
            console.print(status.one_line(state), highlight=False)
            continue
        champion = f"v{state.champion}" if state.champion else "none yet"
        console.print(f"{'Owner':<10} {state.owner}\n{'Champion':<10} {champion}", highlight=False)
        if state.partitions:
            console.print(status.table(state))
    for hint in dict.fromkeys(state.hint for state in states if state.hint):
        console.print(hint, highlight=False)


@app.command(name="parity", epilog=_example("perennial parity flights --keys 500"))
def show_parity(
    use_case: UseCaseName,
    keys: Annotated[int, typer.Option(min=1, help="Entities of each view, or predictions, to compare.")] = 100,
    logged: Annotated[
        str | None,
        typer.Option(metavar="PARTITION", help="Compare the features kept with this partition's predictions instead."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold what is online, value for value, against what the lake gives for the same moment; fail if they differ."""
    from perennial import discovery, parity_report

    found = discovery.load(use_case)
    partition = found.partition(logged) if logged else None
    from perennial import parity  # Heavy: after what was asked for is known to exist.

    result = parity.check_logged(found, partition, keys) if partition else parity.check(found, keys=keys)
    if as_json:
        print(json.dumps(result.as_json(), indent=2, ensure_ascii=False))
    else:
        _console().print(parity_report.table(result))
    parity_report.insist(found, result)


@app.command(epilog=_example("perennial trigger flights features --partition 2013-03 --wait"))
def trigger(
    use_case: UseCaseName,
    pipeline: Annotated[str, typer.Argument(help="features, scoring, monitoring or training.")],
    partition: Annotated[str | None, typer.Option(help="Partition to run, for instance 2013-03.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the DAG, k=v; repeat for more.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; fail if the run fails.")] = False,
) -> None:
    """Start one pipeline by hand."""
    from perennial import discovery
    from perennial.airflow_api import AirflowClient
    from perennial.trigger import follow, start

    found = discovery.load(use_case)
    with AirflowClient() as client:
        run = start(client, found, pipeline, partition=partition, params=_params(param or []))
        _say(f"{run.dag}: {run.id} {client.run_url(run)}")
        if wait:
            _say(f"{run.dag}: {follow(client, run).state}")


@app.command(epilog=_example("perennial login"))
def login() -> None:
    """Show the addresses of Airflow and MLflow and the generated login."""
    _print_addresses()


def main() -> None:
    """Run the command line: 0 done, 1 it failed, 2 it was asked for something that does not exist."""
    debug = "--debug" in sys.argv
    try:
        app()
    except PerennialError as error:
        if debug:
            raise
        _show(error)
        asked_wrongly = isinstance(error, UnknownUseCase | InvalidPartition | InvalidParams)
        sys.exit(2 if asked_wrongly else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _params(given: list[str]) -> dict[str, Any]:
    """`k=v` pairs; a value that is JSON (a number, true, null) becomes that, anything else is text."""
    params: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidParams(f"--param {pair!r} is not of the form k=v.", "Write for instance --param seed=7.")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


def _print_addresses() -> None:
    from perennial.login import login as access
    from perennial.settings import settings

    where, who = settings(), access()
    typer.echo(f"\nAirflow   {where.airflow_uri}\nMLflow    {where.mlflow_uri}")
    typer.echo(f"Login     user {who.user}, password {who.password}")


def _say(line: str) -> None:
    typer.echo(line)


def _console() -> Console:
    from rich.console import Console

    # Off a terminal, rich would fold the table at 80 columns.
    return Console() if sys.stdout.isatty() else Console(width=140)


def _show(error: PerennialError) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(error.problem, style="red", markup=False)
    if error.fix:
        console.print(f"Fix: {error.fix}", markup=False)


if __name__ == "__main__":
    main()
