"""Writes tables of the lake, in the few ways there are.

- `replace` swaps one partition of a table atomically and does nothing when the content is already there;
- `append_missing` adds rows whose key is not there yet, and never touches one that is;
- `replace_open` swaps the part of a partition that is still under way, from a moment on, and tells what is new;
- `append_changed` adds findings about a partition that differ from the newest record.

Columns follow what is written (`perennial.lake.schema_evolution`), and a value is never turned into another one.
Writers of one table wait for one another (`perennial.services.postgres.advisory_lock`).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import TableAlreadyExistsError
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, In, LessThanOrEqual
from pyiceberg.table import FileScanTask, Table

from perennial._common.storage import explain_storage_errors, explaining
from perennial.errors import DamagedFile
from perennial.lake import _compat, column_types, deduplication, expiry, schema_evolution
from perennial.lake.column_types import canonical
from perennial.lake.reading import OPEN, PARTITION, RECORDED_AT, catalog, in_part, is_open, lasting_snapshot, table
from perennial.services import postgres

log = logging.getLogger(__name__)
_compat.evaluate_manifests_apart()
_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    # A partition is read far more often than written; old metadata files would otherwise pile up at each commit.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # One manifest a commit would make reading slower with each of them.
    "commit.manifest-merge.enabled": "true",
}


@explain_storage_errors
def replace(identifier: str, partition: str, rows: pa.Table, *, sort_by: Sequence[str] = ()) -> int | None:
    """Make `rows` the whole content of one partition, in one commit; return the table's snapshot after it.

    Rows are stored sorted by `sort_by`, so equal content gives equal bytes; content that is already there is not
    written again and makes no snapshot. A writer killed before its commit leaves the old content. What is damaged
    is replaced without being read.

    Args:
        identifier: `<use_case>.<table>`.
        partition: The partition's name, which becomes the column `partition` of the rows.
        rows: All rows of the partition, in any column order.
        sort_by: Columns to sort the rows by before they are stored.

    Returns:
        The id of the table's snapshot; None if it has none, because nothing was ever written.

    Raises:
        SchemaMismatch: a value cannot be stored as it is, because the table's column has another type, or the lake has
            no such type; the table is unchanged.
    """
    rows = canonical(_with_partition(rows, partition))
    if sort_by:
        rows = rows.sort_by([(column, "ascending") for column in sort_by])
    with postgres.advisory_lock("lake", identifier):
        target = _table_for(identifier, rows)
        rows = column_types.conform(schema_evolution.schema(target), rows)
        condition = EqualTo(PARTITION, partition)
        stored = _stored_rows(target, condition)
        if not _are_equal(stored, rows, sort_by) or not _lasts(target, condition, rows, sort_by):
            with target.transaction() as transaction:
                if stored is None or stored.num_rows:
                    transaction.delete(condition)
                if rows.num_rows:
                    transaction.append(rows)
        return target.metadata.current_snapshot_id


@dataclass(frozen=True)
class OpenPart:
    """What `replace_open` did.

    Attributes:
        new: The rows that the partition did not have before, sorted.
        before: The table's snapshot before it; None: there was none.
        after: And after it; equal if nothing has changed.
    """

    new: pa.Table
    before: int | None
    after: int | None


@explain_storage_errors
def replace_open(
    identifier: str,
    partition: str,
    rows: pa.Table,
    *,
    since: tuple[str, datetime] | None = None,
    sort_by: Sequence[str] = (),
) -> OpenPart:
    """Make `rows` what a partition under way holds from a moment on, in one commit; its earlier rows stay.

    Files without rows of that time are neither read nor written. The snapshots are marked as an open partition's: they
    are dropped after a while, and `snapshots` names none of them. `replace` swaps the whole once it is complete.

    Args:
        identifier: `<use_case>.<table>`.
        partition: The partition's name, which becomes the column `partition` of the rows.
        rows: All its rows from that moment on, in any column order.
        since: The column of time, and the moment (UTC); None: the whole partition.
        sort_by: Columns to sort the rows by before they are stored.

    Raises:
        SchemaMismatch: as `replace` does.
    """
    rows = canonical(_with_partition(rows, partition))
    order = [(column, "ascending") for column in sort_by]
    with postgres.advisory_lock("lake", identifier):
        target = _table_for(identifier, rows)
        before = target.metadata.current_snapshot_id
        rows = column_types.conform(schema_evolution.schema(target), rows)
        rows = rows.sort_by(order) if order else rows
        condition = in_part(partition, since)
        stored = _stored_rows(target, condition)
        new = rows if stored is None else deduplication.rows_not_among(rows, stored)
        if stored is None or new.num_rows or stored.num_rows != rows.num_rows:
            with target.transaction() as transaction:
                if stored is None or stored.num_rows:
                    transaction.delete(condition, snapshot_properties=OPEN)
                if rows.num_rows:
                    transaction.append(rows, snapshot_properties=OPEN)
        after = target.metadata.current_snapshot_id
        if after != before:
            expiry.drop_open_snapshots(target)
    return OpenPart(new.sort_by(order) if order else new, before, after)


@explain_storage_errors
def append_missing(
    identifier: str, rows: pa.Table, *, key: Sequence[str], fixed: str | None = None, lasting: bool = True
) -> pa.Table:
    """Append the rows whose `key` (with `partition`) is not in the table yet, in one commit; return what was appended.

    What is there is never changed: running again appends nothing.

    Args:
        identifier: `<use_case>.<table>`.
        rows: With the column `partition`.
        key: Columns that, with `partition`, identify a row; they may hold nulls.
        fixed: A column without nulls whose value is always the same for the same key: only the files with values
            between the least and the greatest of `rows` are searched.
        lasting: Whether the snapshot is one that is kept; if not, a later one that is has the rows too.

    Raises:
        SchemaMismatch: as `replace` does.
    """
    rows = canonical(rows)
    with postgres.advisory_lock("lake", identifier):
        target = _table_for(identifier, rows)
        keys = [PARTITION, *key]
        where: BooleanExpression = In(PARTITION, set(rows[PARTITION].to_pylist()))
        if fixed is not None and rows.num_rows:
            least, greatest = pc.min_max(rows[fixed]).as_py().values()
            where = And(where, GreaterThanOrEqual(fixed, least), LessThanOrEqual(fixed, greatest))
        stored = target.scan(row_filter=where, selected_fields=tuple(keys)).to_arrow()
        # Null-safe and type-exact, unlike Arrow's join: a record's key may hold nulls.
        existing = set(zip(*(stored[name].to_pylist() for name in keys), strict=True))
        is_new = pa.array(
            [row not in existing for row in zip(*(rows[n].to_pylist() for n in keys), strict=True)], pa.bool_()
        )
        fresh = _append(target, rows.filter(is_new), {} if lasting else OPEN)
        if not lasting:
            expiry.drop_open_snapshots(target)
        return fresh


@explain_storage_errors
def append_changed(identifier: str, rows: pa.Table, *, per: Sequence[str] = ()) -> pa.Table:
    """Append findings about partitions that differ from the newest record; return what was appended.

    Rows of one partition and one value of `per` are a finding, which is appended as a whole, in one commit with the
    others, if the newest one, by `RECORDED_AT`, differs. So running again appends nothing, and a finding that recurs
    after a different one is recorded again.

    Args:
        identifier: `<use_case>.<table>`.
        rows: With the columns `partition` and `RECORDED_AT`, which is equal in all rows of a finding.
        per: Columns that, with `partition`, identify a finding.

    Raises:
        SchemaMismatch: as `replace` does.
    """
    rows = canonical(rows)
    with postgres.advisory_lock("lake", identifier):
        target = _table_for(identifier, rows)
        stored = target.scan(row_filter=In(PARTITION, set(rows[PARTITION].to_pylist()))).to_arrow()
        is_changed = deduplication.find_changed(rows, canonical(stored), (PARTITION, *per), RECORDED_AT)
        return _append(target, rows.filter(is_changed))


@explain_storage_errors
def merge_files(identifier: str, partition: str, *, at_least: int, most_rows: int) -> int:
    """Put the small files of one partition into one, in one commit; no row changes, and readers never wait.

    A file is small up to half of `most_rows`. So a partition has few files more than its rows need, however many there
    are, and at most `most_rows` rows are in memory. The snapshot is one that is not kept: see `append_missing`.

    Args:
        identifier: `<use_case>.<table>`.
        partition: The partition's name.
        at_least: Of fewer small files nothing is written.
        most_rows: At most so many rows are put into one, the smallest files first.

    Returns:
        How many files became one; 0: nothing was written.
    """
    where = EqualTo(PARTITION, partition)
    with postgres.advisory_lock("lake", identifier):
        target = table(identifier)
        tasks = list(target.scan(row_filter=where).plan_files()) if target is not None else []
        small = sorted((each for each in tasks if _rows_of(each) <= most_rows // 2), key=_rows_of)
        if target is None or len(small) < at_least:
            return 0
        ends = itertools.accumulate(map(_rows_of, small))
        taken = [each for each, end in zip(small, ends, strict=True) if end <= most_rows]
        _compat.rewrite_files(target, where, taken, OPEN)
        return len(taken)


def _rows_of(task: FileScanTask) -> int:
    return task.file.record_count


def _append(target: Table, rows: pa.Table, properties: dict[str, str] | None = None) -> pa.Table:
    """Append rows that fit, if there are any; return them as the table has them."""
    fresh = column_types.conform(schema_evolution.schema(target), rows)
    if fresh.num_rows:
        target.append(fresh, snapshot_properties=properties or {})
    return fresh


@explain_storage_errors
def add_columns(identifier: str, schema: pa.Schema) -> None:
    """Give an existing table the columns of `schema` that it lacks.

    They are null in the rows that it has. A table that does not exist is left to its first write.

    Args:
        identifier: `<use_case>.<table>`.
        schema: Columns and their types; a column that the table has already stays as it is.

    Raises:
        SchemaMismatch: the lake has no type for a new column.
    """
    with postgres.advisory_lock("lake", identifier):
        if table(identifier) is not None:
            _table_for(identifier, canonical(schema.empty_table()))


@explain_storage_errors
def check_schema(identifier: str, rows: pa.Table) -> None:
    """Check that `rows` could be written to a table; nothing is written.

    Args:
        identifier: `<use_case>.<table>`.
        rows: Rows for it.

    Raises:
        SchemaMismatch: as `replace` would.
    """
    schema_evolution.plan(identifier, table(identifier), canonical(rows))


def _with_partition(rows: pa.Table, partition: str) -> pa.Table:
    if PARTITION in rows.column_names:
        rows = rows.drop_columns([PARTITION])
    return rows.add_column(0, PARTITION, pa.array([partition] * rows.num_rows, pa.string()))


def _table_for(identifier: str, rows: pa.Table) -> Table:
    """The table, created on its first write, with columns that take `rows` in.

    Raises:
        SchemaMismatch: a value would become another one; the table is as it was.
    """
    target = table(identifier)
    fit = schema_evolution.plan(identifier, target, rows)
    if target is None:
        catalog().create_namespace_if_not_exists(identifier.rsplit(".", 1)[0])
        try:
            target = catalog().create_table(identifier, rows.schema, properties=_PROPERTIES)
        except TableAlreadyExistsError:
            return _table_for(identifier, rows)
    if target.spec().is_unpartitioned():
        with target.update_spec() as update:
            update.add_identity(PARTITION)
        target = target.refresh()
    return schema_evolution.apply(target, rows.schema, fit)


def _are_equal(stored: pa.Table | None, rows: pa.Table, sort_by: Sequence[str]) -> bool:
    """Whether a partition holds these sorted rows."""
    if stored is None:
        return False
    stored = stored.sort_by([(column, "ascending") for column in sort_by]) if sort_by else stored
    return column_types.tables_equal(stored, rows)


def _lasts(target: Table, condition: BooleanExpression, rows: pa.Table, sort_by: Sequence[str]) -> bool:
    """Whether what the table holds of a partition, these sorted rows, is in a snapshot that is kept."""
    current, lasting = target.current_snapshot(), lasting_snapshot(target)
    if current is None or not is_open(current):
        return True
    return lasting is not None and _are_equal(_stored_rows(target, condition, lasting), rows, sort_by)


def _stored_rows(target: Table, condition: BooleanExpression, snapshot: int | None = None) -> pa.Table | None:
    """The rows of a partition or a part of it, now or in a snapshot; None if they can only be replaced, not read."""
    try:
        with explaining(f"Lake table {'.'.join(target.name())!r}"):
            return canonical(target.scan(row_filter=condition, snapshot_id=snapshot).to_arrow())
    except DamagedFile as error:
        log.warning("%s It is replaced.", error.problem)
        return None
