"""Checks pushed rows: columns, types, moments, expectations, and what the views declare, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from perennial import lake, validation
from perennial._common.heavy_imports import fast_imports
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadFeatures, InvalidParams, InvalidRows
from perennial.partitions import Partition
from perennial.use_case import FeatureTable, UseCase

TIME = "event_timestamp"
#: How much later than this machine's clock a row may claim to be known.
_SKEW = timedelta(minutes=1)
#: So many problems of a push are told.
_TOLD = 20


def valid_rows(use_case: UseCase, table: FeatureTable, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Table:
    """The rows in the columns and types of the lake's table, equal ones once.

    Args:
        use_case: The use case.
        table: Its feature table that takes them.
        rows: As `push` takes them.

    Raises:
        InvalidParams: the table was never computed, so that its types are not known.
        InvalidRows: a row lacks a column or has another one, does not fit its type, is of the future or of no
            partition, breaks an expectation, cannot be served, or contradicts another one.
    """
    content = _typed(use_case, table, rows)
    _check_moments(use_case, content)
    content = _once(table, content)
    _check_expectations(use_case, table, content)
    _check_views(use_case, table.name, content)
    return content


def contradict(table: FeatureTable, rows: pa.Table, other: str) -> None:
    """Refuse rows because there is something else of the same key and time.

    Args:
        table: The feature table.
        rows: Those rows, one at least.
        other: Where that is.

    Raises:
        InvalidRows: always.
    """
    first = rows.select(list(identity_of(table))).slice(0, 1).to_pylist()[0]
    named = ", ".join(f"{name}={value}" for name, value in first.items())
    raise InvalidRows(
        f"The row of {named} differs from {other}. Nothing was written.",
        "A value that became known later has a later event_timestamp.",
    )


def identity_of(table: FeatureTable) -> list[str]:
    """The columns of which there is one row for each value: the key and the event time."""
    return [*table.key, TIME]


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
    columns = [_column(field, [row[field.name] for row in listed], problems, identity_of(table)) for field in schema]
    _refuse(use_case, table, problems)
    return pa.table(columns, schema=schema)


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
    repeated = frame.filter(frame.select(identity_of(table)).is_duplicated())
    if repeated.height:
        contradict(table, repeated.to_arrow().cast(rows.schema), "another row of this push")
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


def _refuse(use_case: UseCase, table: FeatureTable, problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        path, message = problems[0]
        raise InvalidRows(
            f"Use case {use_case.name!r}, feature table {table.name!r}: {path} {message}. Nothing was written.",
            "Push the key, event_timestamp and every feature of each row, in the types that the lake has.",
            problems[:_TOLD],
        )


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


def _by_partition(use_case: UseCase, rows: pa.Table) -> Iterator[tuple[Partition, pa.Table]]:
    partitions = [use_case.cadence.at(moment) for moment in rows[TIME].to_pylist()]
    for partition in dict.fromkeys(partitions):
        yield partition, rows.filter(pa.array([each == partition for each in partitions], pa.bool_()))
