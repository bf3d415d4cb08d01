"""Checks what the functions of a use case's `transforms.py` return against their contract: columns, keys and times."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.errors import BadFeatures, SchemaMismatch
from perennial.lake import labels
from perennial.partitions import Partition
from perennial.use_case import FeatureTable, UseCase


def checked_features(use_case: UseCase, table: FeatureTable, rows: pa.Table, partition: Partition) -> pa.Table:
    """Check the rows of a feature table; return those whose event time is inside the partition, or its open part.

    Args:
        use_case: The use case.
        table: The declaration of the feature table.
        rows: What its transform returned, with the rows of its lookback.
        partition: The partition that is computed.

    Raises:
        BadFeatures: a declared column is missing, a key has no value, or one key and event time has several rows.
    """
    where = f"Use case {use_case.name!r}, feature table {table.name!r}, partition {partition.key!r}"
    key = (*table.key, "event_timestamp")
    _check_columns(rows, key, where)
    time = rows["event_timestamp"]
    inside = pc.and_(pc.greater_equal(time, pa.scalar(partition.since)), pc.less(time, pa.scalar(partition.until)))
    rows = rows.filter(inside)
    _check_keys(rows, key, where)
    return rows


def checked_examples(use_case: UseCase, rows: pa.Table, partition: Partition) -> pa.Table:
    """Check the examples of a partition; return them with null for a label that is not known.

    Args:
        use_case: The use case.
        rows: What the transform `examples` returned.
        partition: The partition that is computed.

    Raises:
        BadFeatures: a declared column is missing, a key has no value or several rows, a label matures before the
            moment of prediction, or is no declared class.
    """
    where = f"Use case {use_case.name!r}, examples, partition {partition.key!r}"
    examples = use_case.examples
    required = (*examples.key, *examples.request_features, "event_timestamp", "label", "label_timestamp")
    required += (examples.weight,) if examples.weight is not None else ()
    _check_columns(rows, required, where)
    _check_keys(rows, examples.key, where)
    position = rows.column_names.index("label")
    rows = rows.set_column(position, "label", labels.null_where_unknown(rows["label"]))
    labels.check_declared(use_case, rows["label"], where)
    early = pc.and_(pc.is_valid(rows["label"]), pc.less(rows["label_timestamp"], rows["event_timestamp"]))
    if count := pc.sum(early).as_py():
        raise BadFeatures(
            f"{where}: {count} labels mature before the moment of prediction: the label leaks.",
            "`event_timestamp` is when the prediction is made, `label_timestamp` when its outcome became known.",
        )
    return rows


def check_types(use_case: UseCase, name: str, rows: pa.Table, partition: Partition) -> None:
    """Check that the lake's table can hold the rows without changing a value.

    Args:
        use_case: The use case.
        name: The feature table, or `examples`.
        rows: Its rows.
        partition: The partition that is computed.

    Raises:
        BadFeatures: it cannot; the error names table and column.
    """
    try:
        lake.check_schema(use_case.tables[name], rows)
    except SchemaMismatch as error:
        raise BadFeatures(
            f"Use case {use_case.name!r}, partition {partition.key!r}: {error.problem} Nothing was written.", error.fix
        ) from error


def _check_columns(rows: pa.Table, required: tuple[str, ...], where: str) -> None:
    missing = [name for name in required if name not in rows.column_names]
    if missing:
        raise BadFeatures(
            f"{where}: the transform returned no column {', '.join(map(repr, missing))};"
            f" it returned {', '.join(rows.column_names)}.",
            "Add them in transforms.py.",
        )


def _check_keys(rows: pa.Table, key: tuple[str, ...], where: str) -> None:
    """Every key has a value and one row."""
    for name in key:
        if rows[name].null_count:
            raise BadFeatures(f"{where}: {rows[name].null_count} rows have no {name!r}.", "Drop or fill them.")
    counts = rows.select(list(key)).group_by(list(key)).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        example: dict[str, Any] = repeated.slice(0, 1).select(list(key)).to_pylist()[0]
        raise BadFeatures(
            f"{where}: {repeated.num_rows} keys occur more than once, for instance {example}.",
            "Aggregate them to one row in transforms.py; which of several rows is right cannot be known later.",
        )
