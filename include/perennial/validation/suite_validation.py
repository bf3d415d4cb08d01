"""Validates a table against its suite, and sorts the expectations that fail by what a failure means.

That follows from the expectation's kind and its severity:

- row level (a map expectation), severity `critical`: the rows that break it are quarantined with the reason;
- batch level (everything else), severity `critical`: a failure stops the partition;
- any other severity: reported, never acted upon.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import great_expectations.expectations as gxe
import pyarrow as pa
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
)

from perennial._common.duckdb_session import fetch_table, open_session
from perennial.errors import PerennialError
from perennial.validation import duckdb_pass, messages, pandas_fallback
from perennial.validation.sql.translation import translate
from perennial.validation.suites import suite_digest

#: The kinds of expectations that say which rows break them.
ROW_LEVEL = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
#: Rows that break an expectation: `row` is their number from 0, `reasons` what they break, in the suite's order.
FAILING_ROWS = pa.schema([("row", pa.int64()), ("reasons", pa.string())])
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SuiteResult:
    """The result of validating a table against a suite.

    Attributes:
        suite: Digest of the suite: equal suites have equal digests.
        gx_result: Great Expectations' own result, without lists of rows.
        failing_rows: The rows that break critical row-level expectations, ordered (schema `FAILING_ROWS`).
        failing_counts: Critical row-level expectation -> how many rows break it.
        failed_expectations: Critical batch-level expectation that failed -> a message.
        missing_columns: Columns that should exist and do not; nothing else is decided then.
        warnings: Messages about everything else that failed.
    """

    suite: str
    gx_result: ExpectationSuiteValidationResult
    failing_rows: pa.Table = field(default_factory=FAILING_ROWS.empty_table)
    failing_counts: dict[str, int] = field(default_factory=dict)
    failed_expectations: dict[str, str] = field(default_factory=dict)
    missing_columns: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls) -> SuiteResult:
        """The result of a suite without expectations."""
        return cls(suite=suite_digest([]), gx_result=_suite_result([]))


def validate(
    rows: pa.Table, expectations: Sequence[gxe.Expectation], where: str, *, by_row: bool = True
) -> SuiteResult:
    """Validate a table against expectations.

    Args:
        rows: Any table.
        expectations: Great Expectations objects, each with its severity.
        where: Names the suite in errors, for instance `include/use_cases/flights/expectations.py, flights()`.
        by_row: Find out which rows break row-level expectations. Without it, a row-level expectation that fails counts
            like one of the batch.

    Raises:
        PerennialError: the suite itself is at fault: an expectation raised.
    """
    critical = {number for number, each in enumerate(expectations) if each.severity == "critical"}
    row_level = {number for number, each in enumerate(expectations) if isinstance(each, ROW_LEVEL)} if by_row else set()
    locate = critical & row_level
    results, failing = _evaluate(rows, expectations, locate)
    names = [messages.expectation_name(each.configuration) for each in expectations]
    missing = [
        each.column
        for number, each in enumerate(expectations)
        if isinstance(each, gxe.ExpectColumnToExist) and not results[number].success
    ]
    if not missing:
        _check_evaluated(results, names, where)
    failed = [(number, result) for number, result in enumerate(results) if not result.success and number not in locate]
    return SuiteResult(
        suite=suite_digest(expectations),
        gx_result=_suite_result(results),
        failing_rows=_with_reasons(failing, names),
        failing_counts={
            names[number]: count
            for number in sorted(locate)
            if (count := results[number].result.get("unexpected_count"))
        },
        failed_expectations={
            names[number]: messages.failure(result) for number, result in failed if number in critical
        },
        missing_columns=list(dict.fromkeys(missing)),
        warnings=[messages.failure(result) for number, result in failed if number not in critical],
    )


def _evaluate(
    rows: pa.Table, expectations: Sequence[gxe.Expectation], locate: Collection[int]
) -> tuple[list[ExpectationValidationResult], pa.Table]:
    """A result for each expectation, and the rows that break those in `locate` (`row`, `expectation`: int64)."""
    translated: duckdb_pass.Translated = []
    for number, each in enumerate(expectations):
        translation = translate(each, rows.schema)
        if translation is not None:
            translated.append((number, each, translation))
    try:
        results, failing = duckdb_pass.evaluate(rows, translated, locate)
    except duckdb.Error as error:
        # An overflow, for instance. Slower, but Great Expectations has an answer.
        log.info("DuckDB could not evaluate (%s); Great Expectations does it on pandas", str(error).splitlines()[0])
        results, failing = {}, duckdb_pass.failing_table({})
    remaining = [(number, each) for number, each in enumerate(expectations) if number not in results]
    on_pandas, failing_on_pandas = pandas_fallback.evaluate(rows, remaining, locate)
    results |= on_pandas
    return [results[number] for number in range(len(expectations))], pa.concat_tables([failing, failing_on_pandas])


def _with_reasons(failing: pa.Table, names: list[str]) -> pa.Table:
    """One row for each failing row, with the names of all expectations that it breaks."""
    if not failing.num_rows:
        return FAILING_ROWS.empty_table()
    expectations = pa.table({"expectation": pa.array(range(len(names)), pa.int64()), "name": names})
    with open_session(failing=failing, expectations=expectations) as connection:
        joined = fetch_table(
            connection,
            "SELECT row, string_agg(name, '; ' ORDER BY expectation) AS reasons"
            " FROM failing JOIN expectations USING (expectation) GROUP BY row ORDER BY row",
        )
        return joined.cast(FAILING_ROWS)


def _check_evaluated(results: list[ExpectationValidationResult], names: list[str], where: str) -> None:
    for result, name in zip(results, names, strict=True):
        message = messages.exception_message(result.exception_info)
        if message:
            raise PerennialError(
                f"{where}: {name} could not be evaluated: {message}",
                "Most often a column that does not exist or has another type; correct the expectation.",
            )


def _suite_result(results: list[ExpectationValidationResult]) -> ExpectationSuiteValidationResult:
    passed = sum(bool(result.success) for result in results)
    statistics: dict[str, Any] = {
        "evaluated_expectations": len(results),
        "successful_expectations": passed,
        "unsuccessful_expectations": len(results) - passed,
        "success_percent": 100 * passed / len(results) if results else None,
    }
    return ExpectationSuiteValidationResult(
        success=passed == len(results), results=results, suite_name="suite", statistics=statistics
    )
