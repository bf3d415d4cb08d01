"""A suite's judgement of a table: what it means that an expectation is broken.

It follows from the expectation's kind and its severity:

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

from perennial._common.duckdb_session import over, selected
from perennial.errors import PerennialError
from perennial.validation import one_pass, sentences, stock
from perennial.validation.conditions import translate
from perennial.validation.suites import digest

_ROW_LEVEL = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
#: Rows that break an expectation: `row` is their number, `reasons` what they break, in the suite's order.
BROKEN = pa.schema([("row", pa.int64()), ("reasons", pa.string())])
log = logging.getLogger(__name__)
# The second one sets its own level when it is imported.
for _noisy in ("great_expectations", "great_expectations.data_context.types.base"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Judgement:
    """What a suite says of a table.

    Attributes:
        suite: Digest of the suite: equal suites, equal digest.
        result: What Great Expectations makes of it, without lists of rows.
        broken_rows: The rows that break critical row-level expectations, ordered (schema `BROKEN`).
        counts: Critical row-level expectation -> how many rows break it.
        broken_batch: Critical batch-level expectation that failed -> a sentence.
        absent: Columns that should exist and do not; nothing else counts then.
        warnings: Everything else that failed, as sentences.
    """

    suite: str
    result: ExpectationSuiteValidationResult
    broken_rows: pa.Table = field(default_factory=BROKEN.empty_table)
    counts: dict[str, int] = field(default_factory=dict)
    broken_batch: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of_nothing(cls) -> Judgement:
        """What no expectation says."""
        return cls(suite=digest([]), result=_suite_result([]))


def judge(rows: pa.Table, expectations: Sequence[gxe.Expectation], where: str, *, by_row: bool = True) -> Judgement:
    """Judge `rows` by `expectations`.

    Args:
        rows: Any table.
        expectations: Great Expectations objects, each with its severity.
        where: Names the suite in errors, for instance `include/use_cases/flights/expectations.py, flights()`.
        by_row: Find out which rows break row-level expectations; without it one that fails as a whole counts as broken
            by the batch.

    Raises:
        PerennialError: the suite itself is at fault: an expectation raised.
    """
    critical = {number for number, each in enumerate(expectations) if each.severity == "critical"}
    row_level = {n for n, each in enumerate(expectations) if isinstance(each, _ROW_LEVEL)} if by_row else set()
    results, broken = _results(rows, expectations, critical & row_level)
    names = [sentences.name(each.configuration) for each in expectations]
    absent = [
        each.column
        for number, each in enumerate(expectations)
        if isinstance(each, gxe.ExpectColumnToExist) and not results[number].success
    ]
    if not absent:
        _refuse_raising_expectations(results, names, where)
    broken_batch: dict[str, str] = {}
    warnings: list[str] = []
    for number, result in enumerate(results):
        if not result.success and number not in critical & row_level:
            if number in critical:
                broken_batch[names[number]] = sentences.failed(result)
            else:
                warnings.append(sentences.failed(result))
    counts = {
        names[n]: results[n].result["unexpected_count"]
        for n in sorted(critical & row_level)
        if results[n].result.get("unexpected_count")
    }
    return Judgement(
        suite=digest(expectations),
        result=_suite_result(results),
        broken_rows=_with_reasons(broken, names),
        counts=counts,
        broken_batch=broken_batch,
        absent=list(dict.fromkeys(absent)),
        warnings=warnings,
    )


def _results(
    rows: pa.Table, expectations: Sequence[gxe.Expectation], look_for: Collection[int]
) -> tuple[list[ExpectationValidationResult], pa.Table]:
    """A result for each expectation, and which rows break those in `look_for`."""
    translated: one_pass.Translated = []
    for number, each in enumerate(expectations):
        translation = translate(each, rows.schema)
        if translation is not None:
            translated.append((number, each, translation))
    try:
        done, broken = one_pass.judge(rows, translated, look_for)
    except duckdb.Error as error:
        # An overflow, for instance. Slower, but Great Expectations has an answer.
        log.info("DuckDB could not judge (%s); Great Expectations does it on pandas", str(error).splitlines()[0])
        done, broken = {}, one_pass.pairs({})
    left = [(number, each) for number, each in enumerate(expectations) if number not in done]
    more, broken_too = stock.judge(rows, left, look_for)
    done |= more
    return [done[number] for number in range(len(expectations))], pa.concat_tables([broken, broken_too])


def _with_reasons(broken: pa.Table, names: list[str]) -> pa.Table:
    """One row a broken row, with the names of all expectations that it breaks."""
    if not broken.num_rows:
        return BROKEN.empty_table()
    expectations = pa.table({"expectation": pa.array(range(len(names)), pa.int64()), "name": names})
    with over(broken=broken, expectations=expectations) as connection:
        joined = selected(
            connection,
            "SELECT row, string_agg(name, '; ' ORDER BY expectation) AS reasons"
            " FROM broken JOIN expectations USING (expectation) GROUP BY row ORDER BY row",
        )
        return joined.cast(BROKEN)


def _refuse_raising_expectations(results: list[ExpectationValidationResult], names: list[str], where: str) -> None:
    for result, name in zip(results, names, strict=True):
        message = sentences.raised(result.exception_info)
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
