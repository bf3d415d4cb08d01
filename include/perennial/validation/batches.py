"""Splits a raw batch into clean and quarantined rows, and checks whether the batch as a whole may enter the lake."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from perennial.batches import UNREADABLE
from perennial.errors import BadBatch, PerennialError
from perennial.partitions import Partition
from perennial.use_case import RawTable, UseCase
from perennial.validation import messages
from perennial.validation.suite_validation import SuiteResult, validate
from perennial.validation.suites import declared_expectations, suite_location, use_case_expectations

#: Limits that a raw table's declaration in `use_case.py` sets, by the names under which a batch breaks them.
MIN_ROWS, MAX_QUARANTINED = "min_rows", "max_quarantined"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitBatch:
    """A raw batch, validated row by row.

    Attributes:
        clean: The rows that break nothing.
        quarantined: The others, as they came.
        reasons: What each quarantined row breaks: names of expectations, separated by `; `.
        result: The result of the suite for the whole batch.
        unreadable: The records that its source could not read (schema `perennial.batches.UNREADABLE`): they are
            quarantined as well, as the text that they are.
    """

    clean: pa.Table
    quarantined: pa.Table
    reasons: pa.Array
    result: SuiteResult
    unreadable: pa.Table = field(default_factory=UNREADABLE.empty_table)

    @property
    def num_rows(self) -> int:
        """How many rows arrived; not those that may as well be of another partition."""
        return self.clean.num_rows + self.num_broken

    @property
    def num_quarantined(self) -> int:
        """How many rows go to quarantine."""
        return self.quarantined.num_rows + self.unreadable.num_rows

    @property
    def num_broken(self) -> int:
        """How many of them are quarantined; only those that are known to be of the partition."""
        return self.quarantined.num_rows + sum(self.unreadable["is_placed"].to_pylist())


class RejectedBatch(BadBatch):
    """A batch that is rejected as a whole; `broken` names what it breaks, each with a message."""

    def __init__(self, problem: str, fix: str, broken: dict[str, str] | None = None) -> None:
        super().__init__(problem, fix)
        self.broken = broken or {}


def split_batch(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> SplitBatch:
    """Validate a raw batch against the table's suite and split its rows.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        rows: The batch, in the lake's types.
        partition: The partition that it is for.

    Raises:
        PerennialError: the suite itself is at fault.
    """
    suite = [*declared_expectations(table, partition), *use_case_expectations(use_case, table.name, partition)]
    location = suite_location(use_case, table.name)
    try:
        result = validate(rows, suite, location)
    except PerennialError:
        if rows.num_rows >= table.min_rows or partition.is_open:
            raise
        # That too few rows arrived explains more than that a column without values has no type.
        result = validate(rows, [], location)
    for warning in result.warnings:
        log.warning("%s: %s", batch_name(use_case, table, partition), warning)
    failing = result.failing_rows
    is_clean = np.ones(rows.num_rows, bool)
    is_clean[failing["row"].to_numpy()] = False
    return SplitBatch(
        clean=rows.filter(pa.array(is_clean)) if failing.num_rows else rows,
        quarantined=rows.take(failing["row"]),
        reasons=failing["reasons"].combine_chunks(),
        result=result,
    )


def check_batch(
    use_case: UseCase, table: RawTable, batch: SplitBatch, partition: Partition, accepted: Collection[str] = ()
) -> None:
    """Reject a batch that may not enter as a whole.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        batch: The batch, split.
        partition: The partition that it is for.
        accepted: What a person accepted of it: names of expectations, `min_rows`, `max_quarantined`.

    Raises:
        RejectedBatch: too few rows, a missing column, a failed batch-level expectation, or too many quarantined rows.
    """
    where = batch_name(use_case, table, partition)
    suite, declaration = suite_location(use_case, table.name), f"include/use_cases/{use_case.name}/use_case.py"
    if MIN_ROWS not in accepted:
        _check_row_count(table, batch, where, declaration)
    _check_columns(batch, where, suite)
    failed = {name: message for name, message in batch.result.failed_expectations.items() if name not in accepted}
    if failed:
        raise RejectedBatch(
            f"{where}: {'; '.join(failed.values())}. Nothing was written.",
            f"Fix the batch at its source and clear the task, or correct {suite} if the expectation is wrong.",
            failed,
        )
    if MAX_QUARANTINED not in accepted:
        _check_quarantined_share(table, batch, where, declaration)


def _check_row_count(table: RawTable, batch: SplitBatch, where: str, declaration: str) -> None:
    if batch.num_rows < table.min_rows:
        message = f"{batch.num_rows} rows arrived, at least {table.min_rows} are expected"
        raise RejectedBatch(
            f"{where}: {message}; nothing was written.",
            "The file may be truncated or not complete yet: fetch it again and clear the task. If so few are right,"
            f" lower min_rows in {declaration}.",
            {MIN_ROWS: message},
        )


def _check_columns(batch: SplitBatch, where: str, suite: str) -> None:
    missing, columns = batch.result.missing_columns, batch.clean.column_names
    if missing:
        names = ", ".join(messages.missing_column(column, columns) for column in missing)
        raise RejectedBatch(
            f"{where}: {suite}: the batch has no column {names}. It has {', '.join(columns)}. Nothing was written.",
            "Have the source send the column again, map it in source.py, or change the expectation.",
            {f"expect_column_to_exist({column})": f"no column {column!r}" for column in missing},
        )


def _check_quarantined_share(table: RawTable, batch: SplitBatch, where: str, declaration: str) -> None:
    rows, quarantined = batch.num_rows, batch.num_broken
    if rows and quarantined / rows > table.max_quarantined:
        placed = [row for row in batch.unreadable.to_pylist() if row["is_placed"]]
        failing = Counter(batch.result.failing_counts)
        failing.update(name for row in placed for name in row["reason"].split("; "))
        counts = "; ".join(f"{name}: {count} rows" for name, count in sorted(failing.items()))
        message = (
            f"{quarantined} of {rows} rows break an expectation or cannot be read, more than the"
            f" {table.max_quarantined:.0%} that may be quarantined ({counts})"
        )
        if placed:
            first = placed[0]
            where = f", line {first['line']}" if first["line"] else ""
            message += f"; the first that cannot be read is of {first['file']}{where}: {first['problem']}"
        raise RejectedBatch(
            f"{where}: {message}. Nothing was written.",
            f"Fix the batch at its source and clear the task, or raise max_quarantined in {declaration}.",
            {MAX_QUARANTINED: message},
        )


def check_open_batch(use_case: UseCase, table: RawTable, batch: SplitBatch, partition: Partition) -> None:
    """Reject a batch of an open partition that lacks a column.

    What is said of a batch as a whole, its size, its mean, its share of bad rows, is said of a complete partition:
    what fails of that is logged. Rows that break a critical row-level expectation do not enter in any case.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        batch: The batch, split.
        partition: The open partition that it is for.

    Raises:
        RejectedBatch: a column is missing.
    """
    where = batch_name(use_case, table, partition)
    _check_columns(batch, where, suite_location(use_case, table.name))
    for message in batch.result.failed_expectations.values():
        log.info("%s, until %s: %s", where, partition.until, message)


def validate_batch(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> SplitBatch:
    """Split a raw batch, and check that it may enter as a whole.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        rows: The batch, in the lake's types.
        partition: The partition that it is for.

    Raises:
        RejectedBatch: it may not, see `check_batch`. Nothing of it may be written then.
        PerennialError: the suite itself is at fault.
    """
    batch = split_batch(use_case, table, rows, partition)
    check_batch(use_case, table, batch, partition)
    return batch


def batch_name(use_case: UseCase, table: RawTable, partition: Partition) -> str:
    """A batch as errors and logs name it.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        partition: The partition that it is for.
    """
    return f"Use case {use_case.name!r}, raw table {table.name!r}, partition {partition.key!r}"
