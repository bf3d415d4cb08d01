"""The lake: Iceberg tables that hold every row, and the few ways to change and to read one.

- `reading`, `writing`: their functions are offered by this package as its own: `lake.read`, `lake.replace`;
- `expiry`: drops old snapshots of partitions under way;
- `schema_evolution`, `column_types`: how a table's columns follow what is written to it;
- `deduplication`: which rows differ from the latest record;
- `schemas`: Perennial's own tables; `labels`: the labels of examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.lake.column_types import canonical
    from perennial.lake.reading import (
        PARTITION,
        RECORDED_AT,
        between_times,
        catalog,
        equals,
        in_part,
        is_known,
        iter_batches,
        not_before,
        partitions,
        read,
        records,
        row_counts,
        snapshot,
        snapshot_at,
        snapshots,
        table,
    )
    from perennial.lake.writing import (
        OpenPart,
        add_columns,
        append_changed,
        append_missing,
        check_schema,
        merge_files,
        replace,
        replace_open,
    )

__all__ = [
    "PARTITION",
    "RECORDED_AT",
    "OpenPart",
    "add_columns",
    "append_changed",
    "append_missing",
    "between_times",
    "canonical",
    "catalog",
    "check_schema",
    "equals",
    "in_part",
    "is_known",
    "iter_batches",
    "merge_files",
    "not_before",
    "partitions",
    "read",
    "records",
    "replace",
    "replace_open",
    "row_counts",
    "snapshot",
    "snapshot_at",
    "snapshots",
    "table",
]

_WRITING = ["OpenPart", "add_columns", "append_changed", "append_missing", "check_schema", "merge_files", "replace"]
_WRITING += ["replace_open"]

__getattr__ = attributes_of(
    __name__,
    {
        ".column_types": ["canonical"],
        ".writing": _WRITING,
        ".reading": [name for name in __all__ if name not in ("canonical", *_WRITING)],
    },
)
