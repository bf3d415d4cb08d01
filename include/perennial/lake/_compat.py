"""What the lake uses of pyiceberg that is private there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.visitors import manifest_evaluator
from pyiceberg.io.pyarrow import (
    ArrowScan,
    UnsupportedPyArrowTypeException,
    _dataframe_to_data_files,
    _pyarrow_to_schema_without_ids,
)
from pyiceberg.manifest import ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.update import snapshot


def column_type(column: pa.Field) -> pa.DataType | None:
    """The Arrow type in which Iceberg stores a new column; None if it has no such type.

    `Catalog.create_table` uses the same function. It can go when pyiceberg converts an Arrow schema without ids in
    a public function; tests/lake/test__compat.py fails then.
    """
    try:
        schema = _pyarrow_to_schema_without_ids(pa.schema([column]))
    except (UnsupportedPyArrowTypeException, ValueError):
        return None
    return schema.as_arrow().field(0).type


def rewrite_files(
    table: Table, where: BooleanExpression, tasks: Sequence[FileScanTask], properties: Mapping[str, str]
) -> None:
    """Put some of a table's files into new ones, as few as hold them, in one commit; no row changes.

    `Transaction.delete` and `append` know conditions on rows only, and would rewrite every file of a partition. It can
    go when pyiceberg compacts files; tests/lake/test__compat.py fails then.

    Args:
        table: As its newest metadata has it.
        where: A condition that all rows of the files meet.
        tasks: The files, as a scan of the table plans them.
        properties: Of the snapshot.
    """
    with table.transaction() as transaction:
        scan = ArrowScan(transaction.table_metadata, table.io, table.schema(), AlwaysTrue())
        rows = scan.to_table(tasks)
        with transaction.update_snapshot(snapshot_properties=dict(properties)).overwrite() as change:
            change.delete_by_predicate(where)
            for task in tasks:
                change.delete_data_file(task.file)
            for file in _dataframe_to_data_files(transaction.table_metadata, rows, table.io, change.commit_uuid):
                change.append_data_file(file)


def evaluate_manifests_apart() -> None:
    """Let each manifest of a commit have an evaluator of its own.

    A commit that deletes looks at its manifests in several threads, all with one evaluator, which keeps the manifest it
    is at in itself: one thread then decides by the manifest of another, overlooks a file that is to be deleted, and the
    commit fails with "Missing required files to delete". It can go when an evaluator keeps nothing;
    tests/lake/test__compat.py fails then.
    """
    snapshot.manifest_evaluator = _evaluator_for_each


def _evaluator_for_each(
    partition_spec: PartitionSpec, schema: Schema, partition_filter: BooleanExpression, case_sensitive: bool = True
) -> Callable[[ManifestFile], bool]:
    return lambda manifest: manifest_evaluator(partition_spec, schema, partition_filter, case_sensitive)(manifest)
