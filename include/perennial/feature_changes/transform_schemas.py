"""Finds the columns that a feature table's transform would write now, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.errors import BadFeatures

if TYPE_CHECKING:
    import pyarrow as pa

    from perennial.use_case import UseCase


def expected_columns(use_case: UseCase, table: str) -> dict[str, str] | None:
    """The columns of a feature table, and their Iceberg types, that its transform would write now.

    The transform is put together on raw tables without rows and not run. None: a raw table is not in the lake yet.

    Args:
        use_case: The use case.
        table: The feature table.

    Raises:
        BadFeatures: the transform does not exist or raises.
    """
    schema = expected_schema(use_case, table)
    return iceberg_types(schema) if schema is not None else None


def expected_schema(use_case: UseCase, table: str) -> pa.Schema | None:
    """As `expected_columns`: the schema, in the lake's types and without its own columns.

    Args:
        use_case: The use case.
        table: The feature table.

    Raises:
        BadFeatures: the transform does not exist or raises.
    """
    import ibis

    from perennial import lake

    declared = next(each for each in use_case.features if each.name == table)
    tables = {name: lake.table(use_case.tables[name]) for name in declared.inputs}
    where = f"include/use_cases/{use_case.name}/transforms.py, {table}()"
    function = getattr(use_case.module("transforms"), table, None)
    if function is None:
        raise BadFeatures(f"{where} does not exist.", f"Write it; it takes {', '.join(declared.inputs)}.")
    empty = {}
    for name, table_in_lake in tables.items():
        if table_in_lake is None:
            return None
        empty[name] = lake.canonical(table_in_lake.schema().as_arrow().empty_table()).drop_columns([lake.PARTITION])
    try:
        returned = function(**{name: ibis.memtable(rows) for name, rows in empty.items()}).schema().to_pyarrow()
        return lake.canonical(returned.empty_table()).schema
    except Exception as error:
        raise BadFeatures(
            f"{where} raised {type(error).__name__} on raw tables without rows: {error}", "Fix the transform."
        ) from error


def iceberg_types(schema: pa.Schema) -> dict[str, str]:
    """The Iceberg type of each column of an Arrow schema."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema
    from pyiceberg.table.name_mapping import MappedField, NameMapping

    mapping = NameMapping([MappedField(field_id=place, names=[name]) for place, name in enumerate(schema.names, 1)])
    return {each.name: str(each.field_type) for each in pyarrow_to_schema(schema, name_mapping=mapping).fields}
