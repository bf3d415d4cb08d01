"""Finds and reads tables of the lake, in one snapshot, the current one or a named one.

A table is named `<use_case>.<table>`. Every table has the string column `partition`, which it is partitioned by.
Readers never wait.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    LessThanOrEqual,
    NotNull,
)
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from perennial._common.storage import explain_storage_errors
from perennial.lake import environment_marker
from perennial.lake.column_types import canonical
from perennial.services import postgres
from perennial.settings import settings

PARTITION = "partition"
#: Processing time of a record.
RECORDED_AT = "recorded_at"
#: Property of a snapshot that brought a part of a partition under way: nothing may rely on it for good.
OPEN = {"perennial.open": "true"}
# It tells at every read which file system it took; in a task's log that hides what matters.
logging.getLogger("pyiceberg.io").setLevel(logging.WARNING)


@cache
def catalog() -> Catalog:
    """This process's Iceberg catalog: the configured one, or SQL on the database `lake`."""
    properties = {"warehouse": settings().warehouse} | settings().catalog
    if "type" not in properties:
        properties |= {"type": "sql", "uri": postgres.url("lake").render_as_string(hide_password=False)}
    loaded = load_catalog("perennial", **properties)
    environment_marker.check(loaded)
    return loaded


@explain_storage_errors
def table(identifier: str) -> Table | None:
    """The table as it is now, or None when nothing was ever written to it."""
    try:
        return catalog().load_table(identifier)
    except NoSuchTableError:
        return None


def snapshot(identifier: str) -> int | None:
    """The id of the table's current snapshot; None without one."""
    current = table(identifier)
    return current.metadata.current_snapshot_id if current is not None else None


def snapshots(identifiers: Iterable[str]) -> dict[str, int]:
    """The newest lasting snapshot of each table that has one: what is read from it can be read from it for good.

    Those that brought rows of a partition under way are passed over, see `writing.replace_open`.
    """
    found = {name: lasting_snapshot(current) for name in identifiers if (current := table(name)) is not None}
    return {name: number for name, number in found.items() if number is not None}


def lasting_snapshot(table: Table) -> int | None:
    """A table's newest snapshot that is kept for good; None if it has none."""
    lasting = [each for each in table.metadata.snapshots if not is_open(each)]
    return max(lasting, key=lambda each: each.sequence_number or 0).snapshot_id if lasting else None


def is_open(snapshot: Snapshot) -> bool:
    """Whether a snapshot only brought rows of a partition that was under way."""
    summary = snapshot.summary
    return summary is not None and OPEN.items() <= dict(summary.additional_properties).items()


def partitions(identifier: str) -> list[str]:
    """The partitions that the table has rows of, in order of name; read from its metadata alone."""
    current = table(identifier)
    if current is None or current.current_snapshot() is None:
        return []
    return sorted({row[PARTITION] for row in current.inspect.partitions()[PARTITION].to_pylist()})


def row_counts(identifier: str, snapshot: int) -> dict[str, int] | None:
    """How many rows each partition of a table had in a snapshot; read from its metadata alone.

    Args:
        identifier: `<use_case>.<table>`.
        snapshot: Which.

    Returns:
        Partition -> rows; None: the table is gone, or the snapshot.
    """
    current = table(identifier)
    if current is None or current.snapshot_by_id(snapshot) is None:
        return None
    counts: dict[str, int] = {}
    for row in current.inspect.partitions(snapshot_id=snapshot).select([PARTITION, "record_count"]).to_pylist():
        key = row[PARTITION][PARTITION]
        counts[key] = counts.get(key, 0) + row["record_count"]
    return dict(sorted(counts.items()))


def snapshot_at(identifier: str, moment: datetime) -> int | None:
    """The snapshot that was a table's current one at a moment of processing time; None: there was none, or it is gone.

    Args:
        identifier: `<use_case>.<table>`.
        moment: UTC.
    """
    current = table(identifier)
    if current is None:
        return None
    found = current.snapshot_as_of_timestamp(int(moment.timestamp() * 1000))
    return found.snapshot_id if found else None


def records(
    identifier: str,
    *,
    between: tuple[str, str] | None = None,
    columns: Sequence[str] = ("*",),
    snapshot: int | None = None,
) -> list[dict[str, Any]]:
    """Rows of a small table as dictionaries; none when the table does not exist.

    Args:
        identifier: `<use_case>.<table>`.
        between: Only partitions from the first name to the last, both included.
        columns: Only these columns.
        snapshot: This snapshot; None is the current one.
    """
    rows = read(identifier, between=between, columns=columns, snapshot=snapshot)
    return rows.to_pylist() if rows is not None else []


@explain_storage_errors
def read(
    identifier: str,
    *,
    partitions: Iterable[str] | None = None,
    between: tuple[str, str] | None = None,
    columns: Sequence[str] = ("*",),
    where: BooleanExpression | None = None,
    snapshot: int | None = None,
) -> pa.Table | None:
    """Rows of a table, in one snapshot; None when the table does not exist.

    Args:
        identifier: `<use_case>.<table>`.
        partitions: Only these partitions.
        between: Only partitions from the first name to the last, both included.
        columns: Only these columns.
        where: A further filter: `equals`, `is_known`, or another of pyiceberg's.
        snapshot: This snapshot; None is the current one.
    """
    source = table(identifier)
    if source is None:
        return None
    condition: BooleanExpression = where if where is not None else AlwaysTrue()
    if partitions is not None:
        condition = And(condition, In(PARTITION, set(partitions)))
    if between is not None:
        condition = And(condition, GreaterThanOrEqual(PARTITION, between[0]), LessThanOrEqual(PARTITION, between[1]))
    scan = source.scan(row_filter=condition, selected_fields=tuple(columns), snapshot_id=snapshot)
    return canonical(scan.to_arrow())


def equals(column: str, value: Any) -> BooleanExpression:
    """A filter for `where`: the rows whose column has this value.

    Args:
        column: The column's name.
        value: Compared with the stored value, of the column's type.
    """
    return EqualTo(column, value)


def in_part(partition: str, since: tuple[str, datetime] | None = None) -> BooleanExpression:
    """A filter for `where`: the rows of a partition, from a moment on.

    Args:
        partition: The partition's name.
        since: A column of time, and the moment (UTC); None: all its rows.
    """
    condition: BooleanExpression = EqualTo(PARTITION, partition)
    return And(condition, not_before(*since)) if since else condition


def not_before(column: str, moment: datetime) -> BooleanExpression:
    """A filter for `where`: the rows whose column of time is at or after a moment (UTC)."""
    return GreaterThanOrEqual(column, moment.isoformat())


def between_times(column: str, first: datetime, last: datetime) -> BooleanExpression:
    """A filter for `where`: the rows whose column of time is from one moment to another (UTC), both included."""
    return And(not_before(column, first), LessThanOrEqual(column, last.isoformat()))


def is_known(column: str) -> BooleanExpression:
    """A filter for `where`: the rows whose column is not null."""
    return NotNull(column)


def iter_batches(
    identifier: str, *, partition: str, columns: Sequence[str], where: BooleanExpression | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of one partition a batch at a time, for partitions that do not fit into memory; as `read` otherwise.

    Args:
        identifier: `<use_case>.<table>`; of a table that does not exist there are no batches.
        partition: The partition's name.
        columns: Only these columns.
        where: A further filter, as for `read`.
    """
    source = table(identifier)
    if source is None:
        return
    condition = And(where if where is not None else AlwaysTrue(), EqualTo(PARTITION, partition))
    for batch in source.scan(row_filter=condition, selected_fields=tuple(columns)).to_arrow_batch_reader():
        yield from canonical(pa.Table.from_batches([batch])).to_batches()
