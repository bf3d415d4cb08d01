"""Validating a table against a suite."""

from __future__ import annotations

import great_expectations.expectations as gxe
import pyarrow as pa

from perennial.validation.suite_validation import validate


def test_large_integers_with_nulls_keep_their_last_digit() -> None:
    """On pandas they become floats, and 2**53 + 1 counts as 2**53."""
    table = pa.table({"int": pa.array([2**53, 2**53 + 1, None], pa.int64())})
    unique = gxe.ExpectColumnValuesToBeUnique(column="int", severity="critical")
    assert validate(table, [unique], "suite").failing_rows.num_rows == 0
