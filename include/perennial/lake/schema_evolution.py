"""The columns of a lake table follow what is written to it: they are added, typed at last, and promoted.

All of it is Iceberg's own schema evolution: no file is written again, and an older snapshot keeps the columns it had.
"""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.expressions import NotNull
from pyiceberg.table import Table

from perennial.errors import SchemaMismatch
from perennial.lake import column_types
from perennial.lake.column_types import ColumnPlan, canonical


def plan(identifier: str, target: Table | None, rows: pa.Table) -> ColumnPlan:
    """How the table's columns take `rows` in.

    Args:
        identifier: `<use_case>.<table>`, for the message of the error.
        target: The table as it is now; None: it does not exist yet.
        rows: Rows for it, in the lake's types.

    Raises:
        SchemaMismatch: a value would become another one, or is of a type that the lake does not have.
    """
    existing = schema(target) if target is not None else pa.schema([])
    fit = column_types.plan_columns(rows, existing, lambda column: target is not None and _holds_values(target, column))
    if fit.misfits:
        raise SchemaMismatch(
            f"Lake table {identifier!r} cannot hold the values as they are: column {', '.join(fit.misfits)}.",
            "Give the column the table's type where it is made (source.py, transforms.py), or what is of another type a"
            " column of its own.",
            fit.misfits,
        )
    return fit


def apply(target: Table, coming: pa.Schema, fit: ColumnPlan) -> Table:
    """The table with columns that take rows of schema `coming` in, as `plan` found.

    A column in which no row has a value yet takes the type of the first that come: of one that was always empty, a
    source cannot tell any. One that is outgrown is promoted before the rows are written; a writer that is killed in
    between leaves a column with room to spare.

    Args:
        target: The table as it is now; its lock is held.
        coming: The schema of all rows that are about to be written, in the lake's types.
        fit: What `plan` returned for these rows.

    Returns:
        The table, loaded again if its schema has changed.
    """
    if fit.empty:
        with target.update_schema(allow_incompatible_changes=True) as narrow:
            for name in fit.empty:
                narrow.delete_column(name)
        target = target.refresh()
    # Of the columns that are there, pyiceberg would refuse those of another type, also where every value fits.
    existing = set(target.schema().column_names)
    new = [column for column in coming if column.name not in existing]
    promoted = [pa.field(name, kind) for name, kind in fit.promoted.items()]
    if new or promoted:
        with target.update_schema() as widen:
            widen.union_by_name(pa.schema([*new, *promoted]))
        target = target.refresh()
    return target


def schema(target: Table) -> pa.Schema:
    """The table's columns, in the lake's types."""
    return canonical(target.schema().as_arrow().empty_table()).schema


def _holds_values(target: Table, column: pa.Field) -> bool:
    """Whether a row has a value there; of lists and the like, which pyiceberg cannot filter, it is assumed."""
    if pa.types.is_nested(column.type):
        return True
    has_value = NotNull(column.name)  # type: ignore[call-arg]  # Typed by what Pydantic generates.
    scan = target.scan(row_filter=has_value, selected_fields=(column.name,), limit=1)
    return bool(scan.to_arrow().num_rows)
