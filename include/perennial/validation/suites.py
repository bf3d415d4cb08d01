"""The suite of a table: the expectations its declaration implies, and those of the use case's `expectations.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import great_expectations.expectations as gxe

from perennial.errors import PerennialError
from perennial.expectations import resolved
from perennial.partitions import Partition
from perennial.use_case import RawTable, UseCase


def declared_expectations(table: RawTable, partition: Partition) -> list[gxe.Expectation]:
    """The expectations that a raw table's declaration implies, all critical: its key and its event time.

    Args:
        table: The declaration, from `use_case.py`.
        partition: The interval of event time that the rows must be in.
    """
    expectations: list[gxe.Expectation] = [
        gxe.ExpectColumnToExist(column=name, severity="critical") for name in table.key
    ]
    expectations += [gxe.ExpectColumnValuesToNotBeNull(column=name, severity="critical") for name in table.key]
    if len(table.key) == 1:
        expectations.append(gxe.ExpectColumnValuesToBeUnique(column=table.key[0], severity="critical"))
    else:
        expectations.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(table.key), severity="critical"))
    if table.time is not None:
        expectations += [
            gxe.ExpectColumnToExist(column=table.time, severity="critical"),
            gxe.ExpectColumnValuesToNotBeNull(column=table.time, severity="critical"),
            gxe.ExpectColumnValuesToBeBetween(
                column=table.time,
                min_value=partition.start,
                max_value=partition.end,
                strict_max=True,
                severity="critical",
            ),
        ]
    return expectations


def use_case_expectations(use_case: UseCase, name: str, partition: Partition | None) -> list[gxe.Expectation]:
    """The expectations that the use case's `expectations.py` adds; none when it does not name the table.

    There a suite is a list, or a function of the partition; of no arguments, where `partition` is None.

    Args:
        use_case: The use case.
        name: The table: a raw or feature table, `examples` or `training_set`.
        partition: The partition that is validated; None for a table that has none, such as a training set.

    Raises:
        PerennialError: a function raises, or the suite holds something else than expectations.
    """
    suite = getattr(use_case.module("expectations"), name, None)
    if suite is None:
        return []
    location = suite_location(use_case, name)
    try:
        expectations = resolved(suite, partition)
    except Exception as error:
        raise PerennialError(f"{location} raised {type(error).__name__}: {error}", "Correct the suite.") from error
    for expectation in expectations:
        if not isinstance(expectation, gxe.Expectation):
            raise PerennialError(
                f"{location} returned {expectation!r}.",
                "Use perennial.expectations, or objects of great_expectations.expectations.",
            )
    return expectations


def suite_location(use_case: UseCase, name: str) -> str:
    """Where the suite of a table is written, for errors.

    Args:
        use_case: The use case.
        name: The table.
    """
    return f"include/use_cases/{use_case.name}/expectations.py, {name}()"


def suite_digest(expectations: Sequence[gxe.Expectation]) -> str:
    """A suite's digest, 12 hexadecimal digits: equal suites have equal digests."""
    configurations = sorted(str(each.configuration.to_json_dict()) for each in expectations)
    return hashlib.sha256("\n".join(configurations).encode()).hexdigest()[:12]
