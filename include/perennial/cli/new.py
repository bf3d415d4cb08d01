"""A new use case: `new`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial._common.suggestions import did_you_mean
from perennial.cli import completion
from perennial.cli.frame import AsJson, DryRun, app, example, if_interrupted, say, show_json
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from perennial.scaffold.design import Design, Wishes


@app.command(epilog=example("perennial new sales --data sales.csv --key store --label revenue"))
def new(
    name: Annotated[str, typer.Argument(help="Its name: lower case letters, digits, underscores.", metavar="NAME")],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="CSV or Parquet: a file, a folder, an s3:// or https:// address. A table of a database:"
            " connection://CONNECTION_ID/SCHEMA.TABLE, by that Airflow connection.",
            metavar="PLACE",
        ),
    ],
    time: Annotated[
        str,
        typer.Option(
            "--time",
            metavar="COLUMN",
            help="The time of a row: the moment of prediction.",
            autocompletion=completion.columns,
        ),
    ] = "",
    time_format: Annotated[
        str,
        typer.Option(
            "--time-format",
            metavar="FORMAT",
            help="How its days are written, for instance %d/%m/%Y.",
            autocompletion=completion.notations,
        ),
    ] = "",
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="COLUMN",
            help="What a row is about, for instance a store. Once for each.",
            autocompletion=completion.columns,
        ),
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="Nothing in particular: all rows are one series.")] = False,
    label: Annotated[
        str,
        typer.Option("--label", metavar="COLUMN", help="What is to be predicted.", autocompletion=completion.columns),
    ] = "",
    task: Annotated[
        str, typer.Option("--task", metavar="TASK", help="binary or regression.", autocompletion=completion.tasks)
    ] = "",
    positive: Annotated[
        str, typer.Option("--positive", metavar="VALUE", help="The value of the label that is asked about.")
    ] = "",
    cadence: Annotated[
        str,
        typer.Option(
            "--cadence",
            metavar="CADENCE",
            help="hourly, daily, weekly or monthly partitions.",
            autocompletion=completion.cadences,
        ),
    ] = "",
    label_after: Annotated[
        str,
        typer.Option(
            "--label-after",
            metavar="LENGTH",
            help="How long after its time the label of a row is known: 6h, 1d, 4w.",
            autocompletion=completion.lengths,
        ),
    ] = "",
    later: Annotated[
        list[str] | None,
        typer.Option(
            "--later",
            metavar="COLUMN",
            help="A column that is known only with the label: of a number, or yes and no, the past is a feature.",
            autocompletion=completion.columns,
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="COLUMN",
            help="A column that is a feature though it looks like a leak.",
            autocompletion=completion.columns,
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", metavar="COLUMN", help="A column that is no feature.", autocompletion=completion.columns
        ),
    ] = None,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Leave out rows before this time.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Leave out rows from this time on.")] = "",
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="Who answers for it.")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write a new use case from data.

    Looks at the data, asks about what is unclear (off a terminal: says which option tells it), and writes source,
    transforms, expectations, model, Feast definitions, README and tests. What it assumed is listed, and stands in the
    files. All or nothing; what exists is never touched.
    """
    from perennial.scaffold import writing
    from perennial.scaffold.design import Wishes
    from perennial.settings import settings

    project = settings().project
    writing.insist_on_new_name(name, project)
    if_interrupted("Nothing was written.")
    wishes = Wishes(
        name=name,
        data=data,
        time=time,
        time_format=time_format,
        keys=tuple(key or ()),
        no_key=no_key,
        label=label,
        task=task,
        positive=positive,
        cadence=cadence,
        label_after=label_after,
        later=tuple(later or ()),
        keep=tuple(keep or ()),
        drop=tuple(drop or ()),
        since=since,
        until=until,
        owner=owner,
    )
    if time_format and not time:
        raise InvalidParams("--time-format says how a column is written.", "Say which one: --time COLUMN.")
    design = _designed(wishes, nobody_is_there=as_json or not sys.stdin.isatty())
    from perennial.scaffold import rendering

    files = rendering.files(design)
    if not dry_run:
        writing.write(name, files, project)
    if as_json:
        show_json(_as_json(design, list(files), written=not dry_run))
    else:
        _tell(design, list(files), written=not dry_run)


def _designed(wishes: Wishes, *, nobody_is_there: bool) -> Design:
    from contextlib import ExitStack

    from perennial.cli.waiting import watched
    from perennial.scaffold import deciding, profiling
    from perennial.scaffold.asking import nobody

    notations = {wishes.time: wishes.time_format} if wishes.time_format else {}
    with ExitStack() as stack:
        with watched(f"looking at {wishes.data}") as step:
            look = stack.enter_context(profiling.at(wishes.data, notations, step))
        return deciding.decide(look, wishes, nobody if nobody_is_there else _asked)


def _asked(question: str, choices: Sequence[str], option: str) -> str:
    """Ask at the terminal, until one of the choices is given, by its number or as it is written."""
    say(question)
    for number, choice in enumerate(choices, 1):
        say(f"  {number}. {choice}")
    while True:
        try:
            answer = str(typer.prompt(f"Which one? (asked no more with {option})")).strip()
        except typer.Abort:  # What Ctrl-C, or the end of the input, is at a prompt.
            raise KeyboardInterrupt from None
        if answer in choices:
            return answer
        if answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]
        say(f"{did_you_mean(answer, choices)}A number from 1 to {len(choices)}, or one of the names.")


def _next(design: Design) -> list[str]:
    return [
        f"pytest tests/use_cases/{design.name}",
        f"perennial replay {design.name} --from {design.first} --to {design.last}",
    ]


def _tell(design: Design, files: list[str], *, written: bool) -> None:
    label, cuts = design.label, design.cuts
    what = label.column.source + (f" is {label.positive!r}" if label.task == "binary" else "")
    about = f" for each {', '.join(key.source for key in design.keys)}" if design.keys else ""
    say(f"{design.rows:,} rows, {len(cuts.partitions)} {cuts.cadence} partitions, {design.first} to {design.last}.")
    say(f"Predicted{about}: {what} ({label.task}), at the time {design.time.source}.")
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
        for command in _next(design):
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
        "cadence": design.cuts.cadence,
        "first": design.first,
        "last": design.last,
        "features": [column.source for column in design.features],
        "left_out": design.left_out,
        "assumptions": [vars(each) for each in design.assumptions],
        "next": _next(design) if written else [],
    }
