"""The way back: rows that a person released, put among the clean ones of a batch."""

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
from perennial.quarantine.states import TYPES
from perennial.quarantine.store import Decision
from perennial.use_case import RawTable, UseCase
from perennial.validation import RejectedBatch, SplitBatch, declared_expectations, split_batch
from perennial.validation.messages import expectation_name


@dataclass(frozen=True)
class Returned:
    """A batch with what was released.

    Attributes:
        parted: The batch: released rows are among the clean ones.
        released: How many rows returned.
        superseded: Released rows whose key has arrived clean meanwhile: those stay out, for good.
        refused: Released rows that still break something, and what.
    """

    parted: SplitBatch
    released: int = 0
    superseded: list[Decision] = field(default_factory=list)
    refused: list[tuple[Decision, str]] = field(default_factory=list)


def unacceptable(table: RawTable, partition: Partition) -> set[str]:
    """What nobody can accept: without a key, or outside the partition, a row cannot be found again."""
    return {expectation_name(each.configuration) for each in declared_expectations(table, partition)}


def bring_back(
    use_case: UseCase, table: RawTable, partition: Partition, parted: SplitBatch, released: Sequence[Decision]
) -> Returned:
    """Put released rows among the clean ones of `parted`, if the present suite lets them, or they were accepted.

    A released row is judged among the clean rows, as if it had come with them. A clean row with its key is newer: it
    wins. Released rows return whether or not the source still sends them.

    Args:
        use_case, table, partition: Whose they are.
        parted: The batch as judged by itself.
        released: Decisions on rows of this table and partition.
    """
    if not released:
        return Returned(parted)
    parted, rows, decisions, misfits = _contents(use_case, table, parted, released)
    taken = _with_the_key_of(parted.clean, rows, table.key)
    superseded = [each for each, is_taken in zip(decisions, taken, strict=True) if is_taken]
    left = np.flatnonzero(~taken)
    rows, decisions = rows.take(left), [decisions[place] for place in left]
    reasons = _reasons(use_case, table, partition, parted.clean, rows)
    allowed = [
        not (set(why) - (each.accepted - unacceptable(table, partition)))
        for why, each in zip(reasons, decisions, strict=True)
    ]
    refused = {
        each.item: "; ".join(why) for each, why, fits in zip(decisions, reasons, allowed, strict=True) if not fits
    }
    refused |= misfits
    entering = rows.filter(pa.array(allowed, pa.bool_()))
    returned = {each.item for each, fits in zip(decisions, allowed, strict=True) if fits}
    return Returned(
        parted=_without(parted, returned, entering),
        released=entering.num_rows,
        superseded=superseded,
        refused=[(each, refused[each.item]) for each in released if each.item in refused],
    )


def _contents(
    use_case: UseCase, table: RawTable, parted: SplitBatch, released: Sequence[Decision]
) -> tuple[SplitBatch, pa.Table, list[Decision], dict[str, str]]:
    """The batch and the released rows in the same columns, and the decisions in the rows' order.

    Columns of the batch that a row lacks are null, and those that the batch lacks are not entered. Rows whose values
    would become others are left out: item -> what does not fit.
    """
    together, decisions, misfits = parted.clean, [], {}
    by_file: dict[str, list[Decision]] = {}
    for each in released:
        by_file.setdefault(each.content, []).append(each)
    waiting = [
        (files.content(use_case, name).take([each.position for each in some]), some) for name, some in by_file.items()
    ]
    while waiting:
        rows, some = waiting.pop()
        rows = rows.select([name for name in together.column_names if name in rows.column_names])
        fit, misfit = _fit(use_case.tables[table.name], together, rows)
        if not misfit:
            together = _joined(together, rows, fit)
            decisions += some
        elif len(some) > 1:
            # Some of those that were refused together may fit all the same.
            waiting += [(rows.slice(place, 1), [each]) for place, each in enumerate(some)]
        else:
            misfits[some[0].item] = misfit
    count = parted.clean.num_rows
    return replace(parted, clean=together.slice(0, count)), together.slice(count), decisions, misfits


def _fit(identifier: str, batch: pa.Table, rows: pa.Table) -> tuple[ColumnPlan, str]:
    """How the batch's columns take `rows` in, and what of them neither they nor the lake's can hold; empty: nothing."""
    try:
        lake.check_schema(identifier, rows)
    except SchemaMismatch as error:
        return ColumnPlan(), f"the types of the lake: {', '.join(error.columns)}"
    fit = column_types.plan_columns(rows, batch.schema, lambda column: batch[column.name].null_count < batch.num_rows)
    return fit, f"the types of the batch: {', '.join(fit.misfits)}" if fit.misfits else ""


def _joined(batch: pa.Table, rows: pa.Table, fit: ColumnPlan) -> pa.Table:
    """The batch with `rows` behind it, in columns that hold both."""
    kinds = {name: rows.schema.field(name).type for name in fit.empty} | fit.promoted
    schema = pa.schema([pa.field(column.name, kinds.get(column.name, column.type)) for column in batch.schema])
    return pa.concat_tables([column_types.conform(schema, each) for each in (batch, rows)])


def _with_the_key_of(clean: pa.Table, rows: pa.Table, key: Sequence[str]) -> np.ndarray:
    """Which of `rows` have a key that a clean row has."""
    taken = np.zeros(rows.num_rows, bool)
    if not rows.num_rows or not clean.num_rows:
        return taken
    numbered = rows.select(list(key)).append_column("__row__", pa.array(np.arange(rows.num_rows)))
    quoted = ", ".join(map(quote_ident, key))
    with open_session(clean=clean, released=numbered) as connection:
        found = fetch_table(connection, f"SELECT DISTINCT __row__ FROM released SEMI JOIN clean USING ({quoted})")  # noqa: S608
        taken[found["__row__"].to_numpy()] = True
    return taken


def _reasons(
    use_case: UseCase, table: RawTable, partition: Partition, clean: pa.Table, rows: pa.Table
) -> list[list[str]]:
    """What each of `rows` breaks among the clean ones."""
    reasons: list[list[str]] = [[] for _ in range(rows.num_rows)]
    if rows.num_rows:
        broken = split_batch(use_case, table, pa.concat_tables([clean, rows]), partition).result.failing_rows
        for number, why in zip(broken["row"].to_pylist(), broken["reasons"].to_pylist(), strict=True):
            if number >= clean.num_rows:
                reasons[number - clean.num_rows] = why.split("; ")
    return reasons


def _without(parted: SplitBatch, returned: set[str], entering: pa.Table) -> SplitBatch:
    """The batch with what returned among the clean rows, and no longer among the refused ones if the source sent it."""
    _, items = store.identify(parted.quarantined)
    stay = pa.array([item not in returned for item in items], pa.bool_())
    return replace(
        parted,
        clean=pa.concat_tables([parted.clean, entering]),
        quarantined=parted.quarantined.filter(stay),
        reasons=parted.reasons.filter(stay),
    )


def insist_on_types(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> None:
    """Refuse a batch whose values the lake's table would turn into others, before any table is written.

    Raises:
        RejectedBatch: there are such.
    """
    try:
        lake.check_schema(use_case.tables[table.name], rows)
    except SchemaMismatch as error:
        where = validation.batch_name(use_case, table, partition)
        raise RejectedBatch(f"{where}: {error.problem}", error.fix, {TYPES: error.problem}) from error


def settle(use_case: UseCase, partition: Partition, returned: Returned) -> None:
    """Record what a run found about released rows: a clean one took their place, or they break something again."""
    store.decide(
        use_case,
        partition,
        "superseded",
        map(asdict, returned.superseded),
        actor="ingest",
        reason="A clean row with its key has arrived.",
    )
    for decision, why in returned.refused:
        reason = f"It breaks {why}."
        store.decide(use_case, partition, "refused", [asdict(decision)], actor="ingest", reason=reason)
