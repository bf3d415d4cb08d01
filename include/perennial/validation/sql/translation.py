"""Which expectations have a translation to SQL, and the translation of one for a table's schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa

from perennial.validation.sql.aggregates import AGGREGATES, Aggregates
from perennial.validation.sql.columns import NoTranslation
from perennial.validation.sql.row_conditions import ROW_CONDITIONS, RowCondition


@dataclass(frozen=True)
class SchemaFacts:
    """Of an expectation that the names of the columns and the number of rows decide: nothing is computed for it."""


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


def _schema_facts(_expectation: Any, _schema: pa.Schema) -> SchemaFacts:
    return SchemaFacts()


_TRANSLATIONS: dict[type[gxe.Expectation], Callable[[Any, pa.Schema], Translation]] = {
    **ROW_CONDITIONS,
    **AGGREGATES,
    gxe.ExpectColumnToExist: _schema_facts,
    gxe.ExpectTableColumnCountToEqual: _schema_facts,
    gxe.ExpectTableColumnCountToBeBetween: _schema_facts,
    gxe.ExpectTableColumnsToMatchSet: _schema_facts,
    gxe.ExpectTableColumnsToMatchOrderedList: _schema_facts,
    gxe.ExpectTableRowCountToBeBetween: _schema_facts,
    gxe.ExpectTableRowCountToEqual: _schema_facts,
}
