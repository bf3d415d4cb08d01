"""What became of each partition, read from the lake's own tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from perennial import lake_cache
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.quarantine import states
from perennial.registry import deployments, ledger
from perennial.registry.deployments import NOTHING
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
        return (
            f"v{self.previous} to v{self.version} at {deployments.format_utc(self.at)} UTC by {self.by}: {self.reason}"
        )


@dataclass(frozen=True)
class UseCaseStatus:
    """A use case at a glance, and each of its partitions, oldest first."""

    name: str
    title: str
    owner: str
    metric: str
    champion: int | None
    partitions: tuple[PartitionStatus, ...]
    is_known: bool = True  #: whether its records could be read; if not, no champion and no partitions say nothing
    hint: str = ""  #: why there is nothing to see, and what to do
    pause: ledger.Pause | None = None  #: of automatic promotion, now
    rollback: Undone | None = None  #: the last one

    @property
    def waiting(self) -> int:
        """Refused rows and batches, of all partitions, about which nobody has decided."""
        return sum(partition.waiting for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; times as ISO 8601."""
        return deployments.json_ready(asdict(self))


#: Rows by the name of their table, without its use case.
Records = dict[str, list[dict[str, Any]]]
_RECORDS = ("batches", "metrics", "verdicts", "requests", "ledger")
#: The tables that `of_records` needs, in a fixed order.
TABLES = tuple(dict.fromkeys((*_RECORDS, *states.COLUMNS)))
_FEW = {name: columns for name, columns in states.COLUMNS.items() if name not in _RECORDS}


def status(use_case: UseCase) -> UseCaseStatus:
    """The state of a use case. Says so, in `hint`, when nothing ran yet or the lake cannot be read."""
    return fleet([use_case])[0]


def fleet(use_cases: Sequence[UseCase]) -> list[UseCaseStatus]:
    """The state of each use case, as `status` gives it; all are read at once."""
    return [
        of_records(use_case, rows) if isinstance(rows, dict) else unknown(use_case, rows)
        for use_case, rows in zip(use_cases, records(use_cases), strict=True)
    ]


def records(use_cases: Sequence[UseCase], more: Sequence[str] = ()) -> list[Records | PerennialError]:
    """All rows of each use case's records by table, as far as `of_records` needs them, and of the tables `more`; or why
    they cannot be read. A damaged table of one use case does not hide the others.
    """
    tables = dict.fromkeys((*TABLES, *more))
    # Refused rows may be many, and long: of them only what tells which ones wait.
    few = {use_case.tables[table]: columns for use_case in use_cases for table, columns in _FEW.items()}
    try:
        found = lake_cache.records([use_case.tables[table] for use_case in use_cases for table in tables], few)
    except ServiceUnavailable as error:
        return [error] * len(use_cases)
    except PerennialError as error:
        return [error] if len(use_cases) == 1 else [records([use_case], more)[0] for use_case in use_cases]
    return [{table: found[use_case.tables[table]] for table in tables} for use_case in use_cases]


def of_records(use_case: UseCase, rows: Records) -> UseCaseStatus:
    """The state of a use case whose records are these."""
    partitions = of_partitions(use_case, rows)
    entries = ledger.from_rows(rows["ledger"])
    champion = ledger.champion_among(entries)
    return replace(
        unknown(use_case),
        champion=champion.model_version if champion else None,
        partitions=partitions,
        hint="" if partitions else f"Nothing has run yet: {first_step(use_case)}.",
        pause=ledger.pause_among(entries, datetime.now(UTC)),
        rollback=_last_rollback(entries),
    )


def first_step(use_case: UseCase) -> str:
    """The command that brings a use case to life."""
    end = use_case.cadence.partition(use_case.end) if use_case.end else None
    last = end.previous.key if end and end.start <= datetime.now(UTC) else "..."
    return f"`perennial replay {use_case.name} --from {use_case.start} --to {last}`"


def unknown(use_case: UseCase, error: PerennialError | None = None) -> UseCaseStatus:
    """What is known of a use case whose records cannot be read."""
    fix = " Start it with `perennial up`." if isinstance(error, ServiceUnavailable) else ""
    hint = f"The lake cannot be read: {error.problem.splitlines()[0]}{fix}" if error else ""
    return UseCaseStatus(
        name=use_case.name,
        title=use_case.title,
        owner=use_case.owner,
        metric=use_case.gate.metric,
        champion=None,
        partitions=(),
        is_known=error is None,
        hint=hint,
    )


def _last_rollback(entries: list[ledger.Entry]) -> Undone | None:
    """The newest rollback among `entries`, which are oldest first."""
    for entry in reversed(entries):
        if entry.action == "rolled-back" and entry.previous_version is not None:
            return Undone(entry.model_version, entry.previous_version, entry.recorded_at, entry.actor, entry.reason)
    return None


def of_partitions(use_case: UseCase, rows: Mapping[str, list[dict[str, Any]]]) -> tuple[PartitionStatus, ...]:
    """Every partition that a record tells of, oldest first.

    Args:
        rows: By table, of `batches`, `metrics`, `verdicts`, `requests`, `ledger` and those of the quarantine.
    """
    waiting = states.count_pending(rows)
    told: dict[str, dict[str, list[dict[str, Any]]]] = {key: {} for key in waiting}
    for name in _RECORDS:
        # Batches have no time: there is one of each table.
        for row in rows[name] if name == "batches" else sorted(rows[name], key=itemgetter("recorded_at")):
            told.setdefault(row["partition"], {}).setdefault(name, []).append(row)
    return tuple(_partition(use_case, key, told[key], waiting[key]) for key in sorted(told))


def _partition(use_case: UseCase, key: str, told: Mapping[str, list[dict[str, Any]]], waiting: int) -> PartitionStatus:
    """What is told of one partition, by table, oldest first."""
    raw_tables = {raw.name for raw in use_case.raw}
    batches = {row["table"]: row for row in told.get("batches", ()) if row["table"] in raw_tables}
    verdict = _last(told.get("verdicts", ()))
    metrics = [row for row in told.get("metrics", ()) if row["metric"] == use_case.gate.metric]
    champion = _last(row for row in metrics if row["role"] == "champion")
    # On the same rows: of an earlier measurement, which had other labels, it would be no comparison.
    first = _last(r for r in metrics if r["role"] == "first" and r["recorded_at"] == champion.get("recorded_at"))
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
        done=_done(told.get("ledger", []), told.get("requests", [])),
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
    if not state.is_known:
        return f"{state.name}: not known now, owner {state.owner}"
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
