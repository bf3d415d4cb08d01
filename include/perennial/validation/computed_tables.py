"""Checks tables that Perennial computed itself against their suites: a broken critical expectation is an error."""

from __future__ import annotations

import pyarrow as pa

from perennial.errors import PerennialError
from perennial.partitions import Partition
from perennial.use_case import UseCase
from perennial.validation.suite_validation import SuiteResult, validate
from perennial.validation.suites import suite_location, use_case_expectations


def validate_computed_table(
    use_case: UseCase, name: str, rows: pa.Table, partition: Partition | None, error: type[PerennialError]
) -> None:
    """Validate a computed table and check the result, which is not recorded.

    Args:
        use_case: The use case.
        name: The table, for instance `training_set`.
        rows: Its rows.
        partition: The partition they are of; None for a table that has none.
        error: The class of error to raise.

    Raises:
        PerennialError: of class `error`: a critical expectation is broken; or the suite itself is at fault.
    """
    expectations = use_case_expectations(use_case, name, partition)
    result = validate(rows, expectations, suite_location(use_case, name), by_row=False)
    check_computed_table(use_case, name, result, partition, error)


def check_computed_table(
    use_case: UseCase,
    name: str,
    result: SuiteResult,
    partition: Partition | None,
    error: type[PerennialError],
    more: str = "",
) -> None:
    """Raise an error if a computed table broke a critical expectation.

    Args:
        use_case: The use case.
        name: The table.
        result: The result of its suite, validated without `by_row`.
        partition: The partition it is of; None for a table that has none.
        error: The class of error to raise.
        more: What the error says besides, for instance where the result is shown.

    Raises:
        PerennialError: of class `error`.
    """
    broken = list(result.failed_expectations.values())
    broken += [f"no column {column!r}" for column in result.missing_columns]
    if broken:
        where = f", partition {partition.key!r}" if partition else ""
        raise error(
            f"Use case {use_case.name!r}, table {name!r}{where}: {'; '.join(broken)}. Nothing was written.{more}",
            f"Look at transforms.py, or correct {suite_location(use_case, name)} if the expectation is wrong.",
        )
