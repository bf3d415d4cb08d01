"""Brings pushed feature rows, values that somebody else computes, to the lake and the online store together.

They are rows of a feature table, in lake partitions of their own, `pushed-<partition>`, which no pipeline replaces. A
key and event time has one row: a push that says something else of one that is stored is refused, and the pipelines
leave out what was pushed before. So nothing that was pushed is lost, or changed later without anybody noticing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import InvalidParams, PerennialError, ServiceUnavailable
from perennial.lake import deduplication
from perennial.partitions import Partition
from perennial.pushing import checking
from perennial.services import postgres
from perennial.use_case import FeatureTable, UseCase

log = logging.getLogger(__name__)


def push(use_case: str, table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> dict[str, Any]:
    """Bring rows of a feature table to the lake and the online store: all of them, or none.

    The lake comes first, in one commit. If the online store fails then, repeating the push brings the rest, and so does
    the next run of `features` or `refresh`; repeating one that succeeded changes nothing. Online, only a row with a
    later event time replaces another.

    Args:
        use_case: Its name.
        table: A feature table that declares `pushed=True`.
        rows: The key, `event_timestamp` (when the values became known, with its offset from UTC) and every feature; a
            feature may be null. Times may be text in ISO 8601.

    Returns:
        How many rows were `new` and how many `known` already, and entities written `online` by view.

    Raises:
        InvalidParams: the table does not exist or takes no pushed rows.
        InvalidRows: a row lacks a column or has another one, does not fit its type, is of the future or of no
            partition, breaks an expectation, or contradicts a stored row of the same key and time. Nothing was written.
        ServiceUnavailable: the lake or the online store does not answer; the error says what was written.
    """
    from perennial import discovery

    declared = discovery.load(use_case)
    pushed = _pushed_table(declared, table)
    content = checking.valid_rows(declared, pushed, rows)
    with _lock(declared, table):
        new = _new(declared, pushed, content)
        _append(declared, pushed, new)
    online = _bring_online(declared, table, content)
    log.info("%s.%s: %d rows pushed, %d of them new", use_case, table, content.num_rows, new.num_rows)
    return {"new": new.num_rows, "known": content.num_rows - new.num_rows, "online": online}


@contextmanager
def beside_pushed(use_case: UseCase, table: FeatureTable, rows: pa.Table, partition: Partition) -> Iterator[pa.Table]:
    """Computed rows without those of a key and time that were pushed before; nothing is pushed inside the block.

    Args:
        use_case: The use case.
        table: The feature table.
        rows: Its computed rows.
        partition: Their partition.
    """
    if not table.pushed:
        yield rows
        return
    with _lock(use_case, table.name):
        stored = lake.read(
            use_case.tables[table.name], partitions=[_name(partition)], columns=checking.identity_of(table)
        )
        kept = rows if stored is None else _without(rows, stored, checking.identity_of(table))
        if left_out := rows.num_rows - kept.num_rows:
            log.info("%s.%s %s: %d rows were pushed before", use_case.name, table.name, partition, left_out)
        yield kept


def settle(use_case: UseCase, table: FeatureTable, partition: Partition) -> None:
    """Store what was pushed of a complete partition in one file, in a snapshot that lasts.

    Args:
        use_case: The use case.
        table: The feature table.
        partition: The partition.
    """
    if not table.pushed:
        return
    identifier = use_case.tables[table.name]
    with _lock(use_case, table.name):
        rows = lake.read(identifier, partitions=[_name(partition)])
        if rows is not None and rows.num_rows:
            lake.replace(identifier, _name(partition), rows, sort_by=checking.identity_of(table))


def _pushed_table(use_case: UseCase, name: str) -> FeatureTable:
    table = next((each for each in use_case.features if each.name == name), None)
    where = f"include/use_cases/{use_case.name}/use_case.py"
    if table is None:
        known = ", ".join(each.name for each in use_case.features if each.pushed) or "none"
        raise InvalidParams(f"Use case {use_case.name!r} has no feature table {name!r}.", f"Pushed tables: {known}.")
    if not table.pushed:
        raise InvalidParams(
            f"Feature table {name!r} of use case {use_case.name!r} takes no pushed rows.",
            f"Declare it with pushed=True in {where}.",
        )
    return table


def _new(use_case: UseCase, table: FeatureTable, rows: pa.Table) -> pa.Table:
    """The rows of a key and time that the lake does not hold.

    Raises:
        InvalidRows: of one that it holds, it holds something else.
    """
    if not rows.num_rows:
        return rows
    times = pc.min_max(rows[checking.TIME]).as_py()
    stored = lake.read(use_case.tables[table.name], where=lake.between_times(checking.TIME, times["min"], times["max"]))
    assert stored is not None, "its schema was read before"  # noqa: S101
    identity = checking.identity_of(table)
    new = _without(rows, stored, identity)
    known = _without(rows, new, identity)
    changed = deduplication.rows_not_among(known, stored.select(rows.column_names))
    if changed.num_rows:
        checking.contradict(table, changed, "a row that is stored")
    return new


def _append(use_case: UseCase, table: FeatureTable, rows: pa.Table) -> None:
    """All rows in one commit, each in the partition of what was pushed of its own."""
    if rows.num_rows:
        names = [_name(use_case.cadence.at(moment)) for moment in rows[checking.TIME].to_pylist()]
        placed = rows.append_column(lake.PARTITION, pa.array(names, pa.string()))
        lake.append_missing(
            use_case.tables[table.name], placed, key=checking.identity_of(table), fixed=checking.TIME, lasting=False
        )


def _bring_online(use_case: UseCase, table: str, rows: pa.Table) -> dict[str, int]:
    """Write the rows online, known ones too: an earlier push of them may have ended before it came so far."""
    from perennial.feature_store import repository

    try:
        return repository.write_online(use_case.feature_service, use_case.tables[table], rows)
    except Exception as error:
        reason = error.problem if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        raise ServiceUnavailable(
            f"Use case {use_case.name!r}, feature table {table!r}: the rows are in the lake, but the online store does"
            f" not take them. {reason}",
            f"Push them again, which is safe; {dag_id(use_case.name, FEATURES)} brings them too.",
        ) from error


def _without(rows: pa.Table, others: pa.Table, identity: Sequence[str]) -> pa.Table:
    """The rows of which there is none with the same key and time among the others."""
    frame = pl.DataFrame(rows.select(list(identity))).with_row_index("__row")
    left = frame.join(pl.DataFrame(others.select(list(identity))), on=list(identity), how="anti")["__row"].sort()
    return rows.take(left.to_arrow())


def _name(partition: Partition) -> str:
    return f"pushed-{partition.key}"


def _lock(use_case: UseCase, table: str) -> Any:
    return postgres.advisory_lock("push", use_case.tables[table])
