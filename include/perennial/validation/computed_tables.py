"""Checks tables that Perennial computed itself against their suites: a broken critical expectation is an error."""

from __future__ import annotations

import great_expectations.expectations as gxe
import pyarrow as pa

from perennial.errors import BadFeatures, PerennialError
from perennial.partitions import Partition
from perennial.use_case import UseCase
from perennial.validation.suite_validation import ROW_LEVEL, SuiteResult, validate
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


def check_open_table(use_case: UseCase, name: str, rows: pa.Table, partition: Partition) -> None:
    """Check the rows of a feature table that were computed for an open partition.

    As for raw batches, only what is said of each row is a reason to stop: see `batches.check_open_batch`.

    Args:
        use_case: The use case.
        name: The feature table.
        rows: Its rows.
        partition: The open partition.

    Raises:
        BadFeatures: a row breaks a critical expectation, or a column is missing.
        PerennialError: the suite itself is at fault.
    """
    # What is said of a table as a whole is said of a complete partition.
    each_row = (*ROW_LEVEL, gxe.ExpectColumnToExist)
    suite = [one for one in use_case_expectations(use_case, name, partition) if isinstance(one, each_row)]
    result = validate(rows, suite, suite_location(use_case, name), by_row=False)
    check_computed_table(use_case, name, result, partition, BadFeatures)


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
