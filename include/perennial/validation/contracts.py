"""What the functions of a use case's transforms.py promise of the rows that they return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.errors import BadFeatures, Misfit
from perennial.lake import labels
from perennial.partitions import Partition
from perennial.use_case import Examples, FeatureTable, UseCase


def features(use_case: UseCase, table: FeatureTable, rows: pa.Table, partition: Partition) -> pa.Table:
    """The rows of a feature table that became known inside the partition.

    Raises:
        BadFeatures: a column that is promised is not there, a key has no value, or one key and time has several rows.
    """
    place = f"Use case {use_case.name!r}, feature table {table.name!r}, partition {partition.key!r}"
    _insist_on_columns(rows, (*table.key, "event_timestamp"), place)
    time = rows["event_timestamp"]
    inside = pc.and_(pc.greater_equal(time, pa.scalar(partition.start)), pc.less(time, pa.scalar(partition.end)))
    rows = rows.filter(inside)
    _insist_on_unique(rows, (*table.key, "event_timestamp"), place)
    return rows


def examples(use_case: UseCase, rows: pa.Table, partition: Partition) -> pa.Table:
    """The examples of the partition, with null for a label that is not known.

    Raises:
        BadFeatures: as of `features`, or a label matures before the moment of prediction.
    """
    place = f"Use case {use_case.name!r}, examples, partition {partition.key!r}"
    declared: Examples = use_case.examples
    required = (*declared.key, *declared.request_features, "event_timestamp", "label", "label_timestamp")
    _insist_on_columns(rows, required, place)
    _insist_on_unique(rows, declared.key, place)
    at = rows.column_names.index("label")
    rows = rows.set_column(at, "label", labels.null_where_unknown(rows["label"]))
    early = pc.and_(pc.is_valid(rows["label"]), pc.less(rows["label_timestamp"], rows["event_timestamp"]))
    if pc.sum(early).as_py():
        raise BadFeatures(
            f"{place}: {pc.sum(early).as_py()} labels mature before the moment of prediction: the label leaks.",
            "`event_timestamp` is when the prediction is made, `label_timestamp` when its outcome became known.",
        )
    return rows


def insist_on_types(use_case: UseCase, name: str, rows: pa.Table, partition: Partition) -> None:
    """Refuse rows whose values the lake's table would turn into others.

    Raises:
        BadFeatures: naming table and column.
    """
    try:
        lake.check(use_case.tables[name], rows)
    except Misfit as error:
        raise BadFeatures(
            f"Use case {use_case.name!r}, partition {partition.key!r}: {error.problem} Nothing was written.", error.fix
        ) from error


def _insist_on_columns(rows: pa.Table, wanted: tuple[str, ...], place: str) -> None:
    absent = [name for name in wanted if name not in rows.column_names]
    if absent:
        raise BadFeatures(
            f"{place}: the transform returned no column {', '.join(map(repr, absent))};"
            f" it returned {', '.join(rows.column_names)}.",
            "Add them in transforms.py.",
        )


def _insist_on_unique(rows: pa.Table, key: tuple[str, ...], place: str) -> None:
    for name in key:
        if rows[name].null_count:
            raise BadFeatures(f"{place}: {rows[name].null_count} rows have no {name!r}.", "Drop or fill them.")
    counts = rows.select(list(key)).group_by(list(key)).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        example: Mapping[str, Any] = repeated.slice(0, 1).select(list(key)).to_pylist()[0]
        raise BadFeatures(
            f"{place}: {repeated.num_rows} keys occur more than once, for instance {dict(example)}.",
            "Aggregate them to one row in transforms.py; which of several rows is right cannot be known later.",
        )
