"""The page docs/cli.md, from the commands themselves; `perennial.reference` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from perennial.cli import app
from perennial.cli.frame import EXIT_CODES

_INTRODUCTION = """\
# The command line

<!-- Written by `make docs` from the commands; edit those. -->

`perennial` is in `.venv/bin/` after `make install`. `perennial --help` lists the commands,
`perennial COMMAND --help` describes one, with an example.

**On a terminal** results are tables with colours, unless `NO_COLOR` is set, and long work shows a bar, the time it has
taken, and an estimate of what is left. **Elsewhere**, in a pipe or a file, there are no colours and no bars. A
command's result goes to standard output, everything else (errors, progress) to standard error.

**`--json`** makes standard output one JSON document, and nothing else. A command that fails before it has a
result prints none; its exit code says so. **`--dry-run`** shows what would be done and changes nothing.

**Names are completed.** `perennial --install-completion` sets that up for the shell it is called from (bash, zsh or
fish); `perennial --show-completion` prints it instead. Use cases, pipelines, partitions, versions, parameters, tables
and quarantined rows are completed as well; names from the lake, if it can be reached. For a name that does not exist,
the error suggests the one that was probably meant.

**Ctrl-C** ends any command with one line that says what continues and how to resume. What Airflow is running
continues; no command leaves a half-done change behind.

**Errors** name the use case, the file, the field or the partition, and end with a `Fix:`. `perennial --debug COMMAND`
adds the traceback.

**Settings** come from environment variables `PERENNIAL_*`; `perennial doctor` shows which are set, and whether they
work.
"""


def markdown() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="perennial", **root.context_settings)
    commands = list(_commands(root, context, "perennial"))
    parts = [_INTRODUCTION, "## Exit codes\n", "| code | meaning |\n|---|---|"]
    parts += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    parts += ["", "## All commands\n", "| command | what it does |\n|---|---|"]
    for path, command, _ in commands:
        anchor = path.replace(" ", "-")
        parts.append(f"| [`{path}`](#{anchor}) | {_sentences(command.help)[0]} |")
    parts += ["", "Options of `perennial` itself, written before the command:\n", *_params(root, context), ""]
    for path, command, inner in commands:
        parts += [f"## {path}\n", *_sentences(command.help), "", *_usage(path, command, inner), ""]
    return "\n".join(parts).rstrip() + "\n"


def _commands(group: Any, context: typer.Context, path: str) -> Iterator[tuple[str, Any, typer.Context]]:
    """(how it is called, the command, its context), for each command below a group, in the order of the help."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield from _commands(command, inner, f"{path} {name}")
        else:
            yield f"{path} {name}", command, inner


def _usage(path: str, command: Any, context: typer.Context) -> Iterator[str]:
    example = (command.epilog or "").removeprefix("Example: ")
    yield f"```\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield from _params(command, context)
    yield f"\nFor example:\n\n```bash\n{example}\n```"


def _params(command: Any, context: typer.Context) -> Iterator[str]:
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None:
            names, description = record
            yield f"- `{names}`: {' '.join(description.split())}"


def _sentences(text: str | None) -> list[str]:
    """The first line of a command's help, and the rest of it as one paragraph."""
    first, _, rest = (text or "").partition("\n")
    more = "\n\n".join(" ".join(paragraph.split()) for paragraph in rest.strip().split("\n\n"))
    return [first, f"\n{more}"] if more else [first]
