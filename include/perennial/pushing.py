"""Brings pushed feature rows, values that somebody else computes, to the lake and the online store together.

They are rows of a feature table, in lake partitions of their own, `pushed-<partition>`, which no pipeline replaces. A
key and event time has one row: a push that says something else of one that is stored is refused, and the pipelines
leave out what was pushed before. So nothing that was pushed is lost, or changed later without anybody noticing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake, validation
from perennial._common.heavy_imports import fast_imports
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadFeatures, InvalidParams, InvalidRows, PerennialError, ServiceUnavailable
from perennial.lake import deduplication
from perennial.partitions import Partition
from perennial.services import postgres
from perennial.use_case import FeatureTable, UseCase

log = logging.getLogger(__name__)
TIME = "event_timestamp"
#: How much later than this machine's clock a row may claim to be known.
_SKEW = timedelta(minutes=1)
#: So many problems of a push are told.
_TOLD = 20


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
    content = _typed(declared, pushed, rows)
    _check_moments(declared, content)
    content = _once(pushed, content)
    _check_expectations(declared, pushed, content)
    _check_views(declared, table, content)
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
        stored = lake.read(use_case.tables[table.name], partitions=[_name(partition)], columns=_identity(table))
        kept = rows if stored is None else _without(rows, stored, _identity(table))
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
            lake.replace(identifier, _name(partition), rows, sort_by=_identity(table))


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


def _typed(use_case: UseCase, table: FeatureTable, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Table:
    """The rows in the columns and types of the lake's table."""
    stored = lake.read(use_case.tables[table.name], partitions=[])
    if stored is None:
        raise InvalidParams(
            f"Feature table {table.name!r} of use case {use_case.name!r} was never computed: its types are not known.",
            f"Run {dag_id(use_case.name, FEATURES)} for {use_case.start} first.",
        )
    schema = stored.drop_columns([lake.PARTITION]).schema
    listed = rows.to_pylist() if isinstance(rows, pa.Table) else rows
    problems: list[tuple[str, str]] = []
    for number, row in enumerate(listed):
        if not isinstance(row, Mapping):
            problems.append((f"rows[{number}]", "is no object"))
            continue
        problems += [(f"rows[{number}].{name}", "is missing") for name in schema.names if name not in row]
        problems += [
            (f"rows[{number}].{name}", "is no column of the table") for name in row if name not in schema.names
        ]
    _refuse(use_case, table, problems)
    columns = [_column(field, [row[field.name] for row in listed], problems, _identity(table)) for field in schema]
    _refuse(use_case, table, problems)
    return pa.table(columns, schema=schema)


def _column(field: pa.Field, values: list[Any], problems: list[tuple[str, str]], identity: Sequence[str]) -> pa.Array:
    converted = []
    for number, value in enumerate(values):
        path = f"rows[{number}].{field.name}"
        try:
            one = _moment(value) if pa.types.is_timestamp(field.type) else value
            converted.append(pa.scalar(one, field.type))
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            problems.append((path, f"{value!r} is no {field.type}: {error}"))
            converted.append(pa.scalar(None, field.type))
            continue
        if value is None and field.name in identity:
            problems.append((path, "has no value"))
    return pa.array([one.as_py() for one in converted], field.type)


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise TypeError("write it in ISO 8601")
    if moment.tzinfo is None:
        raise ValueError("it has no offset from UTC")
    return moment.astimezone(UTC)


def _check_moments(use_case: UseCase, rows: pa.Table) -> None:
    """Each row was known by now, and in a partition of the use case."""
    latest, problems = datetime.now(UTC) + _SKEW, []
    for number, moment in enumerate(rows[TIME].to_pylist()):
        if moment > latest:
            problems.append((f"rows[{number}].{TIME}", f"{moment.isoformat()} is yet to come"))
        elif not use_case.has_partition(use_case.cadence.at(moment)):
            problems.append((f"rows[{number}].{TIME}", f"{moment.isoformat()} is in no partition of the use case"))
    if problems:
        raise InvalidRows("The pushed rows are of no moment that features may be of.", problems=problems[:_TOLD])


def _once(table: FeatureTable, rows: pa.Table) -> pa.Table:
    """The rows, equal ones once; several rows of one key and time contradict each other."""
    frame = pl.DataFrame(rows).unique(maintain_order=True)
    repeated = frame.filter(frame.select(_identity(table)).is_duplicated())
    if repeated.height:
        _contradict(table, repeated.to_arrow().cast(rows.schema), "another row of this push")
    return frame.to_arrow().cast(rows.schema)


def _check_expectations(use_case: UseCase, table: FeatureTable, rows: pa.Table) -> None:
    """What the suite says of each row; see `validation.check_open_table`."""
    for partition, of_partition in _by_partition(use_case, rows):
        opened = partition.opened(partition.start, partition.end)
        try:
            validation.check_open_table(use_case, table.name, of_partition, opened)
        except BadFeatures as error:
            raise InvalidRows(error.problem, error.fix) from error


def _check_views(use_case: UseCase, table: str, rows: pa.Table) -> None:
    """The views of the table can serve the values in the types that they declare."""
    with fast_imports():
        from perennial.feature_store import repository

    try:
        repository.check_rows(use_case.feature_service, use_case.tables[table], rows)
    except BadFeatures as error:
        raise InvalidRows(error.problem, error.fix) from error


def _new(use_case: UseCase, table: FeatureTable, rows: pa.Table) -> pa.Table:
    """The rows of a key and time that the lake does not hold.

    Raises:
        InvalidRows: of one that it holds, it holds something else.
    """
    if not rows.num_rows:
        return rows
    times = pc.min_max(rows[TIME]).as_py()
    stored = lake.read(use_case.tables[table.name], where=lake.between_times(TIME, times["min"], times["max"]))
    assert stored is not None, "its schema was read before"  # noqa: S101
    identity = _identity(table)
    new = _without(rows, stored, identity)
    known = _without(rows, new, identity)
    changed = deduplication.rows_not_among(known, stored.select(rows.column_names))
    if changed.num_rows:
        _contradict(table, changed, "a row that is stored")
    return new


def _append(use_case: UseCase, table: FeatureTable, rows: pa.Table) -> None:
    """All rows in one commit, each in the partition of what was pushed of its own."""
    if rows.num_rows:
        names = [_name(use_case.cadence.at(moment)) for moment in rows[TIME].to_pylist()]
        placed = rows.append_column(lake.PARTITION, pa.array(names, pa.string()))
        lake.append_missing(use_case.tables[table.name], placed, key=_identity(table), fixed=TIME, lasting=False)


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


def _by_partition(use_case: UseCase, rows: pa.Table) -> Iterator[tuple[Partition, pa.Table]]:
    partitions = [use_case.cadence.at(moment) for moment in rows[TIME].to_pylist()]
    for partition in dict.fromkeys(partitions):
        yield partition, rows.filter(pa.array([each == partition for each in partitions], pa.bool_()))


def _without(rows: pa.Table, others: pa.Table, identity: Sequence[str]) -> pa.Table:
    """The rows of which there is none with the same key and time among the others."""
    frame = pl.DataFrame(rows.select(list(identity))).with_row_index("__row")
    left = frame.join(pl.DataFrame(others.select(list(identity))), on=list(identity), how="anti")["__row"].sort()
    return rows.take(left.to_arrow())


def _contradict(table: FeatureTable, rows: pa.Table, other: str) -> None:
    first = rows.select(list(_identity(table))).slice(0, 1).to_pylist()[0]
    named = ", ".join(f"{name}={value}" for name, value in first.items())
    raise InvalidRows(
        f"The row of {named} differs from {other}. Nothing was written.",
        "A value that became known later has a later event_timestamp.",
    )


def _refuse(use_case: UseCase, table: FeatureTable, problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        path, message = problems[0]
        raise InvalidRows(
            f"Use case {use_case.name!r}, feature table {table.name!r}: {path} {message}. Nothing was written.",
            "Push the key, event_timestamp and every feature of each row, in the types that the lake has.",
            problems[:_TOLD],
        )


def _identity(table: FeatureTable) -> list[str]:
    return [*table.key, TIME]


def _name(partition: Partition) -> str:
    return f"pushed-{partition.key}"


def _lock(use_case: UseCase, table: str) -> Any:
    return postgres.advisory_lock("push", use_case.tables[table])
