"""Great Expectations itself, on pandas, for what has no translation; on no more columns than that needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pyarrow as pa
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig

from perennial.validation.one_pass import FORMAT, ROW, pairs
from perennial.validation.sentences import configuration

#: What a complete result says beyond a basic one.
_LISTS = (
    "unexpected_list",
    "unexpected_index_list",
    "unexpected_index_query",
    "unexpected_index_column_names",
    "partial_unexpected_index_list",
    "partial_unexpected_counts",
)


def judge(
    rows: pa.Table, expectations: Sequence[tuple[int, gxe.Expectation]], look_for: Collection[int]
) -> tuple[dict[int, ExpectationValidationResult], pa.Table]:
    """Judge `rows` by numbered expectations; arguments and result as in `one_pass.judge`."""
    results: dict[int, ExpectationValidationResult] = {}
    found: dict[int, pa.Array] = {}
    # Apart from the others: with the numbers of rows, the table has a column that is not its own.
    for by_row in (False, True):
        some = {number: each for number, each in expectations if (number in look_for) is by_row}
        for number, result in _validate(rows, some, by_row).items():
            if by_row:
                broken = [row[ROW] for row in result.result.get("unexpected_index_list") or ()]
                found[number] = pa.array(broken, pa.int64())
                result.result = {name: value for name, value in result.result.items() if name not in _LISTS}
            results[number] = result
    return results, pairs(found)


def _validate(
    rows: pa.Table, expectations: dict[int, gxe.Expectation], by_row: bool
) -> dict[int, ExpectationValidationResult]:
    if not expectations:
        return {}
    seen = rows.select(_columns_named(expectations.values(), rows.column_names))
    if by_row:
        seen = seen.append_column(ROW, pa.array(np.arange(rows.num_rows, dtype=np.int64)))
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": seen.to_pandas()})
    wanted: dict[str, Any] = {"result_format": "COMPLETE", "unexpected_index_column_names": [ROW]} if by_row else FORMAT
    # Results come in an order of their own, without expectations that are there twice: each carries its number.
    numbered = [each.copy(update={"id": None, "meta": {"number": n}}) for n, each in expectations.items()]
    results: dict[int, ExpectationValidationResult] = {}
    for result in batch.validate(ExpectationSuite(name="suite", expectations=numbered), result_format=wanted).results:
        number = configuration(result).meta["number"]
        result.expectation_config = expectations[number].configuration
        results[number] = result
    return results


def _columns_named(expectations: Iterable[gxe.Expectation], columns: list[str]) -> list[str]:
    """The columns that a suite looks at: Great Expectations copies and hashes all that it is given.

    All of them where an expectation names none, since it may be about the table, or has a condition on its rows.
    """
    named: set[str] = set()
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
        named |= own
    return [name for name in columns if name in named]
