"""Evaluates expectations without an SQL translation by Great Expectations itself, on pandas and only their columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pyarrow as pa
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationValidationResult

from perennial.validation._compat import RESULT_FORMAT, quiet_context
from perennial.validation.duckdb_pass import ROW, failing_table
from perennial.validation.messages import configuration

#: What a complete result has beyond a basic one.
_LISTS = (
    "unexpected_list",
    "unexpected_index_list",
    "unexpected_index_query",
    "unexpected_index_column_names",
    "partial_unexpected_index_list",
    "partial_unexpected_counts",
)


def evaluate(
    rows: pa.Table, expectations: Sequence[tuple[int, gxe.Expectation]], locate: Collection[int]
) -> tuple[dict[int, ExpectationValidationResult], pa.Table]:
    """Evaluate numbered expectations.

    Args:
        rows: Any table.
        expectations: Number of each expectation in its suite, and the expectation.
        locate: Numbers of the expectations whose failing rows are wanted.

    Returns:
        As of `duckdb_pass.evaluate`.
    """
    results: dict[int, ExpectationValidationResult] = {}
    failing: dict[int, pa.Array] = {}
    # Apart from the others: with the numbers of rows, the table has a column that is not its own.
    for by_row in (False, True):
        chosen = {number: each for number, each in expectations if (number in locate) is by_row}
        for number, result in _run(rows, chosen, by_row).items():
            if by_row:
                numbers = [row[ROW] for row in result.result.get("unexpected_index_list") or ()]
                failing[number] = pa.array(numbers, pa.int64())
                result.result = {name: value for name, value in result.result.items() if name not in _LISTS}
            results[number] = result
    return results, failing_table(failing)


def _run(
    rows: pa.Table, expectations: dict[int, gxe.Expectation], by_row: bool
) -> dict[int, ExpectationValidationResult]:
    if not expectations:
        return {}
    needed = rows.select(_needed_columns(expectations.values(), rows.column_names))
    if by_row:
        needed = needed.append_column(ROW, pa.array(np.arange(rows.num_rows, dtype=np.int64)))
    asset = quiet_context().data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": needed.to_pandas()})
    complete: dict[str, Any] = {"result_format": "COMPLETE", "unexpected_index_column_names": [ROW]}
    # Results come in an order of their own, without expectations that are there twice: each carries its number.
    numbered = [each.copy(update={"id": None, "meta": {"number": n}}) for n, each in expectations.items()]
    suite = ExpectationSuite(name="suite", expectations=numbered)
    results: dict[int, ExpectationValidationResult] = {}
    for result in batch.validate(suite, result_format=complete if by_row else RESULT_FORMAT).results:
        number = configuration(result).meta["number"]
        result.expectation_config = expectations[number].configuration
        results[number] = result
    return results


def _needed_columns(expectations: Iterable[gxe.Expectation], columns: list[str]) -> list[str]:
    """The columns that a suite names: Great Expectations copies and hashes all that it is given.

    All of them where an expectation names none, since it may be about the table, or has a condition on its rows.
    """
    needed: set[str] = set()
    for expectation in expectations:
        kwargs = expectation.configuration.kwargs
        own = {
            column
            for name, value in kwargs.items()
            if name.startswith("column")
            for column in ([value] if isinstance(value, str) else value or ())
        }
        if not own or kwargs.get("row_condition"):
            return columns
        needed |= own
    return [name for name in columns if name in needed]
