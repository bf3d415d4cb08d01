"""What the shell may offer for a value: names that exist. Asked at each press of the Tab key, so quick, and silent.

What is not quickly known is not offered: where the lake is down there are simply no versions and no quarantined rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import typer

from perennial._common import background_threads

if TYPE_CHECKING:
    from perennial.partitions import Partition
    from perennial.use_case import UseCase

#: Seconds after which completions would be too late to be useful.
_PATIENCE = 2.0
#: More names than this are no help: their common beginnings are offered instead.
_MANY = 60

Offer = str | tuple[str, str]  #: A value, or a value and what it is.
Completer = Callable[[typer.Context, str], list[Offer]]


def _quietly(complete: Callable[[typer.Context, str], Iterable[Offer]]) -> Completer:
    """`complete` without ever an error, and without waiting for a server that does not answer."""

    @wraps(complete)
    def completing(ctx: typer.Context, incomplete: str) -> list[Offer]:
        offers: list[Offer] = []

        def work() -> None:
            try:
                offers.extend(complete(ctx, incomplete))
            except Exception:
                offers.clear()

        worker = background_threads.start(work)
        worker.join(_PATIENCE)
        return [] if worker.is_alive() else offers

    return completing


@_quietly
def use_cases(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Names of use cases."""
    from perennial import discovery

    return discovery.names()


@_quietly
def environments(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Environments that have a file."""
    from perennial.settings import settings

    return sorted(file.stem for file in settings().environments.glob("*.toml"))


@_quietly
def incidents(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Ids of open incidents, with what happened."""
    from perennial.alerts import incidents as recorded

    return [(each.id, each.latest.title) for of_one in recorded.every().values() for each in of_one if each.is_open]


@_quietly
def pipelines(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Names of the use case's pipelines."""
    from perennial import dag_names as known
    from perennial.runs.params import optional_pipelines

    return (*known.ALL, *optional_pipelines(_use_case(ctx)))


@_quietly
def partitions(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Partitions of the use case until its end, or today; of many that fit, the beginnings of their names."""
    return narrowed([each.key for each in _until_now(_use_case(ctx)) if each.key.startswith(incomplete)])


@_quietly
def periods(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Months, days or hours that are partitions of some use case, until their ends, or today."""
    from perennial import discovery

    keys = {
        each.key
        for name in discovery.names()
        for each in _until_now(discovery.load(name))
        if each.key.startswith(incomplete)
    }
    return narrowed(sorted(keys))


@_quietly
def columns(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Columns of the local file or folder that `--data` names, those that begin so."""
    data = str(_value_of(ctx, "data") or "")
    if not data or "://" in data:
        return []  # Fetching it takes longer than somebody waits.
    import tempfile
    from pathlib import Path

    from perennial.scaffold import dialects, places

    with tempfile.TemporaryDirectory() as folder:
        connection = places.connect(data, "200MB", Path(folder))
        names = dialects.column_names(connection, places.find(data))
        return [(name, "") for name in names if name.startswith(incomplete)]


@_quietly
def tasks(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """What a use case may ask."""
    return [
        ("binary", "whether something happens"),
        ("multiclass", "which of several things"),
        ("regression", "how much of something"),
    ]


@_quietly
def cadences(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """How time may be cut."""
    from perennial.partitions import Cadence

    return [str(each) for each in Cadence]


@_quietly
def notations(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Notations of days."""
    return [("%d/%m/%Y", "31/01/2024"), ("%m/%d/%Y", "01/31/2024"), ("%d.%m.%Y", "31.01.2024"), ("%Y%m%d", "20240131")]


@_quietly
def lengths(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Lengths of time; any other number before the letter will do."""
    return [("6h", "six hours"), ("1d", "a day"), ("4w", "four weeks"), ("30d", "thirty days")]


@_quietly
def versions(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Versions that were decided on, newest first, with the last decision on each."""
    entries = _ledger(ctx)
    actions = {int(row["model_version"]): str(row["action"]) for row in entries}
    return [(str(version), action) for version, action in sorted(actions.items(), reverse=True)]


@_quietly
def served(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Versions that have served, newest first: what one can return to."""
    from perennial.registry.ledger import DEPLOYING

    versions = {int(row["model_version"]) for row in _ledger(ctx) if row["action"] in DEPLOYING}
    return [str(version) for version in sorted(versions, reverse=True)]


@_quietly
def params(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Parameters of the pipeline, up to the equals sign; after it the values, where they are few."""
    from typing import Literal, get_args, get_origin

    from perennial.runs.params import params_model

    model = params_model(_use_case(ctx), str(_value_of(ctx, "pipeline")))
    fields = model.model_fields if model else {}
    name, equals, _ = incomplete.partition("=")
    if not equals:
        return [(f"{field}=", about.description or "") for field, about in fields.items()]
    choices: list[Any] = []
    for kind in (fields[name].annotation, *get_args(fields[name].annotation)):
        if get_origin(kind) is Literal:
            choices += get_args(kind)
        elif kind is bool:
            choices += ["true", "false"]
    return [f"{name}={choice}" for choice in choices]


@_quietly
def raw_tables(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Raw tables of the use case."""
    return [table.name for table in _use_case(ctx).raw]


@_quietly
def items(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """What rows and batches of the partition in quarantine are known by, with what they break."""
    return [(name, reasons) for name, reasons in _refused(ctx) if name.startswith(incomplete)][:_MANY]


@_quietly
def expectations(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """What rows and batches of the partition in quarantine break, less what cannot be accepted."""
    from perennial.quarantine.states import TYPES

    return sorted({reason for _, reasons in _refused(ctx) for reason in reasons.split("; ")} - {TYPES})


@_quietly
def pauses(ctx: typer.Context, incomplete: str) -> Iterable[Offer]:
    """Lengths of time; any other number before the letter will do."""
    return [("12h", "twelve hours"), ("1d", "a day"), ("7d", "a week"), ("4w", "four weeks")]


def narrowed(keys: Sequence[str]) -> list[str]:
    """`keys` of partitions, or, if there are too many to be of help, their years, months or days."""
    for length in (4, 7, 10):
        if len(keys) <= _MANY:
            break
        if len(stems := list(dict.fromkeys(key[:length] for key in keys))) > 1:
            return stems
    return list(keys)


def _value_of(ctx: typer.Context, name: str) -> Any:
    """The value of a parameter on the command line so far.

    While an option has no value yet, because that is being completed, arguments are not assigned to their parameters;
    they are then among the unparsed ones, in order.
    """
    arguments = [param.name for param in ctx.command.params if param.param_type_name == "argument"]
    unparsed = dict(zip(arguments, ctx.args, strict=False))
    value = ctx.params.get(name)
    return unparsed.get(name) if value is None else value


def _until_now(use_case: UseCase) -> Iterable[Partition]:
    """The partitions of a use case until its end, or today."""
    last = use_case.cadence.partition(use_case.end).previous if use_case.end else None
    return use_case.first.through(last or use_case.cadence.at(datetime.now(UTC)))


def _use_case(ctx: typer.Context) -> UseCase:
    from perennial import discovery

    return discovery.load(str(_value_of(ctx, "use_case")))


def _ledger(ctx: typer.Context) -> list[dict[str, Any]]:
    from perennial import lake_cache
    from perennial.use_case.table_names import TableNames

    table = TableNames(str(_value_of(ctx, "use_case"))).ledger
    rows = lake_cache.records([table], {table: ("model_version", "action", "recorded_at")})[table]
    return sorted((row for row in rows if row["model_version"] is not None), key=lambda row: row["recorded_at"])


def _refused(ctx: typer.Context) -> list[tuple[str, str]]:
    """(name, reasons) of every quarantined row and batch of the partition, newest first."""
    import json

    from perennial import lake_cache
    from perennial.use_case.table_names import TableNames

    tables, partition = TableNames(str(_value_of(ctx, "use_case"))), _value_of(ctx, "partition")
    rows, batches = tables.quarantine, tables.refused_batches
    common = ("partition", "reasons", "recorded_at")
    records = lake_cache.records([rows, batches], {rows: ("row_id", "refusal", *common), batches: ("batch", *common)})
    items = [(row, str(row["row_id"]), str(row["reasons"])) for row in records[rows] if row.get("refusal")]
    items += [(row, str(row["batch"]), "; ".join(json.loads(row["reasons"]))) for row in records[batches]]
    items = [each for each in items if partition in (None, each[0]["partition"])]
    items.sort(key=lambda each: each[0]["recorded_at"], reverse=True)
    return list(dict.fromkeys((name, reasons) for _, name, reasons in items))
