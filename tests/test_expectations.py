"""Expectations by declaration are Great Expectations' own, and a suite may be written as it reads best."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from perennial import Cadence
from perennial import expectations as expect
from perennial.errors import PerennialError
from perennial.validation.suites import use_case_expectations

FEBRUARY = Cadence.MONTHLY.partition("2024-02")
DAY = timedelta(days=1)


def described(suite: Any) -> list[tuple[str, dict[str, Any], str]]:
    """Type, arguments and severity of each expectation."""
    configurations = [each.configuration for each in expect.resolved(suite, FEBRUARY)]
    return [(each.type, dict(each.kwargs), str(each.severity.value)) for each in configurations]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (expect.exists("a", "b"), [gxe.ExpectColumnToExist(column="a"), gxe.ExpectColumnToExist(column="b")]),
        (expect.required("a"), [gxe.ExpectColumnValuesToNotBeNull(column="a")]),
        (expect.required("a", mostly=0.9), [gxe.ExpectColumnValuesToNotBeNull(column="a", mostly=0.9)]),
        (expect.unique("a"), [gxe.ExpectColumnValuesToBeUnique(column="a")]),
        (expect.unique("a", "b"), [gxe.ExpectCompoundColumnsToBeUnique(column_list=["a", "b"])]),
        (
            expect.between({"a": (1, 2), "b": (None, 3)}),
            [
                gxe.ExpectColumnValuesToBeBetween(column="a", min_value=1, max_value=2),
                gxe.ExpectColumnValuesToBeBetween(column="b", max_value=3),
            ],
        ),
        (expect.one_of({"a": (1, 2)}), [gxe.ExpectColumnValuesToBeInSet(column="a", value_set=[1, 2])]),
        (expect.every_one_of({"a": [1]}), [gxe.ExpectColumnDistinctValuesToContainSet(column="a", value_set=[1])]),
        (expect.exactly({"a": [1]}), [gxe.ExpectColumnDistinctValuesToEqualSet(column="a", value_set=[1])]),
        (expect.matches({"a": "^x"}), [gxe.ExpectColumnValuesToMatchRegex(column="a", regex="^x")]),
        (expect.mean_between({"a": (0, 1)}), [gxe.ExpectColumnMeanToBeBetween(column="a", min_value=0, max_value=1)]),
        (
            expect.later("a", than="b"),
            [
                gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                    column_A="a", column_B="b", ignore_row_if="either_value_is_missing"
                )
            ],
        ),
        (expect.rows_between(1, 9), [gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=9)]),
        (expect.rows_each(DAY, 2, 3), [gxe.ExpectTableRowCountToBeBetween(min_value=58, max_value=87)]),
        (
            expect.covers("at", 2 * DAY),
            [
                gxe.ExpectColumnMinToBeBetween(column="at", max_value=datetime(2024, 2, 3, tzinfo=UTC)),
                gxe.ExpectColumnMaxToBeBetween(column="at", min_value=datetime(2024, 2, 28, tzinfo=UTC)),
            ],
        ),
    ],
    ids=lambda value: "",
)
def test_a_declaration_is_that_expectation(ours: Any, theirs: list[gxe.Expectation]) -> None:
    assert [(kind, arguments) for kind, arguments, _ in described([ours])] == [
        (kind, arguments) for kind, arguments, _ in described(theirs)
    ]
    assert {severity for _, _, severity in described([ours])} == {"critical"}


@pytest.mark.parametrize(
    "declared",
    [
        expect.exists("a", severity="warning"),
        expect.required("a", severity="warning"),
        expect.unique("a", severity="warning"),
        expect.between({"a": (0, 1)}, severity="warning"),
        expect.one_of({"a": [0]}, severity="warning"),
        expect.every_one_of({"a": [0]}, severity="warning"),
        expect.exactly({"a": [0]}, severity="warning"),
        expect.matches({"a": "x"}, severity="warning"),
        expect.mean_between({"a": (0, 1)}, severity="warning"),
        expect.later("a", than="b", severity="warning"),
        expect.rows_between(0, 1, severity="warning"),
        expect.rows_each(DAY, 0, 1, severity="warning"),
        expect.covers("a", DAY, severity="warning"),
    ],
)
def test_severity_is_a_word(declared: Any) -> None:
    assert {severity for _, _, severity in described([declared])} == {"warning"}


def of(suite: Any, partition: Any = FEBRUARY) -> list[gxe.Expectation]:
    """A use case's suite of table `sales`."""
    use_case: Any = SimpleNamespace(name="shops", module=lambda name: SimpleNamespace(sales=suite))
    return use_case_expectations(use_case, "sales", partition)


def test_a_suite_is_a_list_a_function_or_lists_of_both() -> None:
    plain = gxe.ExpectColumnToExist(column="a")

    def by_function(partition: Any) -> expect.Suite:
        return [plain, [expect.exists("b"), (lambda partition: expect.exists(partition.key))]]

    for suite in (by_function, by_function(FEBRUARY), (plain, expect.exists("b", "2024-02"))):
        assert [each.column for each in of(suite)] == ["a", "b", "2024-02"]
    assert [each.column for each in of(lambda: expect.exists("a"), None)] == ["a"]
    assert of([]) == []


def test_what_is_no_expectation_is_named() -> None:
    with pytest.raises(PerennialError, match=r"use_cases/shops/expectations\.py, sales\(\) returned 'required'"):
        of([expect.exists("a"), ["required"]])


def test_a_function_that_raises_is_named() -> None:
    with pytest.raises(PerennialError, match=r"expectations\.py, sales\(\) raised KeyError"):
        of([lambda partition: {}["a"]])


def test_a_suite_is_validated() -> None:
    from perennial.validation.suite_validation import validate

    suite = [expect.required("a"), expect.between({"a": (0, 5)}), expect.covers("at", DAY)]
    rows = pa.table({"a": [1, None, 9], "at": pa.array([FEBRUARY.start] * 3, pa.timestamp("us", "UTC"))})
    result = validate(rows, expect.resolved(suite, FEBRUARY), "here")
    assert result.failing_rows["row"].to_pylist() == [1, 2]
    assert list(result.failed_expectations) == ["expect_column_max_to_be_between(at)"]
