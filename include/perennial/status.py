"""What became of each partition, read from the lake's own tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from perennial import glance, ledger
from perennial.errors import ServiceUnavailable
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "–"


@dataclass(frozen=True)
class PartitionStatus:
    """One partition: what came in, who scored it, how well, and what was done about it."""

    partition: str
    rows: int | None  #: rows of all raw tables that entered the lake
    quarantined: int | None
    champion: int | None  #: model version that scored it
    metric: float | None  #: the use case's gate metric, of the champion
    first_model_metric: float | None  #: what the stale first model would have had
    drifted_columns: int | None
    verdict: str | None
    done: str  #: for instance `promoted v2`


@dataclass(frozen=True)
class UseCaseStatus:
    """A use case at a glance, and each of its partitions, oldest first."""

    name: str
    title: str
    owner: str
    metric: str
    champion: int | None
    partitions: tuple[PartitionStatus, ...]
    hint: str = ""  #: why there is nothing to see, and what to do

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def status(use_case: UseCase) -> UseCaseStatus:
    """The state of a use case. Says so, in `hint`, when nothing ran yet or the lake cannot be reached."""
    hint = ""
    partitions: tuple[PartitionStatus, ...] = ()
    champion: int | None = None
    try:
        records = _records(use_case)
        partitions = tuple(_partition(use_case, key, records) for key in _keys(records))
        held = ledger.champion_among(ledger.parsed(records["ledger"]))
        champion = held.model_version if held else None
        if not partitions:
            hint = f"Nothing has run yet: `perennial replay {use_case.name} --from {use_case.start} --to ...`."
    except ServiceUnavailable as error:
        hint = f"The lake cannot be read: {str(error).splitlines()[0]} Start it with `perennial up`."
    return UseCaseStatus(
        name=use_case.name,
        title=use_case.title,
        owner=use_case.owner,
        metric=use_case.gate.metric,
        champion=champion,
        partitions=partitions,
        hint=hint,
    )


def _records(use_case: UseCase) -> dict[str, list[dict[str, Any]]]:
    """All rows of the use case's records by table, oldest first."""
    names = {name: f"{use_case.name}.{name}" for name in ("batches", "metrics", "verdicts", "requests", "ledger")}
    rows = glance.records(list(names.values()))
    oldest_first = itemgetter("recorded_at")
    return {
        name: rows[table] if name == "batches" else sorted(rows[table], key=oldest_first)
        for name, table in names.items()
    }


def _keys(records: dict[str, list[dict[str, Any]]]) -> list[str]:
    return sorted({row["partition"] for rows in records.values() for row in rows})


def _partition(use_case: UseCase, key: str, records: dict[str, list[dict[str, Any]]]) -> PartitionStatus:
    of = {name: [row for row in rows if row["partition"] == key] for name, rows in records.items()}
    raw_tables = {raw.name for raw in use_case.raw}
    batches = {row["table"]: row for row in of["batches"] if row["table"] in raw_tables}
    verdict = of["verdicts"][-1] if of["verdicts"] else {}
    metrics = [row for row in of["metrics"] if row["metric"] == use_case.gate.metric]
    champion, first = (_last(row for row in metrics if row["role"] == role) for role in ("champion", "first"))
    return PartitionStatus(
        partition=key,
        rows=sum(row["rows"] for row in batches.values()) if batches else None,
        quarantined=sum(row["quarantined"] for row in batches.values()) if batches else None,
        champion=champion.get("model_version") or verdict.get("model_version"),
        metric=champion.get("value"),
        first_model_metric=first.get("value"),
        drifted_columns=verdict.get("drifted_columns"),
        verdict=verdict.get("verdict"),
        done=_done(of["ledger"], of["requests"]),
    )


def _done(ledger: list[dict[str, Any]], requests: list[dict[str, Any]]) -> str:
    """In words: the decisions on the partition's retraining, else that one was asked for."""
    decisions = []
    for row in ledger:
        first = row["action"] == "promoted" and row["previous_version"] is None
        decisions.append(f"{'first model' if first else row['action']} v{row['model_version']}")
    if decisions:
        return ", ".join(decisions)
    return "retraining requested" if requests else NOTHING


def _last(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    found = list(rows)
    return found[-1] if found else {}


def table(state: UseCaseStatus) -> Table:
    """The partitions as a table for a terminal."""
    from rich import box
    from rich.table import Table

    # Narrow on purpose: the whole of it fits into a terminal of 80 columns.
    drawn = Table(
        box=box.SIMPLE_HEAD,
        title=f"{state.title} ({state.name})",
        title_justify="left",
        pad_edge=False,
        padding=0,
        show_edge=False,
    )
    drawn.add_column("partition", no_wrap=True)
    for heading in ("rows", "quaran-\ntined", "champion", state.metric, "first\nmodel", "drifted\ncolumns"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("verdict", no_wrap=True)
    drawn.add_column("done")
    colours = {"healthy": "green", "warning": "yellow", "alarm": "red"}
    for row in state.partitions:
        colour = colours.get(row.verdict or "", "")
        drawn.add_row(
            row.partition,
            _count(row.rows),
            _count(row.quarantined),
            f"v{row.champion}" if row.champion else NOTHING,
            _value(row.metric),
            _value(row.first_model_metric),
            _count(row.drifted_columns),
            f"[{colour}]{row.verdict}[/]" if colour else row.verdict or NOTHING,
            row.done,
        )
    return drawn


def one_line(state: UseCaseStatus) -> str:
    """A use case in one line: champion, newest partition, its verdict, owner."""
    champion = f"champion v{state.champion}" if state.champion else "no champion"
    last = state.partitions[-1] if state.partitions else None
    news = f"{last.partition} {last.verdict or 'not judged yet'}" if last else "nothing has run yet"
    return f"{state.name}: {champion}, {news}, owner {state.owner}"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
