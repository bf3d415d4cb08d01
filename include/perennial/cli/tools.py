"""Other programs on the same servers, such as `airflow`, `mlflow` and notebooks: `env`, `run`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import Annotated

import typer

from perennial.cli.frame import AsJson, app, example, note, say, show_json

#: As in `env` and shells: a program that is not there, and one that may not be run.
NOT_FOUND, NOT_EXECUTABLE = 127, 126


@app.command(epilog=example("perennial env"))
def env(as_json: AsJson = False) -> None:
    """Print what other tools need in their environment.

    As `export` lines for a shell, or JSON. With these variables `airflow`, `mlflow` and notebooks use the servers of
    this home; without them, `airflow` makes a database of its own in ~/airflow, and `mlflow` a file mlflow.db.

    The output contains secrets: MLflow's password, the address of Airflow's database, the key of Airflow's connections.
    `perennial run` sets the same variables and prints nothing.
    """
    from perennial.embedded.environment import tool_environment

    variables = tool_environment()
    if sys.stdout.isatty():
        note('These lines contain secrets. To set them without showing them: eval "$(perennial env)"')
    if as_json:
        show_json(variables)
        return
    for name, value in sorted(variables.items()):
        say(f"export {name}={shlex.quote(value)}")


@app.command(
    epilog=example("perennial run -- airflow dags list"),
    context_settings={"allow_interspersed_args": False},
)
def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The program and its arguments.")],
) -> None:
    """Run another program with what `perennial env` prints.

    The program takes the place of this process: output, signals and exit code are its own. Secrets are in its
    environment only, never on a command line. Exits with 127 if there is no such program, with 126 if it may not be
    run.
    """
    from perennial.embedded.environment import tool_environment

    variables = {**os.environ, **tool_environment()}
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # By Python; what is ignored would stay so.
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, variables)  # noqa: S606 - what it is for
    except FileNotFoundError:
        note(f"There is no program {command[0]!r}.")
        raise typer.Exit(NOT_FOUND) from None
    except OSError as error:
        note(f"{command[0]} cannot be run: {error.strerror}.")
        raise typer.Exit(NOT_EXECUTABLE) from None
