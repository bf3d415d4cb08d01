"""Readings that are quarantined, and what became of them."""

from __future__ import annotations

from collections.abc import Callable

import great_expectations.expectations as gxe
import pyarrow as pa

from perennial import lake, quarantine
from perennial.partitions import Partition
from perennial.reporting import partition_status
from perennial.use_case import UseCase

WHO = {"actor": "ada", "reason": "I looked at the meter"}
#: The expectation that a reading of 5,000 breaks.
HIGH = "expect_column_values_to_be_between(kwh)"


def with_kwh(*values: float | None) -> Callable[[pa.Table], pa.Table]:
    """The first rows have these readings."""

    def how(rows: pa.Table) -> pa.Table:
        kwh = rows["kwh"].to_pylist()
        return rows.set_column(3, "kwh", pa.array([*values, *kwh[len(values) :]], pa.float64()))

    return how


def between(high: float = 1000) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column="kwh", min_value=-100, max_value=high, severity="critical")


def readings(day: Partition) -> list[float]:
    return lake.read("energy.readings", partitions=[day.key])["kwh"].to_pylist()


def states(energy: UseCase, day: Partition) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in quarantine.list_items(energy, day, None):
        counts[item.state] = counts.get(item.state, 0) + 1
    reported = {row.partition: row.waiting for row in partition_status.status(energy).partitions}
    assert reported.get(day.key, 0) == counts.get("waiting", 0), "`perennial status` counts the same"
    return counts
