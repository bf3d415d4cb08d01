"""What the lake uses of pyiceberg that is private there."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from pyiceberg.expressions import BooleanExpression
from pyiceberg.expressions.visitors import manifest_evaluator
from pyiceberg.io.pyarrow import UnsupportedPyArrowTypeException, _pyarrow_to_schema_without_ids
from pyiceberg.manifest import ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
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
