"""The command line's frame: the app, how it speaks, and how it ends. Commands are in the modules beside this one.

Heavy modules are imported by the command that needs them: `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

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


def example(command: str) -> str:
    """The last line of a command's help."""
    return f"Example: {command}"


UseCaseName = Annotated[str, typer.Argument(help="Name of a use case: a folder of include/use_cases/.")]


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Read by `main`, which shows errors."""


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


def say(line: str) -> None:
    """Print one line."""
    typer.echo(line)


def console() -> Console:
    """Where tables and progress are drawn."""
    from rich.console import Console

    # Off a terminal, rich would fold the table at 80 columns.
    return Console() if sys.stdout.isatty() else Console(width=140)


def _show(error: PerennialError) -> None:
    from rich.console import Console

    out = Console(stderr=True, highlight=False, soft_wrap=True)
    out.print(error.problem, style="red", markup=False)
    if error.fix:
        out.print(f"Fix: {error.fix}", markup=False)
