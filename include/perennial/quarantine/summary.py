"""Summarizes what of a partition is in quarantine: how much of each raw table, why, and where to review it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from perennial import lake_cache
from perennial.errors import PerennialError
from perennial.quarantine import states
from perennial.quarantine.states import ItemState
from perennial.settings import settings
from perennial.use_case import UseCase

#: What is read of each table: of rows not their content, which may be long.
_COLUMNS = {
    **states.COLUMNS,
    "batches": (*states.COLUMNS["batches"], "rows", "quarantined"),
    "quarantine": (*states.COLUMNS["quarantine"], "reasons"),
    "refused_batches": (*states.COLUMNS["refused_batches"], "reasons", "rows"),
}


@dataclass(frozen=True)
class TableSummary:
    """What of one raw table of a partition is in quarantine.

    Attributes:
        loaded: Rows in the lake; None: no batch was loaded.
        quarantined: Rows that the loaded batch left in quarantine, whatever was decided about them since.
        reasons: Expectation -> how many of these rows, and of older ones that are pending review, fail it. A row may
            fail several.
        rejected: Batches rejected as a whole that are pending review: their rows, and what they fail.
        pending: How many rows and batches are pending review.
    """

    table: str
    loaded: int | None
    quarantined: int
    reasons: Mapping[str, int]
    rejected: tuple[tuple[int, tuple[str, ...]], ...]
    pending: int

    def __str__(self) -> str:
        parts = []
        if self.quarantined or self.reasons:
            reasons = "; ".join(f"{name} ({count:,})" for name, count in self.reasons.items())
            received = self.quarantined + (self.loaded or 0)
            parts.append(f"{self.quarantined:,} of {received:,} rows quarantined" + (f": {reasons}" if reasons else ""))
        for rows, broken in self.rejected:
            parts.append(f"a batch of {rows:,} rows rejected as a whole: {'; '.join(broken)}")
        return f"{self.table}: {', '.join(parts)}; {self.pending:,} pending review"


@dataclass(frozen=True)
class QuarantineSummary:
    """What of a partition is in quarantine.

    Attributes:
        tables: The raw tables of which anything is; none: nothing is.
        page: Where people review it; the address of a page in Airflow.
        validation_page: Where the result of each expectation is.
        problem: Why it is not known; empty: it is.
    """

    tables: tuple[TableSummary, ...]
    page: str
    validation_page: str
    problem: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in quarantine, as far as is known."""
        return not self.tables and not self.problem

    def lines(self) -> Iterator[str]:
        """What to print: a line for each raw table, then where to read on; nothing if nothing is in quarantine."""
        if self.problem:
            yield f"What was quarantined is not known: {self.problem}"
        yield from map(str, self.tables)
        if not self.is_empty:
            yield f"review: {self.page}"
            yield f"expectations: {self.validation_page}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        tables = []
        for table in self.tables:
            rejected = [{"rows": rows, "reasons": list(broken)} for rows, broken in table.rejected]
            tables.append({**asdict(table), "rejected_batches": rejected})
            del tables[-1]["rejected"]
        return {
            "tables": tables,
            "page": self.page,
            "validation_page": self.validation_page,
            "problem": self.problem or None,
        }


def summarize(use_case: UseCase, partition: str) -> QuarantineSummary:
    """What of a partition is in quarantine now; where the lake cannot be read, that instead.

    Args:
        use_case: The use case.
        partition: The partition's name.
    """
    pages = f"{settings().airflow_public_uri}/perennial"
    place = {
        "page": f"{pages}/use_cases/{use_case.name}/partitions/{quote(partition)}/quarantine",
        "validation_page": f"{pages}/validations/{use_case.name}/{quote(partition)}",
    }
    names = {name: use_case.tables[name] for name in _COLUMNS}
    try:
        found = lake_cache.records(list(names.values()), {names[name]: columns for name, columns in _COLUMNS.items()})
    except PerennialError as error:
        return QuarantineSummary((), **place, problem=error.problem.splitlines()[0])
    own = {name: [row for row in found[table] if row["partition"] == partition] for name, table in names.items()}
    tables = (_of_table(table.name, own) for table in use_case.raw)
    return QuarantineSummary(tuple(each for each in tables if each is not None), **place)


def _of_table(table: str, records: Mapping[str, list[dict[str, Any]]]) -> TableSummary | None:
    """A raw table's summary from the partition's records; None: nothing of it is in quarantine."""
    own = {name: [row for row in rows if row["table"] == table] for name, rows in records.items()}
    found = states.item_states(own)
    pending = {key for key, state in found.rows.items() if state == ItemState.PENDING}
    # Of equal rows that several batches quarantined, the current one's reasons count.
    refusals = states.current_refusals(own["batches"])
    rows = sorted(own["quarantine"], key=lambda row: states.is_current(row, refusals))
    reasons = {(row["partition"], table, row["row_id"]): row["reasons"] for row in rows}
    counts = Counter(reason for key in found.current | pending for reason in reasons[key].split("; "))
    rejected = {
        row["batch"]: (row["rows"], tuple(json.loads(row["reasons"])))
        for row in own["refused_batches"]
        if found.batches[row["partition"], table, row["batch"]] == ItemState.PENDING
    }
    batch = own["batches"][-1] if own["batches"] else {}
    quarantined = batch.get("quarantined") or 0
    if not (quarantined or counts or rejected):
        return None
    return TableSummary(
        table=table,
        loaded=batch.get("rows"),
        quarantined=quarantined,
        reasons=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        rejected=tuple(rejected.values()),
        pending=len(pending) + len(rejected),
    )
