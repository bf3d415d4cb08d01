"""Bad batches: makes a source send rows that are rejected."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa

from perennial.partitions import Partition
from perennial.use_case import UseCase

#: Some rows are bad; there are too few rows; most rows are bad.
BAD_ROWS, FEW_ROWS, MANY_BAD_ROWS = "bad rows", "few rows", "many bad rows"
#: What a silent meter's row breaks, and a person accepts.
NULL = "expect_column_values_to_not_be_null(kwh)"


def make_source_send(use_case: UseCase, what: str) -> None:
    """From now on, in this process, the source sends readings changed in this way; unchanged if `what` is empty."""
    module = use_case.module("source")
    original, change = module.readings, _CHANGES.get(what)
    if change is not None:
        module.readings = lambda partition: change(original(partition), partition)


def _with_bad_rows(rows: pa.Table, partition: Partition) -> pa.Table:
    """A silent meter, one that counts wildly, a reading of yesterday's, and a reading twice."""
    kwh, read_at = rows["kwh"].to_pylist(), rows["read_at"].to_pylist()
    kwh[10], kwh[40] = None, 1000.5
    read_at[70] = partition.start - timedelta(hours=1)
    bad = rows.set_column(rows.column_names.index("kwh"), "kwh", pa.array(kwh, pa.float64()))
    bad = bad.set_column(
        rows.column_names.index("read_at"), "read_at", pa.array(read_at, rows.schema.field("read_at").type)
    )
    return pa.concat_tables([bad, bad.slice(100, 1)])


def _with_few_rows(rows: pa.Table, _: Partition) -> pa.Table:
    """A third of the hours of each meter."""
    return rows.take(list(range(0, rows.num_rows, 3)))


def _with_many_bad_rows(rows: pa.Table, _: Partition) -> pa.Table:
    """Every second reading is nonsense."""
    kwh = [-500.0 if number % 2 else value for number, value in enumerate(rows["kwh"].to_pylist())]
    return rows.set_column(rows.column_names.index("kwh"), "kwh", pa.array(kwh, pa.float64()))


_CHANGES = {BAD_ROWS: _with_bad_rows, FEW_ROWS: _with_few_rows, MANY_BAD_ROWS: _with_many_bad_rows}
