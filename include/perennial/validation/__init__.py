"""Validates raw batches, feature tables and training sets with Great Expectations, at DuckDB's speed.

- `suites`: the expectations of a table; `contracts`: what a transform must return besides;
- `suite_validation`: a table validated against a suite, by `duckdb_pass` where `sql` has a translation, otherwise by
  `pandas_fallback`; `messages` puts failures into words, `results` records them;
- `batches`: raw batches, split into clean and quarantined rows; `computed_tables`: tables that Perennial computed;
  `known_ahead`: raw rows before their outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.validation.batches import (
        RejectedBatch,
        SplitBatch,
        batch_name,
        check_batch,
        check_open_batch,
        split_batch,
        validate_batch,
    )
    from perennial.validation.computed_tables import check_computed_table, check_open_table, validate_computed_table
    from perennial.validation.known_ahead import rows_without_faults
    from perennial.validation.suite_validation import SuiteResult, validate
    from perennial.validation.suites import declared_expectations, suite_location, use_case_expectations

__all__ = [
    "RejectedBatch",
    "SplitBatch",
    "SuiteResult",
    "batch_name",
    "check_batch",
    "check_computed_table",
    "check_open_batch",
    "check_open_table",
    "declared_expectations",
    "rows_without_faults",
    "split_batch",
    "suite_location",
    "use_case_expectations",
    "validate",
    "validate_batch",
    "validate_computed_table",
]

__getattr__ = attributes_of(
    __name__,
    {
        ".batches": (
            *("RejectedBatch", "SplitBatch", "batch_name", "check_batch", "check_open_batch", "split_batch"),
            "validate_batch",
        ),
        ".computed_tables": ("check_computed_table", "check_open_table", "validate_computed_table"),
        ".known_ahead": ("rows_without_faults",),
        ".suite_validation": ("SuiteResult", "validate"),
        ".suites": ("declared_expectations", "suite_location", "use_case_expectations"),
    },
)
