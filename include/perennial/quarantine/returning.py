"""The way back: rows that a person released, put among the clean ones of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa

from perennial.duck import over, selected
from perennial.partitions import Partition
from perennial.quarantine import files, keeping
from perennial.quarantine.keeping import Decision
from perennial.use_case import RawTable, UseCase
from perennial.validation import Parted, declared, part
from perennial.validation.sentences import name as name_of

#: Why a row cannot return whose values do not fit the columns that the batch has.
ANOTHER_TYPE = "another type than the batch"


@dataclass(frozen=True)
class Returned:
    """A batch with what was released.

    Attributes:
        parted: The batch: released rows are among the clean ones.
        released: How many rows returned.
        superseded: Released rows whose key has arrived clean meanwhile: those stay out, for good.
        refused: Released rows that still break something, and what.
    """

    parted: Parted
    released: int = 0
    superseded: list[Decision] = field(default_factory=list)
    refused: list[tuple[Decision, str]] = field(default_factory=list)


def unacceptable(table: RawTable, partition: Partition) -> set[str]:
    """What nobody can accept: without a key, or outside the partition, a row cannot be found again."""
    return {name_of(each.configuration) for each in declared(table, partition)}


def bring_back(
    use_case: UseCase, table: RawTable, partition: Partition, parted: Parted, released: Sequence[Decision]
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
    rows, decisions, misfits = _contents(use_case, released, parted.clean.schema)
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
    refused |= {each.item: ANOTHER_TYPE for each in misfits}
    entering = rows.filter(pa.array(allowed, pa.bool_()))
    returned = {each.item for each, fits in zip(decisions, allowed, strict=True) if fits}
    return Returned(
        parted=_without(parted, returned, entering),
        released=entering.num_rows,
        superseded=superseded,
        refused=[(each, refused[each.item]) for each in released if each.item in refused],
    )


def _contents(
    use_case: UseCase, released: Sequence[Decision], schema: pa.Schema
) -> tuple[pa.Table, list[Decision], list[Decision]]:
    """The released rows in the types of the batch, their decisions in the same order, and those that do not fit."""
    fitting, decisions, misfits = [schema.empty_table()], [], []
    by_file: dict[str, list[Decision]] = {}
    for each in released:
        by_file.setdefault(each.content, []).append(each)
    for name, some in by_file.items():
        rows = files.get(use_case, name).take([each.position for each in some])
        try:
            fitting.append(_in_schema(rows, schema))
            decisions += some
        except pa.ArrowInvalid:
            misfits += some
    return pa.concat_tables(fitting), decisions, misfits


def _in_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """`rows` in the batch's columns; those that they lack are null, those that it lacks are not entered.

    Raises:
        pa.ArrowInvalid: a value is not one of its column's type.
    """
    columns = []
    for column in schema:
        if column.name not in rows.column_names:
            columns.append(pa.nulls(rows.num_rows, column.type))
        else:
            try:
                columns.append(rows[column.name].cast(column.type))
            except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
                raise pa.ArrowInvalid(str(error)) from error
    return pa.table(columns, schema=schema)


def _with_the_key_of(clean: pa.Table, rows: pa.Table, key: Sequence[str]) -> np.ndarray:
    """Which of `rows` have a key that a clean row has."""
    taken = np.zeros(rows.num_rows, bool)
    if not rows.num_rows or not clean.num_rows:
        return taken
    numbered = rows.select(list(key)).append_column("__row__", pa.array(np.arange(rows.num_rows)))
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in key)
    with over(clean=clean, released=numbered) as connection:
        found = selected(connection, f"SELECT DISTINCT __row__ FROM released SEMI JOIN clean USING ({quoted})")  # noqa: S608
        taken[found["__row__"].to_numpy()] = True
    return taken


def _reasons(
    use_case: UseCase, table: RawTable, partition: Partition, clean: pa.Table, rows: pa.Table
) -> list[list[str]]:
    """What each of `rows` breaks among the clean ones."""
    reasons: list[list[str]] = [[] for _ in range(rows.num_rows)]
    if rows.num_rows:
        broken = part(use_case, table, pa.concat_tables([clean, rows]), partition).judgement.broken_rows
        for number, why in zip(broken["row"].to_pylist(), broken["reasons"].to_pylist(), strict=True):
            if number >= clean.num_rows:
                reasons[number - clean.num_rows] = why.split("; ")
    return reasons


def _without(parted: Parted, returned: set[str], entering: pa.Table) -> Parted:
    """The batch with what returned among the clean rows, and no longer among the refused ones if the source sent it."""
    _, items = keeping.identify(parted.refused)
    stay = pa.array([item not in returned for item in items], pa.bool_())
    return replace(
        parted,
        clean=pa.concat_tables([parted.clean, entering]),
        refused=parted.refused.filter(stay),
        reasons=parted.reasons.filter(stay),
    )


def settle(use_case: UseCase, partition: Partition, returned: Returned) -> None:
    """Record what a run found about released rows: a clean one took their place, or they break something again."""
    keeping.decide(
        use_case,
        partition,
        "superseded",
        map(asdict, returned.superseded),
        actor="ingest",
        reason="A clean row with its key has arrived.",
    )
    for decision, why in returned.refused:
        reason = f"It breaks {why}."
        keeping.decide(use_case, partition, "refused", [asdict(decision)], actor="ingest", reason=reason)
