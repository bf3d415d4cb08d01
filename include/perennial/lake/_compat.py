"""What the lake uses of pyiceberg that is private there."""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.io.pyarrow import UnsupportedPyArrowTypeException, _pyarrow_to_schema_without_ids


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
