"""Reads the rows of one partition from any scan, each column as its declared type.

This is the one place where a value of a source becomes a value of a type, or turns out not to be one. Every record of
the scan is then counted once: as a row of the partition, as one that cannot be read, or as one that belongs elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import duckdb

from perennial.batches import Batch, FileCounts, unreadable_rows
from perennial.errors import BadBatch
from perennial.sources.columns import Column, Schema, columns
from perennial.sources.part_reading import LINE, PartReading, TimeRange
from perennial.sources.record_sources import RecordSource

#: What follows from a value that is not of its column's type: its row goes to quarantine, the batch stops, or the value
#: is missing, which is counted. A row without a time that can be read is never loaded.
Unreadable = Literal["quarantine", "error", "null"]
#: What the records of a file break that cannot be read as a whole.
FILE = "unreadable(file)"


@dataclass(frozen=True)
class Named:
    """What errors call the data: its use case, and its file or table."""

    use_case: str
    place: str

    def __str__(self) -> str:
        return f"Use case {self.use_case!r}: {self.place}"

    @property
    def declaration(self) -> str:
        """The file that says how the data is read."""
        return f"include/use_cases/{self.use_case}/source.py"


def typed(
    connection: duckdb.DuckDBPyConnection,
    scan: RecordSource,
    schema: Schema,
    named: Named,
    part: TimeRange | None = None,
    unreadable: Unreadable = "quarantine",
) -> Batch:
    """The rows of a part in the order of the data, with the columns of a schema in its order; and what is no such row.

    Args:
        connection: A connection of its own, with times in UTC (`_common.duckdb_session.open_session`).
        scan: What is read; once, and again for its times where some cannot be read.
        schema: The columns, and how they are read.
        named: For errors, and for what cannot be read.
        part: Which rows; None: all.
        unreadable: With `null`, values that cannot be read are missing, and counted.

    Raises:
        BadBatch: a column is missing.
        duckdb.Error: the data cannot be scanned.
        UnreadableFile: a text file cannot be read to its end.
    """
    declared = columns(schema)
    check_columns(declared, scan.kinds, named, part)
    run = PartReading(connection, scan, declared, part)
    run.cut_out()
    counts = run.find_problems()
    if unreadable == "null":
        run.problems = _of_records(run.problems, part)
    elsewhere, unplaced = run.place()
    here = sorted(record for record in run.problems if record not in elsewhere)
    rows = run.rows(set(run.problems))
    shown = run.shown(here)
    records = [
        {
            "file": named.place,
            "line": shown[record][0],
            "text": shown[record][1],
            "problem": "; ".join(problem for _, problem in run.problems[record]),
            "reason": "; ".join(name for name, _ in run.problems[record]),
            "is_placed": record not in unplaced,
        }
        for record in here
    ]
    time = part.time if part else ""
    file = FileCounts(
        file=named.place,
        total=scan.total,
        rows=rows.num_rows,
        unreadable=len(records),
        elsewhere=scan.total - rows.num_rows - len(records),
        missing=sum(count for name, count in counts.items() if name != time) if unreadable == "null" else 0,
    )
    return Batch(rows, unreadable_rows(records), (file,))


def _of_records(problems: dict[int, list[tuple[str, str]]], part: TimeRange | None) -> dict[int, list[tuple[str, str]]]:
    """Those of the records themselves, and of their time; not of other values."""
    kept = {LINE, f"unreadable({part.time})" if part else ""}
    return {
        record: remaining
        for record, each in problems.items()
        if (remaining := [problem for problem in each if problem[0] in kept])
    }


def check_columns(declared: dict[str, Column], kinds: dict[str, str], named: Named, part: TimeRange | None) -> None:
    """Check that the declared columns are there, and that a part has its time.

    Args:
        declared: The columns, by their name in the table.
        kinds: The columns that are there.
        named: For errors.
        part: Which rows; None: all.

    Raises:
        BadBatch: they are not.
    """
    if part is not None and (part.time not in declared or declared[part.time].type != "timestamp"):
        raise BadBatch(
            f"{named}: partitions are cut out by {part.time!r}, which is no timestamp of the declared columns.",
            f"Name one in {named.declaration}; declared: {', '.join(declared)}.",
        )
    absent = [each.source for each in declared.values() if each.source not in kinds]
    if absent:
        raise BadBatch(
            f"{named} lacks column {', '.join(map(repr, absent))}.",
            f"It has {', '.join(kinds)}. If a column was renamed at the source, change {named.declaration}.",
        )
