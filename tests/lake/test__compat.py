"""What the lake uses of pyiceberg that is private there: it does what it is used for, and is still needed."""

from __future__ import annotations

import importlib

import pyarrow as pa
import pytest
from pyiceberg.expressions import EqualTo
from pyiceberg.expressions.visitors import manifest_evaluator
from pyiceberg.io import pyarrow as pyiceberg_arrow
from pyiceberg.manifest import ManifestFile, PartitionFieldSummary
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.maintenance import MaintenanceTable
from pyiceberg.table.update import snapshot
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import NestedField, StringType

from perennial.lake import _compat


def test_the_type_of_a_new_column_is_known() -> None:
    assert _compat.column_type(pa.field("a", pa.int64())) == pa.int64()
    assert _compat.column_type(pa.field("a", pa.duration("s"))) is None


def test_the_public_function_still_needs_field_ids() -> None:
    # When this fails, `pyarrow_to_schema` does what `_compat` uses a private function for.
    with pytest.raises(ValueError, match="field-ids"):
        pyiceberg_arrow.pyarrow_to_schema(pa.schema({"a": pa.int64()}))


SCHEMA = Schema(NestedField(1, "partition", StringType(), required=False))
SPEC = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "partition"))


def manifest(partition: str) -> ManifestFile:
    bound = partition.encode()
    summary = PartitionFieldSummary.from_args(
        _table_format_version=2, contains_null=False, lower_bound=bound, upper_bound=bound
    )
    return ManifestFile.from_args(_table_format_version=2, manifest_path=partition, partitions=[summary])


def test_a_shared_evaluator_still_keeps_the_manifest_it_is_at() -> None:
    # When this fails, `evaluate_manifests_apart` can go.
    evaluate = manifest_evaluator(SPEC, SCHEMA, EqualTo("partition", "2013-02"))
    assert evaluate(manifest("2013-02"))
    assert evaluate.__self__.partition_fields


def test_a_commit_evaluates_each_manifest_apart() -> None:
    lake_writing = importlib.import_module("perennial.lake.writing")
    assert lake_writing._compat is _compat
    evaluate = snapshot.manifest_evaluator(SPEC, SCHEMA, EqualTo("partition", "2013-02"))
    assert [evaluate(manifest(name)) for name in ("2013-01", "2013-02", "2013-03")] == [False, True, False]
    assert not hasattr(evaluate, "__self__")


def test_tables_still_cannot_be_compacted() -> None:
    # When this fails, see whether it does what `rewrite_files` does.
    offered = {name for name in dir(MaintenanceTable) if not name.startswith("_")}
    assert offered == {"expire_snapshots"}
