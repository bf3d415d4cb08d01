"""The expectations of a table: what its declaration implies, and what the use case's `expectations.py` adds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import great_expectations.expectations as gxe

from perennial.errors import PerennialError
from perennial.partitions import Partition
from perennial.use_case import RawTable, UseCase


def declared(table: RawTable, partition: Partition) -> list[gxe.Expectation]:
    """The expectations that a raw table's declaration implies: keys, event time, volume."""
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


def expectations_of(use_case: UseCase, name: str, partition: Partition | None) -> list[gxe.Expectation]:
    """What the use case expects of table `name`; nothing when its `expectations.py` has no such function.

    Raises:
        PerennialError: the function raises or returns something else than expectations.
    """
    function = getattr(use_case.module("expectations"), name, None)
    if function is None:
        return []
    where = place(use_case, name)
    try:
        expectations = list(function() if partition is None else function(partition))
    except Exception as error:
        raise PerennialError(f"{where} raised {type(error).__name__}: {error}", "Correct the suite.") from error
    for expectation in expectations:
        if not isinstance(expectation, gxe.Expectation):
            raise PerennialError(
                f"{where} returned {expectation!r}.", "Return great_expectations.expectations objects."
            )
    return expectations


def place(use_case: UseCase, name: str) -> str:
    """Where the suite of table `name` is written, for errors."""
    return f"include/use_cases/{use_case.name}/expectations.py, {name}()"


def digest(expectations: Sequence[gxe.Expectation]) -> str:
    """What a suite is known by: equal suites, equal digest."""
    configurations = sorted(str(each.configuration.to_json_dict()) for each in expectations)
    return hashlib.sha256("\n".join(configurations).encode()).hexdigest()[:12]
