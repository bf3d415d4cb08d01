"""Which expectations have a translation to SQL, and the translation of one for a table's schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa

from perennial.validation.sql.aggregates import AGGREGATES, Aggregates
from perennial.validation.sql.columns import NoTranslation
from perennial.validation.sql.row_conditions import ROW_CONDITIONS, RowCondition


@dataclass(frozen=True)
class SchemaFacts:
    """What follows from the schema and the number of rows alone: Great Expectations' name of a metric -> its value."""

    metrics: dict[str, Any] = field(default_factory=dict)


Translation = RowCondition | Aggregates | SchemaFacts


def translate(expectation: gxe.Expectation, schema: pa.Schema) -> Translation | None:
    """What to compute for an expectation; None where Great Expectations must evaluate it itself.

    Args:
        expectation: The expectation.
        schema: The schema of the table that is validated.
    """
    # Not of subclasses: they may decide otherwise.
    translation = _TRANSLATIONS.get(type(expectation))
    if translation is None or getattr(expectation, "row_condition", None):
        return None
    try:
        return translation(expectation, schema)
    except NoTranslation:
        return None


def _columns(_expectation: Any, schema: pa.Schema) -> SchemaFacts:
    return SchemaFacts({"table.columns": list(schema.names), "table.column_count": len(schema.names)})


def _row_count(_expectation: Any, _schema: pa.Schema) -> SchemaFacts:
    return SchemaFacts()


_TRANSLATIONS: dict[type[gxe.Expectation], Callable[[Any, pa.Schema], Translation]] = {
    **ROW_CONDITIONS,
    **AGGREGATES,
    gxe.ExpectColumnToExist: _columns,
    gxe.ExpectTableColumnCountToEqual: _columns,
    gxe.ExpectTableColumnCountToBeBetween: _columns,
    gxe.ExpectTableColumnsToMatchSet: _columns,
    gxe.ExpectTableColumnsToMatchOrderedList: _columns,
    gxe.ExpectTableRowCountToBeBetween: _row_count,
    gxe.ExpectTableRowCountToEqual: _row_count,
}
