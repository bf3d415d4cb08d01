"""What became of each partition, read from the lake's own tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from perennial import glance, history, ledger
from perennial.errors import ServiceUnavailable
from perennial.history import NOTHING
from perennial.quarantine import states
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class PartitionStatus:
    """One partition: what came in, who scored it, how well, and what was done about it."""

    partition: str
    rows: int | None  #: rows of all raw tables that entered the lake
    quarantined: int | None  #: rows refused of what came in last
    waiting: int  #: refused rows and batches about which nobody has decided
    champion: int | None  #: model version that scored it
    metric: float | None  #: the use case's gate metric, of the champion
    first_model_metric: float | None  #: what the stale first model would have had
    drifted_columns: int | None
    verdict: str | None
    done: str  #: for instance `promoted v2`, `rolled back to v1`


@dataclass(frozen=True)
class Undone:
    """The last rollback: from which version to which, who wanted it, and why."""

    version: int
    previous: int
    at: datetime  #: processing time
    by: str
    reason: str

    def __str__(self) -> str:
        return f"v{self.previous} to v{self.version} at {history.clock(self.at)} UTC by {self.by}: {self.reason}"


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
    pause: ledger.Pause | None = None  #: of automatic promotion, now
    rollback: Undone | None = None  #: the last one

    @property
    def waiting(self) -> int:
        """Refused rows and batches, of all partitions, about which nobody has decided."""
        return sum(partition.waiting for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; times as ISO 8601."""
        return history.in_json(asdict(self))


_RECORDS = ("batches", "metrics", "verdicts", "requests", "ledger")


def status(use_case: UseCase) -> UseCaseStatus:
    """The state of a use case. Says so, in `hint`, when nothing ran yet or the lake cannot be reached."""
    hint = ""
    partitions: tuple[PartitionStatus, ...] = ()
    entries: list[ledger.Entry] = []
    try:
        records, waiting = _records(use_case)
        keys = sorted({row["partition"] for rows in records.values() for row in rows} | set(waiting))
        partitions = tuple(_partition(use_case, key, records, waiting[key]) for key in keys)
        entries = ledger.parsed(records["ledger"])
        if not partitions:
            hint = f"Nothing has run yet: `perennial replay {use_case.name} --from {use_case.start} --to ...`."
    except ServiceUnavailable as error:
        hint = f"The lake cannot be read: {str(error).splitlines()[0]} Start it with `perennial up`."
    champion = ledger.champion_among(entries)
    return UseCaseStatus(
        name=use_case.name,
        title=use_case.title,
        owner=use_case.owner,
        metric=use_case.gate.metric,
        champion=champion.model_version if champion else None,
        partitions=partitions,
        hint=hint,
        pause=ledger.pause_among(entries, datetime.now(UTC)),
        rollback=_last_rollback(entries),
    )


def _last_rollback(entries: list[ledger.Entry]) -> Undone | None:
    """The newest rollback among `entries`, which are oldest first."""
    for entry in reversed(entries):
        if entry.action == "rolled-back" and entry.previous_version is not None:
            return Undone(entry.model_version, entry.previous_version, entry.recorded_at, entry.actor, entry.reason)
    return None


def _records(use_case: UseCase) -> tuple[dict[str, list[dict[str, Any]]], Counter[str]]:
    """All rows of the use case's records by table, oldest first; and how many refused items of each partition wait."""
    names = {name: f"{use_case.name}.{name}" for name in {*_RECORDS, *states.COLUMNS}}
    # Refused rows may be many, and long: of them only what tells which ones wait.
    few = {names[name]: columns for name, columns in states.COLUMNS.items() if name not in _RECORDS}
    found = glance.records(list(names.values()), few)
    rows = {name: found[table] for name, table in names.items()}
    oldest_first = itemgetter("recorded_at")
    told = {name: rows[name] if name == "batches" else sorted(rows[name], key=oldest_first) for name in _RECORDS}
    return told, states.waiting(rows)


def _partition(use_case: UseCase, key: str, records: dict[str, list[dict[str, Any]]], waiting: int) -> PartitionStatus:
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
        waiting=waiting,
        champion=champion.get("model_version") or verdict.get("model_version"),
        metric=champion.get("value"),
        first_model_metric=first.get("value"),
        drifted_columns=verdict.get("drifted_columns"),
        verdict=verdict.get("verdict"),
        done=_done(of["ledger"], of["requests"]),
    )


def _done(ledger: list[dict[str, Any]], requests: list[dict[str, Any]]) -> str:
    """In words: what the ledger holds of the partition, else that retraining was asked for."""
    if ledger:
        return ", ".join(map(_act, ledger))
    return "retraining requested" if requests else NOTHING


def _act(row: dict[str, Any]) -> str:
    """A row of the ledger in two or three words."""
    match row["action"]:
        case "promoted" if row["previous_version"] is None:
            return f"first model v{row['model_version']}"
        case "rolled-back":
            return f"rolled back to v{row['model_version']}"
        case "resumed":
            return "promotion resumed"
        case "rejected" if json.loads(row["evidence"]).get("outcome") == "not-enough-evidence":
            return f"v{row['model_version']} not proven"
        case action:
            return f"{action} v{row['model_version']}"


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
    for heading in (
        "rows",
        "quaran-\ntined",
        "wait-\ning",
        "champion",
        state.metric,
        "first\nmodel",
        "drifted\ncolumns",
    ):
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
            _count(row.waiting),
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
    paused = ", promotion paused" if state.pause else ""
    waiting = f", {state.waiting} in quarantine wait for a decision" if state.waiting else ""
    return f"{state.name}: {champion}{paused}, {news}{waiting}, owner {state.owner}"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
