"""Raw batches: which rows may enter, and whether the batch may."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from perennial.errors import BadBatch, PerennialError
from perennial.partitions import Partition
from perennial.use_case import RawTable, UseCase
from perennial.validation import sentences
from perennial.validation.judging import Judgement, judge
from perennial.validation.suites import declared, expectations_of, place

#: What a batch breaks that no expectation says but its declaration in `use_case.py`.
MIN_ROWS, MAX_QUARANTINED = "min_rows", "max_quarantined"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parted:
    """A raw batch, judged row by row.

    Attributes:
        clean: The rows that break nothing.
        refused: The others, as they came.
        reasons: What each refused row breaks: names of expectations, separated by `; `.
        judgement: What the suite says of the whole.
    """

    clean: pa.Table
    refused: pa.Table
    reasons: pa.Array
    judgement: Judgement

    @property
    def rows(self) -> int:
        return self.clean.num_rows + self.refused.num_rows


class UnfitBatch(BadBatch):
    """A batch that is refused as a whole; `broken` names what it breaks, each with a sentence."""

    def __init__(self, problem: str, fix: str, broken: dict[str, str] | None = None) -> None:
        super().__init__(problem, fix)
        self.broken = broken or {}


def part(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> Parted:
    """Judge a raw batch by the table's suite and part its rows."""
    suite = [*declared(table, partition), *expectations_of(use_case, table.name, partition)]
    try:
        judgement = judge(rows, suite, place(use_case, table.name))
    except PerennialError:
        if rows.num_rows >= table.min_rows:
            raise
        # That so few arrived says more than that a column of nothing has no type.
        judgement = judge(rows, [], place(use_case, table.name))
    for warning in judgement.warnings:
        log.warning("%s: %s", batch_name(use_case, table, partition), warning)
    broken = judgement.broken_rows
    keep = np.ones(rows.num_rows, bool)
    keep[broken["row"].to_numpy()] = False
    return Parted(
        clean=rows.filter(pa.array(keep)) if broken.num_rows else rows,
        refused=rows.take(broken["row"]),
        reasons=broken["reasons"].combine_chunks(),
        judgement=judgement,
    )


def insist_on_batch(
    use_case: UseCase, table: RawTable, parted: Parted, partition: Partition, accepted: Collection[str] = ()
) -> None:
    """Refuse a batch that may not enter as a whole.

    Args:
        use_case, table, partition: Whose it is.
        parted: The batch.
        accepted: What a person accepted of it: names of expectations, `min_rows`, `max_quarantined`.

    Raises:
        UnfitBatch: too few rows, a missing column, a failed batch-level expectation, or too many quarantined rows.
    """
    where = batch_name(use_case, table, partition)
    suite, declaration = place(use_case, table.name), f"include/use_cases/{use_case.name}/use_case.py"
    judgement, rows, refused = parted.judgement, parted.rows, parted.refused.num_rows
    if rows < table.min_rows and MIN_ROWS not in accepted:
        sentence = f"{rows} rows arrived, at least {table.min_rows} are expected"
        raise UnfitBatch(
            f"{where}: {sentence}; nothing was written.",
            "The file may be truncated or not complete yet: fetch it again and clear the task. If so few are right,"
            f" lower min_rows in {declaration}.",
            {MIN_ROWS: sentence},
        )
    if judgement.absent:
        columns = parted.clean.column_names
        hints = ", ".join(sentences.absent(column, columns) for column in judgement.absent)
        raise UnfitBatch(
            f"{where}: {suite}: the batch has no column {hints}. It has {', '.join(columns)}. Nothing was written.",
            "Have the source send the column again, map it in source.py, or change the expectation.",
            {f"expect_column_to_exist({column})": f"no column {column!r}" for column in judgement.absent},
        )
    broken = {name: sentence for name, sentence in judgement.broken_batch.items() if name not in accepted}
    if broken:
        raise UnfitBatch(
            f"{where}: {'; '.join(broken.values())}. Nothing was written.",
            f"Mend the batch at its source and clear the task, or correct {suite} if the expectation is wrong.",
            broken,
        )
    if rows and refused / rows > table.max_quarantined and MAX_QUARANTINED not in accepted:
        counts = "; ".join(f"{name}: {number} rows" for name, number in sorted(judgement.counts.items()))
        sentence = (
            f"{refused} of {rows} rows break an expectation, more than the {table.max_quarantined:.0%} that may be"
            f" quarantined ({counts})"
        )
        raise UnfitBatch(
            f"{where}: {sentence}. Nothing was written.",
            f"Mend the batch at its source and clear the task, or raise max_quarantined in {declaration}.",
            {MAX_QUARANTINED: sentence},
        )


def split(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> Parted:
    """Judge a raw batch and part it.

    Raises:
        UnfitBatch: it may not enter as a whole, see `insist_on_batch`. Nothing of it may be written then.
    """
    parted = part(use_case, table, rows, partition)
    insist_on_batch(use_case, table, parted, partition)
    return parted


def insist(
    use_case: UseCase, name: str, rows: pa.Table, partition: Partition | None, error: type[PerennialError]
) -> Judgement:
    """Judge a table that Perennial computed itself; any broken critical expectation is an error.

    Raises:
        PerennialError: of class `error`; the suite is not kept.
    """
    judgement = judge(rows, expectations_of(use_case, name, partition), place(use_case, name), by_row=False)
    insist_on(use_case, name, judgement, partition, error)
    return judgement


def insist_on(
    use_case: UseCase,
    name: str,
    judgement: Judgement,
    partition: Partition | None,
    error: type[PerennialError],
    more: str = "",
) -> None:
    """Raise `error`, which says `more`, if a computed table broke a critical expectation."""
    broken = list(judgement.broken_batch.values())
    broken += [f"no column {column!r}" for column in judgement.absent]
    if broken:
        where = f", partition {partition.key!r}" if partition else ""
        raise error(
            f"Use case {use_case.name!r}, table {name!r}{where}: {'; '.join(broken)}. Nothing was written.{more}",
            f"Look at transforms.py, or correct {place(use_case, name)} if the expectation is wrong.",
        )


def batch_name(use_case: UseCase, table: RawTable, partition: Partition) -> str:
    """A batch as errors and logs name it."""
    return f"Use case {use_case.name!r}, raw table {table.name!r}, partition {partition.key!r}"
