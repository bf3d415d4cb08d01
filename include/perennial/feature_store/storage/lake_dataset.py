"""A lake table as an Arrow dataset: pyiceberg plans which Parquet files one snapshot consists of, Arrow reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyiceberg.conversions import from_bytes
from pyiceberg.exceptions import ResolveError
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema, promote
from pyiceberg.table import DataScan, Table
from pyiceberg.types import BinaryType, IcebergType, NestedField, StringType, TimestampType, TimestamptzType

from perennial import lake
from perennial.feature_store.storage.arrow_columns import plain_type


def open_dataset(identifier: str, time: str = "", snapshot: int | None = None) -> ds.Dataset | None:
    """The rows of a table in one snapshot, without the lake's own column; None when the table does not exist.

    Args:
        identifier: `<use_case>.<table>`.
        time: A column of timestamps; files whose times are out of a filter's bounds are not read.
        snapshot: This snapshot; None is the current one.
    """
    table = lake.table(identifier)
    if table is None:
        return None
    scan = table.scan(snapshot_id=snapshot)
    schema = lake.canonical(scan.projection().as_arrow().empty_table()).schema
    position = schema.get_field_index(lake.PARTITION)
    schema = schema.remove(position) if position >= 0 else schema
    schema = pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])
    tasks = list(scan.plan_files())
    io = table.io
    if any(task.delete_files for task in tasks) or _was_reshaped(table) or not isinstance(io, PyArrowFileIO):
        return _read_by_pyiceberg(scan, schema)
    parquet = ds.ParquetFileFormat()
    fragments = []
    for task in tasks:
        scheme, netloc, path = io.parse_location(task.file.file_path, io.properties)
        bounds = _bounds(task.file, scan.projection(), time)
        filesystem = io.fs_by_scheme(scheme, netloc)
        fragments.append(parquet.make_fragment(path, filesystem, partition_expression=bounds))
    if not fragments:
        return ds.dataset(schema.empty_table())
    return ds.FileSystemDataset(fragments, schema, parquet, filesystem)


def _was_reshaped(table: Table) -> bool:
    """Whether a column ever had another name, or a type that it was not promoted from.

    Its older files then still have those, and only pyiceberg understands them. Promoted types need no pyiceberg: Arrow
    reads them as the wider one.
    """
    seen: dict[int, NestedField] = {}
    names: dict[str, int] = {}
    for schema in table.metadata.schemas:
        for field in schema.fields:
            before = seen.get(field.field_id, field)
            if before.name != field.name or not _is_promotion(before.field_type, field.field_type):
                return True
            if names.setdefault(field.name, field.field_id) != field.field_id:
                return True
            seen[field.field_id] = field
    return False


def _is_promotion(before: IcebergType, after: IcebergType) -> bool:
    """Whether values of one type are valid in the other as they are; true for the same type."""
    try:
        return before == after or (promote(before, after) == after and not isinstance(after, StringType | BinaryType))
    except ResolveError:
        return False


def _read_by_pyiceberg(scan: DataScan, schema: pa.Schema) -> ds.Dataset:
    return ds.dataset(lake.canonical(scan.to_arrow()).select(schema.names).cast(schema))


def _bounds(file: DataFile, schema: Schema, time: str) -> pc.Expression | None:
    """What holds for all times in a file. Null times may be ignored: no filter asks for them."""
    field = next((field for field in schema.fields if field.name == time), None)
    if field is None or not isinstance(field.field_type, TimestamptzType | TimestampType):
        return None
    low, high = ((bounds or {}).get(field.field_id) for bounds in (file.lower_bounds, file.upper_bounds))
    if low is None or high is None:
        return None
    first, last = (_timestamp(int(from_bytes(field.field_type, bound))) for bound in (low, high))
    return (ds.field(time) >= first) & (ds.field(time) <= last)


def _timestamp(microseconds: int) -> pa.Scalar:
    return pa.scalar(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds), pa.timestamp("us", "UTC"))
