"""The lake: Iceberg tables that hold every row, and the few ways to change and to read one.

- `replace` swaps one partition of a table atomically and does nothing when the content is already there;
- `append_missing` adds rows whose key is not there yet, and never touches one that is;
- `append_changed` adds what was found out about a partition if the newest record does not say so already;
- `read` sees one snapshot, the current one or a named one.

A table is named `<use_case>.<table>`. Every table has the string column `partition`, which it is partitioned by. Its
columns follow what is written (`perennial.lake.schema_evolution`), and never turn a value into another one.
Writers of one table wait for one another (`perennial.services.postgres.advisory_lock`); readers never wait.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
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

from perennial._common.storage import explain_storage_errors, explaining
from perennial.errors import DamagedFile
from perennial.lake import column_types, deduplication, schema_evolution
from perennial.lake.column_types import canonical
from perennial.services import postgres
from perennial.settings import settings

log = logging.getLogger(__name__)
PARTITION = "partition"
#: Processing time of a record.
RECORDED_AT = "recorded_at"
# It tells at every read which file system it took; in a task's log that hides what matters.
logging.getLogger("pyiceberg.io").setLevel(logging.WARNING)
_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    # A partition is read far more often than written; old metadata files would otherwise pile up at each commit.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


@cache
def catalog() -> Catalog:
    """This process's Iceberg catalog: the configured one, or SQL on the database `lake`."""
    properties = {"warehouse": settings().warehouse} | settings().catalog
    if "type" not in properties:
        properties |= {"type": "sql", "uri": postgres.url("lake").render_as_string(hide_password=False)}
    return load_catalog("perennial", **properties)


@explain_storage_errors
def table(identifier: str) -> Table | None:
    """The table as it is now, or None when nothing was ever written to it."""
    try:
        return catalog().load_table(identifier)
    except NoSuchTableError:
        return None


def snapshot(identifier: str) -> int | None:
    """The id of the table's current snapshot; None without one."""
    found = table(identifier)
    return found.metadata.current_snapshot_id if found is not None else None


def snapshots(identifiers: Iterable[str]) -> dict[str, int]:
    """The current snapshot of each table that has one."""
    return {name: number for name in identifiers if (number := snapshot(name)) is not None}


def partitions(identifier: str) -> list[str]:
    """The partitions that the table has rows of, in order of name; read from its metadata alone."""
    found = table(identifier)
    if found is None or found.current_snapshot() is None:
        return []
    return sorted({row[PARTITION] for row in found.inspect.partitions()[PARTITION].to_pylist()})


def records(
    identifier: str, *, between: tuple[str, str] | None = None, columns: Sequence[str] = ("*",)
) -> list[dict[str, Any]]:
    """Rows of a small table as dictionaries; none when the table does not exist.

    Args:
        identifier: `<use_case>.<table>`.
        between: Only partitions from the first name to the last, both included.
        columns: Only these columns.
    """
    found = read(identifier, between=between, columns=columns)
    return found.to_pylist() if found is not None else []


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
    found = table(identifier)
    if found is None:
        return None
    condition: BooleanExpression = where if where is not None else AlwaysTrue()
    if partitions is not None:
        condition = And(condition, In(PARTITION, set(partitions)))
    if between is not None:
        condition = And(condition, GreaterThanOrEqual(PARTITION, between[0]), LessThanOrEqual(PARTITION, between[1]))
    scan = found.scan(row_filter=condition, selected_fields=tuple(columns), snapshot_id=snapshot)
    return canonical(scan.to_arrow())


def equals(column: str, value: Any) -> BooleanExpression:
    """A filter for `where`: the rows whose column has this value.

    Args:
        column: The column's name.
        value: Compared with the stored value, of the column's type.
    """
    return EqualTo(column, value)


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
    found = table(identifier)
    if found is None:
        return
    condition = And(where if where is not None else AlwaysTrue(), EqualTo(PARTITION, partition))
    for batch in found.scan(row_filter=condition, selected_fields=tuple(columns)).to_arrow_batch_reader():
        yield from canonical(pa.Table.from_batches([batch])).to_batches()


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
        held = _held(target, partition)
        if held is not None and sort_by:
            held = held.sort_by([(column, "ascending") for column in sort_by])
        if held is None or not column_types.tables_equal(held, rows):
            with target.transaction() as transaction:
                if held is None or held.num_rows:
                    transaction.delete(EqualTo(PARTITION, partition))
                if rows.num_rows:
                    transaction.append(rows)
        return target.metadata.current_snapshot_id


@explain_storage_errors
def append_missing(identifier: str, rows: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """Append the rows whose `key` (with `partition`) is not in the table yet, in one commit; return what was appended.

    What is there is never changed: running again appends nothing.

    Args:
        identifier: `<use_case>.<table>`.
        rows: With the column `partition`.
        key: Columns that, with `partition`, identify a row; they may hold nulls.

    Raises:
        SchemaMismatch: as `replace` does.
    """
    rows = canonical(rows)
    with postgres.advisory_lock("lake", identifier):
        target = _table_for(identifier, rows)
        keys = [PARTITION, *key]
        wanted = set(rows[PARTITION].to_pylist())
        held = target.scan(row_filter=In(PARTITION, wanted), selected_fields=tuple(keys)).to_arrow()
        # Null-safe and type-exact, unlike Arrow's join: a record's key may hold nulls.
        known = set(zip(*(held[name].to_pylist() for name in keys), strict=True))
        is_new = pa.array(
            [row not in known for row in zip(*(rows[n].to_pylist() for n in keys), strict=True)], pa.bool_()
        )
        return _append(target, rows.filter(is_new))


@explain_storage_errors
def append_changed(identifier: str, rows: pa.Table, *, per: Sequence[str] = ()) -> pa.Table:
    """Append what was found out about partitions, unless it is what the newest record says; return what was appended.

    Rows of one partition and one value of `per` are a finding, which is appended as a whole, in one commit with the
    others, if the newest one, by `RECORDED_AT`, says anything else. So running again appends nothing, and what is
    found out again after something else was is on record again.

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
        held = target.scan(row_filter=In(PARTITION, set(rows[PARTITION].to_pylist()))).to_arrow()
        is_news = deduplication.find_changed(rows, canonical(held), (PARTITION, *per), RECORDED_AT)
        return _append(target, rows.filter(is_news))


def _append(target: Table, rows: pa.Table) -> pa.Table:
    """Append rows that fit, if there are any; return them as the table has them."""
    fresh = column_types.conform(schema_evolution.schema(target), rows)
    if fresh.num_rows:
        target.append(fresh)
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
    found = table(identifier)
    fit = schema_evolution.plan(identifier, found, rows)
    if found is None:
        catalog().create_namespace_if_not_exists(identifier.rsplit(".", 1)[0])
        try:
            found = catalog().create_table(identifier, rows.schema, properties=_PROPERTIES)
        except TableAlreadyExistsError:
            return _table_for(identifier, rows)
    if found.spec().is_unpartitioned():
        with found.update_spec() as update:
            update.add_identity(PARTITION)
        found = found.refresh()
    return schema_evolution.apply(found, rows.schema, fit)


def _held(target: Table, partition: str) -> pa.Table | None:
    """What a partition holds now; None if that can no longer be read, and so can only be replaced."""
    try:
        with explaining(f"Lake table {'.'.join(target.name())!r}"):
            return canonical(target.scan(row_filter=EqualTo(PARTITION, partition)).to_arrow())
    except DamagedFile as error:
        log.warning("%s It is replaced.", error.problem)
        return None
