"""What all commands share: the app, options, output and exit codes. Commands are in the modules beside this one.

Heavy modules are imported by the command that needs them: `--help` answers at once.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from perennial._common import background_threads, private_home
from perennial.cli import completion, prompts
from perennial.errors import (
    InvalidExamples,
    InvalidParams,
    InvalidPartition,
    InvalidSetting,
    PerennialError,
    UnknownUseCase,
    UnknownVersion,
)

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, INVALID, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130
#: What each exit code says; `perennial --help` ends with it, and docs/cli.md.
EXIT_CODES = {
    DONE: "success",
    FAILED: "the command failed, or a check or comparison did not pass",
    INVALID: "invalid arguments, or a name that does not exist",
    REFUSED: "the change to features would destroy something that it does not acknowledge; nothing was done",
    INTERRUPTED: "interrupted with Ctrl-C; a line says what continues",
}
_INVALID_INPUT = (UnknownUseCase, UnknownVersion, InvalidPartition, InvalidParams, InvalidExamples, InvalidSetting)
#: Off a terminal, rich would fold a table at 80 columns.
_WIDTH_OFF_A_TERMINAL = 140

app = typer.Typer(
    name="perennial",
    help="Keep machine-learning models alive: ingest, score, watch, retrain, promote.",
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code:<5}{meaning}" for code, meaning in EXIT_CODES.items()),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def example(command: str) -> str:
    """The last line of a command's help."""
    return f"Example: {command}"


UseCaseName = Annotated[
    str,
    typer.Argument(
        help="Name of a use case: a folder of include/use_cases/.",
        autocompletion=completion.use_cases,
        metavar="USE_CASE",
    ),
]
UseCaseOrAll = Annotated[
    str | None,
    typer.Argument(
        help="Name of a use case; by default all.",
        autocompletion=completion.use_cases,
        metavar="[USE_CASE]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the run has ended; fail if it fails.")]


def _version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        say(f"perennial {version('perennial')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Read by `main`, which shows errors."""
    if context.invoked_subcommand in ("init", "new"):  # They write what others of a team and images read.
        return
    from perennial.settings import settings  # Not for `--help`, which answers at once.

    with suppress(InvalidSetting):  # The command reports it.
        os.umask(private_home.umask(settings().home))
        if context.invoked_subcommand != "doctor":  # It reports this among other things.
            private_home.check_access(settings().home)


_on_interrupt = "Nothing continues in the background; you can run the same command again."


def if_interrupted(line: str) -> None:
    """From here on, Ctrl-C ends with `line`: what continues in the background, and how to resume."""
    global _on_interrupt
    _on_interrupt = line


def main() -> NoReturn:
    """Run the command line and end the process with one of `EXIT_CODES`."""
    debug = "--debug" in sys.argv
    if "_PERENNIAL_COMPLETE" in os.environ:
        # The shell waits for names, and the process ends right after: a tenth of the time would go into garbage.
        gc.disable()
    try:
        app()
    except SystemExit as end:
        # Typer makes this of Ctrl-C inside a command.
        _end(_interrupted() if end.code == INTERRUPTED else end.code)
    except KeyboardInterrupt:
        _end(_interrupted())
    except PerennialError as error:
        if debug:
            raise
        _show(error)
        _end(INVALID if isinstance(error, _INVALID_INPUT) else FAILED)
    except Exception as error:
        if debug:
            raise
        problem = f"{type(error).__name__}: {error}".strip()
        _show(PerennialError(problem, "This error was not expected: `perennial --debug ...` shows where it happened."))
        _end(FAILED)
    _end(DONE)


def _record(arguments: list[str], code: int) -> None:
    from perennial.cli import audit

    try:
        audit.record(arguments, code)
    except Exception as error:  # It was done, and how it ended stays as it is.
        note(f"Not in the audit log: {error}")


def _end(code: Any) -> NoReturn:
    """End the process as `sys.exit(code)` does, also with a thread left behind in a library's C++ code."""
    _record(sys.argv[1:], code if isinstance(code, int) else FAILED if code else DONE)
    if code != INTERRUPTED:
        # It is done: Ctrl-C while the interpreter tidies up, for up to a second, does not change how it ended.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if background_threads.any_alive():
        with suppress(OSError):  # Nobody reads any more.
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code or DONE)
    sys.exit(code)


def reason_for(reason: str | None, action: str, missing: InvalidParams) -> str:
    """The reason for an action: as given, else asked for on a terminal.

    Args:
        reason: The value of `--reason`; None: not given.
        action: The action, as in "Why ...?".
        missing: The error to raise without a reason.

    Raises:
        InvalidParams: `missing`, if there is no reason and no terminal.
    """
    if reason is None and sys.stdin.isatty():
        reason = prompts.ask(f"Why {action}?")
    if reason is None or not reason.strip():
        raise missing
    return reason


def parse_fields(values: list[str]) -> dict[str, Any]:
    """What `FIELD=VALUE` arguments say; an empty value is None.

    Raises:
        InvalidParams: one is of another form, or a field is given twice.
    """
    request: dict[str, Any] = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise InvalidParams(f"{each!r} is not of the form FIELD=VALUE.", "Write for instance carrier=AA.")
        if name in request:
            raise InvalidParams(f"{name!r} is given twice.", "Give it once.")
        request[name] = value if value else None
    return request


def say(line: str) -> None:
    """Print one line."""
    typer.echo(line)


def note(line: str) -> None:
    """Print one line on standard error, so that it does not mix with a result in JSON."""
    print(line, file=sys.stderr, flush=True)  # Not by typer: it would write into the line of a progress bar.


def show_json(result: Any) -> None:
    """Print a result as JSON; values of other types are printed as text."""
    say(json.dumps(result, indent=2, ensure_ascii=False, default=str))


def console(stderr: bool = False) -> Console:
    """Where tables and progress are drawn: with colours on a terminal (unless NO_COLOR is set), plain elsewhere."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr) if stream.isatty() else Console(stderr=stderr, width=_WIDTH_OFF_A_TERMINAL)


def _interrupted() -> int:
    # A second Ctrl-C, while the interpreter tidies up, ends it at once and without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    note(f"\nInterrupted. {_on_interrupt}")
    return INTERRUPTED


def _show(error: PerennialError) -> None:
    from rich.console import Console

    out = Console(stderr=True, highlight=False, soft_wrap=True)
    out.print(error.problem, style="red", markup=False)
    if error.fix:
        out.print(f"Fix: {error.fix}", markup=False)
