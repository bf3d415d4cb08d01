"""A new use case: `new`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial._common.suggestions import did_you_mean
from perennial.cli import completion, prompts
from perennial.cli.frame import AsJson, DryRun, app, example, if_interrupted, say, show_json
from perennial.errors import InvalidParams
from perennial.scaffold.options import Options

if TYPE_CHECKING:
    from perennial.scaffold.design import Design

_NAME = Annotated[str, typer.Argument(help="Its name: lower case letters, digits, underscores.", metavar="NAME")]
_DATA = Annotated[
    str,
    typer.Option(
        "--data",
        help="CSV or Parquet: a file, a folder, an s3:// or https:// address. A table of a database:"
        " connection://CONNECTION_ID/SCHEMA.TABLE, by that Airflow connection.",
        metavar="PLACE",
    ),
]


def _parameter(option: Field[Any]) -> Parameter:
    """The option of the command line for a field of `Options`."""
    shown = option.metadata
    if not shown:
        return Parameter(option.name, Parameter.KEYWORD_ONLY, annotation=_NAME if option.name == "name" else _DATA)
    kind = {bool: bool, str: str}.get(type(option.default), list[str])
    declared = typer.Option(
        f"--{option.name.replace('_', '-')}",
        help=shown["help"],
        metavar=shown["metavar"] or None,
        autocompletion=getattr(completion, shown["completion"]) if shown["completion"] else None,
    )
    default = [] if kind is list[str] else option.default
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, declared])


def new(*, dry_run: bool, as_json: bool, **answers: Any) -> None:
    """Write a new use case from data.

    Looks at the data, asks about what is unclear (without a terminal: names the option that answers it), and writes
    source, transforms, expectations, model, Feast definitions, README and tests. Its assumptions are listed, and are
    written into the files. It writes all files or none, and never touches a file that exists.
    """
    from perennial.scaffold import rendering, writing
    from perennial.settings import settings

    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in answers.items()}
    options = Options(**values)
    project = settings().project
    writing.check_new_name(options.name, project)
    if_interrupted("Nothing was written.")
    if options.time_format and not options.time:
        raise InvalidParams("--time-format says how a column is written.", "Say which one: --time COLUMN.")
    design = _designed(options, nobody_is_there=as_json or not sys.stdin.isatty())
    files = rendering.files(design)
    if not dry_run:
        writing.write(options.name, files, project)
    if as_json:
        show_json(_as_json(design, list(files), written=not dry_run))
    else:
        _print_design(design, list(files), written=not dry_run)


# Typer reads a command's options from its signature; those of `new` are the fields of `Options`.
new.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        *(_parameter(each) for each in fields(Options)),
        Parameter("dry_run", Parameter.KEYWORD_ONLY, default=False, annotation=DryRun),
        Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
    ]
)
new.__annotations__ = {each.name: each.annotation for each in new.__signature__.parameters.values()}  # type: ignore[attr-defined]
app.command(epilog=example("perennial new sales --data sales.csv --key store --label revenue"))(new)


def _designed(options: Options, *, nobody_is_there: bool) -> Design:
    from contextlib import ExitStack

    from perennial.cli.waiting import watched
    from perennial.scaffold import deciding, profiling
    from perennial.scaffold.asking import nobody

    notations = {options.time: options.time_format} if options.time_format else {}
    with ExitStack() as stack:
        with watched(f"looking at {options.data}") as step:
            look = stack.enter_context(profiling.at(options.data, notations, step))
        return deciding.decide(look, options, nobody if nobody_is_there else _ask_choice)


def _ask_choice(question: str, choices: Sequence[str], option: str) -> str:
    """Ask at the terminal, until one of the choices is given, by its number or as it is written."""
    say(question)
    for number, choice in enumerate(choices, 1):
        say(f"  {number}. {choice}")
    while True:
        chosen = prompts.ask(f"Which one? (asked no more with {option})").strip()
        if chosen in choices:
            return chosen
        if chosen.isdecimal() and 1 <= int(chosen) <= len(choices):
            return choices[int(chosen) - 1]
        say(f"{did_you_mean(chosen, choices)}A number from 1 to {len(choices)}, or one of the names.")


def _next_commands(design: Design) -> list[str]:
    return [
        f"pytest tests/use_cases/{design.name}",
        f"perennial replay {design.name} --from {design.first} --to {design.last}",
    ]


def _print_design(design: Design, files: list[str], *, written: bool) -> None:
    label, cuts = design.label, design.cuts
    target = label.column.source + (f" is {label.positive!r}" if label.task == "binary" else "")
    about = f" for each {', '.join(key.source for key in design.keys)}" if design.keys else ""
    say(f"{design.rows:,} rows, {len(cuts.partitions)} {cuts.cadence} partitions, {design.first} to {design.last}.")
    say(f"Predicted{about}: {target} ({label.task}), at the time {design.time.source}.")
    say("\nAssumed:")
    for each in design.assumptions:
        otherwise = f" [{each.option}]" if each.option else ""
        say(f"  {each.about}: {each.what} - {each.why}{otherwise}")
    if design.left_out:
        say("\nNo features:")
        for column, why in design.left_out.items():
            say(f"  {column}: {why}")
    say("\nWritten:" if written else "\nWould be written (nothing was):")
    for file in files:
        say(f"  {file}")
    if written:
        say("\nNext:")
        for command in _next_commands(design):
            say(f"  {command}")


def _as_json(design: Design, files: list[str], *, written: bool) -> dict[str, Any]:
    return {
        "use_case": design.name,
        "written": written,
        "files": files,
        "rows": design.rows,
        "task": design.task,
        "time": design.time.source,
        "keys": [key.source for key in design.keys],
        "label": design.label.column.source,
        "positive": design.label.positive,
        "classes": list(design.label.classes.values()),
        "cadence": design.cuts.cadence,
        "first": design.first,
        "last": design.last,
        "features": [column.source for column in design.features],
        "left_out": design.left_out,
        "assumptions": [vars(each) for each in design.assumptions],
        "next": _next_commands(design) if written else [],
    }
