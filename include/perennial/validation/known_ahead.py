"""Validates raw rows before their outcome: only what can be said of columns that are known by then."""

from __future__ import annotations

import great_expectations.expectations as gxe
import numpy as np
import pyarrow as pa

from perennial.partitions import Partition
from perennial.use_case import RawTable, UseCase
from perennial.validation.suite_validation import ROW_LEVEL, validate
from perennial.validation.suites import declared_expectations, suite_location, use_case_expectations


def rows_without_faults(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> pa.Table:
    """The rows that break no critical expectation about columns that are known ahead.

    Expectations about other columns say nothing yet, and those about a batch say nothing of one that is not complete.

    Args:
        use_case: The use case.
        table: The raw table, with its `known_ahead`.
        rows: Rows of it, in the lake's types.
        partition: The partition that they are of.

    Raises:
        PerennialError: the suite itself is at fault.
    """
    suite = [*declared_expectations(table, partition), *use_case_expectations(use_case, table.name, partition)]
    known = [
        each
        for each in suite
        if isinstance(each, ROW_LEVEL) and each.severity == "critical" and _columns(each) <= set(table.known_ahead)
    ]
    failing = validate(rows, known, suite_location(use_case, table.name)).failing_rows
    is_clean = np.ones(rows.num_rows, bool)
    is_clean[failing["row"].to_numpy()] = False
    return rows.filter(pa.array(is_clean))


def _columns(expectation: gxe.Expectation) -> set[str]:
    """The columns that a row-level expectation is about."""
    names = [getattr(expectation, name, None) for name in ("column", "column_A", "column_B")]
    return {name for name in (*names, *(getattr(expectation, "column_list", None) or ())) if name is not None}
