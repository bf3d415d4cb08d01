"""The examples whose moment is still to come, from raw rows of which nothing is used but what is known that early."""

from __future__ import annotations

import logging
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadBatch, BadFeatures
from perennial.ingestion import compute, ingest
from perennial.lake import column_types, schema_evolution
from perennial.partitions import Partition
from perennial.use_case import RawTable, UseCase
from perennial.validation import batch_name, contracts, rows_without_faults

log = logging.getLogger(__name__)
_OUTCOME = ("label", "label_timestamp")


def examples_to_come(use_case: UseCase, now: datetime) -> pa.Table:
    """The examples whose moment is after `now`, without their label.

    `source.py` is asked for the partition under way and for those that begin within `ahead.known`. Of its rows only the
    columns in `known_ahead` are kept, the others are null before anything looks at them: the transform `examples`
    cannot see an outcome, even where the past is replayed and the source knows it. Nothing is written.

    Args:
        use_case: A use case with `examples.ahead`.
        now: The moment, UTC.

    Returns:
        Its examples, with the columns and types of those in the lake.

    Raises:
        BadBatch: a partition cannot be fetched, or lacks a column that is declared to be known.
        BadFeatures: the transform `examples` fails, breaks its contract, or makes a label where nothing is known; or
            the lake holds no examples, whose types these have.
    """
    declared = use_case.examples.ahead
    assert declared is not None, "only use cases that predict ahead come here"  # noqa: S101
    schema = _schema(use_case, "examples")
    first, last = use_case.cadence.at(now), use_case.cadence.at(now + declared.known)
    end = use_case.cadence.partition(use_case.end) if use_case.end else None
    found = [schema.empty_table()]
    for partition in max(first, use_case.first).through(last):
        if end is None or partition < end:
            rows = examples_without_outcome(use_case, partition)
            found.append(_in_lake_types(use_case, "examples", rows, partition))
    examples = pa.concat_tables(found).drop_columns(list(_OUTCOME))
    return examples.filter(pc.greater(examples["event_timestamp"], pa.scalar(now))).combine_chunks()


def examples_without_outcome(use_case: UseCase, partition: Partition) -> pa.Table:
    """The examples of a partition as they are known before any outcome; `label` is null.

    Args:
        use_case: A use case with `examples.ahead`.
        partition: The partition that the raw rows are of.

    Raises:
        BadBatch: see `examples_to_come`.
        BadFeatures: see `examples_to_come`.
    """
    inputs = {name: _rows_known(use_case, use_case.raw_table(name), partition) for name in use_case.examples.inputs}
    rows = compute.run_transform(use_case, "examples", inputs, partition)
    rows = contracts.checked_examples(use_case, rows, partition)
    if labelled := len(rows) - rows["label"].null_count:
        raise BadFeatures(
            f"Use case {use_case.name!r}, partition {partition.key!r}: examples() in transforms.py gives {labelled}"
            " examples a label, although no outcome is known to it.",
            "A label that is not known yet is null; and `known_ahead` of a raw table names no outcome.",
        )
    return rows


def without_outcome(table: RawTable, rows: pa.Table) -> pa.Table:
    """Raw rows with null in every column that is not known ahead.

    Args:
        table: The raw table.
        rows: Rows of it.
    """
    columns = {
        column.name: rows[column.name] if column.name in table.known_ahead else pa.nulls(rows.num_rows, column.type)
        for column in rows.schema
    }
    return pa.table(columns, schema=rows.schema)


def _rows_known(use_case: UseCase, table: RawTable, partition: Partition) -> pa.Table:
    """The rows of a raw table with null for all that is not known ahead, and without those that break its suite."""
    batch = ingest.fetch(use_case, table, partition)
    where = batch_name(use_case, table, partition)
    if missing := [name for name in table.known_ahead if name not in batch.rows.column_names]:
        raise BadBatch(
            f"{where}: the source gave no column {', '.join(map(repr, missing))}, which is declared to be known ahead.",
            "Have source.py return it, or take it out of known_ahead in use_case.py.",
        )
    rows = _in_lake_types(use_case, table.name, without_outcome(table, batch.rows), partition)
    clean = rows_without_faults(use_case, table, rows, partition)
    if left_out := rows.num_rows - clean.num_rows + batch.unreadable.num_rows:
        log.warning("%s: %d rows are faulty and not predicted ahead; ingestion will quarantine them", where, left_out)
    return clean


def _in_lake_types(use_case: UseCase, table: str, rows: pa.Table, partition: Partition) -> pa.Table:
    """Rows with the columns and types that a table has in the lake; columns that they lack are null."""
    schema = _schema(use_case, table)
    for name in set(rows.column_names) & set(schema.names):
        if column_types.cast_exactly(rows[name], schema.field(name).type) is None:
            raise BadFeatures(
                f"Use case {use_case.name!r}, {table}, partition {partition.key!r}: column {name!r} is"
                f" {rows[name].type}, and {schema.field(name).type} in the lake.",
                "Give it the lake's type where it is made: in source.py, of examples in transforms.py.",
            )
    return column_types.conform(schema, rows)


def _schema(use_case: UseCase, table: str) -> pa.Schema:
    """The columns of a table in the lake, without the lake's own."""
    stored = lake.table(use_case.tables[table])
    if stored is None:
        raise BadFeatures(
            f"Use case {use_case.name!r}: the lake holds no {table}, whose types are those of rows to come.",
            f"Run {dag_id(use_case.name, FEATURES)} first.",
        )
    schema = schema_evolution.schema(stored)
    return pa.schema([column for column in schema if column.name != lake.PARTITION])
