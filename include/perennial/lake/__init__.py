"""The lake: Iceberg tables that hold every row, and the few ways to change and to read one.

- `tables`: reading and writing them, whose functions this package offers as its own: `lake.read`, `lake.replace`;
- `schema_evolution`, `column_types`: how a table's columns follow what is written to it;
- `deduplication`: which rows say something else than the latest record;
- `schemas`: Perennial's own tables; `labels`: the labels of examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.lake.column_types import canonical
    from perennial.lake.tables import (
        PARTITION,
        RECORDED_AT,
        add_columns,
        append_changed,
        append_missing,
        catalog,
        check_schema,
        equals,
        is_known,
        iter_batches,
        partitions,
        read,
        records,
        replace,
        snapshot,
        snapshots,
        table,
    )

__all__ = [
    "PARTITION",
    "RECORDED_AT",
    "add_columns",
    "append_changed",
    "append_missing",
    "canonical",
    "catalog",
    "check_schema",
    "equals",
    "is_known",
    "iter_batches",
    "partitions",
    "read",
    "records",
    "replace",
    "snapshot",
    "snapshots",
    "table",
]

__getattr__ = attributes_of(
    __name__,
    {".column_types": ["canonical"], ".tables": [name for name in __all__ if name != "canonical"]},
)
