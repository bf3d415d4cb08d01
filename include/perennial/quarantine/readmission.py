"""Puts rows that a person released among the clean rows of a batch, validated again together with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa

from perennial import lake, validation
from perennial._common.duckdb_session import fetch_table, open_session
from perennial._common.sql_quoting import quote_ident
from perennial.errors import SchemaMismatch
from perennial.lake import column_types
from perennial.lake.column_types import ColumnPlan
from perennial.partitions import Partition
from perennial.quarantine import files, store
from perennial.quarantine.states import TYPES, ReviewAction
from perennial.quarantine.store import ReviewDecision
from perennial.use_case import RawTable, UseCase
from perennial.validation import RejectedBatch, SplitBatch, declared_expectations, split_batch
from perennial.validation.messages import expectation_name


@dataclass(frozen=True)
class Readmitted:
    """A batch with the released rows.

    Attributes:
        batch: The batch: released rows are among the clean ones.
        released: How many rows were put there.
        superseded: Released rows whose key has arrived clean meanwhile: those stay out, for good.
        rejected: Released rows that still break something, and what.
    """

    batch: SplitBatch
    released: int = 0
    superseded: list[ReviewDecision] = field(default_factory=list)
    rejected: list[tuple[ReviewDecision, str]] = field(default_factory=list)


def required_expectations(table: RawTable, partition: Partition) -> set[str]:
    """Names of the expectations that nobody can waive: without a key, or outside the partition, a row is lost.

    Args:
        table: The raw table.
        partition: The partition that the rows must be in.
    """
    return {expectation_name(each.configuration) for each in declared_expectations(table, partition)}


def readmit(
    use_case: UseCase, table: RawTable, partition: Partition, batch: SplitBatch, released: Sequence[ReviewDecision]
) -> Readmitted:
    """Put released rows among the clean ones of a batch, if they pass the current suite or a person accepted them.

    A released row is validated among the clean rows, as if it had come with them. A clean row with its key is newer
    and wins. Released rows enter whether or not the source still sends them.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        partition: The partition that it is for.
        batch: The batch, split by itself.
        released: Decisions to release rows of this table and partition.
    """
    if not released:
        return Readmitted(batch)
    batch, rows, decisions, misfits = _contents(use_case, table, batch, released)
    has_newer = _key_is_in(batch.clean, rows, table.key)
    superseded = [each for each, newer in zip(decisions, has_newer, strict=True) if newer]
    remaining = np.flatnonzero(~has_newer)
    rows, decisions = rows.take(remaining), [decisions[number] for number in remaining]
    reasons = _reasons(use_case, table, partition, batch.clean, rows)
    required = required_expectations(table, partition)
    passes = [not (set(why) - (each.accepted - required)) for why, each in zip(reasons, decisions, strict=True)]
    rejected = misfits | {
        each.item: "; ".join(why) for each, why, fits in zip(decisions, reasons, passes, strict=True) if not fits
    }
    entering = rows.filter(pa.array(passes, pa.bool_()))
    entered = {each.item for each, fits in zip(decisions, passes, strict=True) if fits}
    return Readmitted(
        batch=_with_entered(batch, entered, entering),
        released=entering.num_rows,
        superseded=superseded,
        rejected=[(each, rejected[each.item]) for each in released if each.item in rejected],
    )


def _contents(
    use_case: UseCase, table: RawTable, batch: SplitBatch, released: Sequence[ReviewDecision]
) -> tuple[SplitBatch, pa.Table, list[ReviewDecision], dict[str, str]]:
    """The batch and the released rows in the same columns, and the decisions in the rows' order.

    Columns of the batch that a row lacks are null, and those that the batch lacks do not enter. Rows whose values
    would change are left out: item -> what does not fit.
    """
    together, decisions, misfits = batch.clean, [], {}
    by_file: dict[str, list[ReviewDecision]] = {}
    for each in released:
        by_file.setdefault(each.content, []).append(each)
    queue = [
        (files.content(use_case, name).take([each.position for each in group]), group)
        for name, group in by_file.items()
    ]
    while queue:
        rows, group = queue.pop()
        rows = rows.select([name for name in together.column_names if name in rows.column_names])
        fit, misfit = _fit(use_case.tables[table.name], together, rows)
        if not misfit:
            together = _joined(together, rows, fit)
            decisions += group
        elif len(group) > 1:
            # Some of those that were quarantined together may fit all the same.
            queue += [(rows.slice(number, 1), [each]) for number, each in enumerate(group)]
        else:
            misfits[group[0].item] = misfit
    count = batch.clean.num_rows
    return replace(batch, clean=together.slice(0, count)), together.slice(count), decisions, misfits


def _fit(identifier: str, batch: pa.Table, rows: pa.Table) -> tuple[ColumnPlan, str]:
    """How the batch's columns take `rows` in, and what neither they nor the lake's can hold; empty: they hold all."""
    try:
        lake.check_schema(identifier, rows)
    except SchemaMismatch as error:
        return ColumnPlan(), f"the types of the lake: {', '.join(error.columns)}"
    fit = column_types.plan_columns(rows, batch.schema, lambda column: batch[column.name].null_count < batch.num_rows)
    return fit, f"the types of the batch: {', '.join(fit.misfits)}" if fit.misfits else ""


def _joined(batch: pa.Table, rows: pa.Table, fit: ColumnPlan) -> pa.Table:
    """The batch with `rows` behind it, in columns that hold both."""
    types = {name: rows.schema.field(name).type for name in fit.empty} | fit.promoted
    schema = pa.schema([pa.field(column.name, types.get(column.name, column.type)) for column in batch.schema])
    return pa.concat_tables([column_types.conform(schema, each) for each in (batch, rows)])


def _key_is_in(clean: pa.Table, rows: pa.Table, key: Sequence[str]) -> np.ndarray:
    """For each of `rows`, whether a clean row has its key (bool)."""
    is_in = np.zeros(rows.num_rows, bool)
    if not rows.num_rows or not clean.num_rows:
        return is_in
    numbered = rows.select(list(key)).append_column("__row__", pa.array(np.arange(rows.num_rows)))
    columns = ", ".join(map(quote_ident, key))
    with open_session(clean=clean, released=numbered) as connection:
        matches = fetch_table(connection, f"SELECT DISTINCT __row__ FROM released SEMI JOIN clean USING ({columns})")  # noqa: S608
        is_in[matches["__row__"].to_numpy()] = True
    return is_in


def _reasons(
    use_case: UseCase, table: RawTable, partition: Partition, clean: pa.Table, rows: pa.Table
) -> list[list[str]]:
    """What each of `rows` breaks among the clean ones."""
    reasons: list[list[str]] = [[] for _ in range(rows.num_rows)]
    if rows.num_rows:
        failing = split_batch(use_case, table, pa.concat_tables([clean, rows]), partition).result.failing_rows
        for number, why in zip(failing["row"].to_pylist(), failing["reasons"].to_pylist(), strict=True):
            if number >= clean.num_rows:
                reasons[number - clean.num_rows] = why.split("; ")
    return reasons


def _with_entered(batch: SplitBatch, entered: set[str], rows: pa.Table) -> SplitBatch:
    """The batch with `rows` among the clean ones; those that the source sent too are no longer quarantined."""
    _, items = store.identify_rows(batch.quarantined)
    stay = pa.array([item not in entered for item in items], pa.bool_())
    return replace(
        batch,
        clean=pa.concat_tables([batch.clean, rows]),
        quarantined=batch.quarantined.filter(stay),
        reasons=batch.reasons.filter(stay),
    )


def check_types(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> None:
    """Check that the lake's table can hold a batch without changing a value, before any table is written.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        rows: The rows that are to enter.
        partition: The partition that the batch is for.

    Raises:
        RejectedBatch: it cannot.
    """
    try:
        lake.check_schema(use_case.tables[table.name], rows)
    except SchemaMismatch as error:
        where = validation.batch_name(use_case, table, partition)
        raise RejectedBatch(f"{where}: {error.problem}", error.fix, {TYPES: error.problem}) from error


def record_outcome(use_case: UseCase, partition: Partition, readmitted: Readmitted) -> None:
    """Record which released rows did not enter: a clean one took their place, or they break something again.

    Args:
        use_case: The use case.
        partition: The partition of the batch.
        readmitted: The batch with the released rows.
    """
    store.record_decisions(
        use_case,
        partition,
        ReviewAction.SUPERSEDED,
        map(asdict, readmitted.superseded),
        actor="ingest",
        reason="A clean row with its key has arrived.",
    )
    for decision, why in readmitted.rejected:
        reason, items = f"It breaks {why}.", [asdict(decision)]
        store.record_decisions(use_case, partition, ReviewAction.REJECTED_AGAIN, items, actor="ingest", reason=reason)
