"""The options of a new use case, each declared once: the command line's options, help and completion follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _option(help: str, *, metavar: str = "", completion: str = "", default: Any = "") -> Any:  # noqa: A002
    """A field that the command line shows as an option.

    Args:
        help: What it means, for `--help`.
        metavar: What `--help` calls its value; empty for a flag.
        completion: The function of `perennial.cli.completion` that proposes values.
        default: Its value where it is not given.
    """
    return field(default=default, metadata={"help": help, "metavar": metavar, "completion": completion})


def _columns(help: str) -> Any:  # noqa: A002
    """A field for any number of columns, given one by one."""
    return _option(help, metavar="COLUMN", completion="columns", default=())


@dataclass(frozen=True)
class Options:
    """What a person wants of a new use case. An empty option was not given. Columns by their names in the data."""

    name: str
    data: str
    time: str = _option("The time of a row: the moment of prediction.", metavar="COLUMN", completion="columns")
    time_format: str = _option(
        "How its days are written, for instance %d/%m/%Y.", metavar="FORMAT", completion="notations"
    )
    key: tuple[str, ...] = _columns("What a row is about, for instance a store. May be given several times.")
    no_key: bool = _option("There is no key: all rows are one series.", default=False)
    label: str = _option("The column to predict.", metavar="COLUMN", completion="columns")
    task: str = _option("binary, multiclass or regression.", metavar="TASK", completion="tasks")
    positive: str = _option("The value of the label that counts as 1.", metavar="VALUE")
    cadence: str = _option("hourly, daily, weekly or monthly partitions.", metavar="CADENCE", completion="cadences")
    label_after: str = _option(
        "How long after its time the label of a row is known: 6h, 1d, 4w.", metavar="LENGTH", completion="lengths"
    )
    later: tuple[str, ...] = _columns(
        "A column that is known only with the label. If it is a number, or yes and no, its past is a feature."
    )
    keep: tuple[str, ...] = _columns("A column to use as a feature although it looks like a leak.")
    drop: tuple[str, ...] = _columns("A column not to use as a feature.")
    since: str = _option("Leave out rows before this time.", metavar="TIME")
    until: str = _option("Leave out rows from this time on.", metavar="TIME")
    owner: str = _option("Who is responsible for the use case.", metavar="NAME")
