"""Computes the feature tables and examples of a partition from the lake's raw rows, validates and writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake, pushing, validation
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadFeatures, PerennialError
from perennial.feature_store import computations
from perennial.partitions import Partition
from perennial.use_case import FeatureTable, RawTable, UseCase
from perennial.validation import contracts, results


def compute_features(use_case: UseCase, partition: Partition) -> dict[str, Any]:
    """Compute every feature table and the examples of a partition from the lake, validate and write them.

    Args:
        use_case: The use case.
        partition: The partition to compute; its raw rows and those of its lookback must be in the lake.

    Returns:
        Number of rows by table, and `report`: the address of the page that shows the results of validation.

    Raises:
        BadFeatures: a transform raises, breaks its contract (keys, event time, columns) or its expectations, or returns
            values that the lake's table cannot hold. Nothing is written then.
    """
    needs = [(table.inputs, partition.start - table.lookback) for table in use_case.features]
    raw = read_inputs(use_case, partition, [*needs, (use_case.examples.inputs, partition.start)])
    computed = {table.name: compute_table(use_case, table, raw, partition) for table in use_case.features}
    rows = _transform(use_case, "examples", use_case.examples.inputs, raw, partition, partition.start)
    computed["examples"] = contracts.checked_examples(use_case, rows, partition)
    validated = {
        name: (
            rows.num_rows,
            validation.validate(
                rows,
                validation.use_case_expectations(use_case, name, partition),
                validation.suite_location(use_case, name),
                by_row=False,
            ),
        )
        for name, rows in computed.items()
    }
    report = results.record(use_case, partition, validated)
    for name, (_, result) in validated.items():
        validation.check_computed_table(use_case, name, result, partition, BadFeatures, f" The results: {report}")
        contracts.check_types(use_case, name, computed[name], partition)
    for table in use_case.features:
        with pushing.beside_pushed(use_case, table, computed[table.name], partition) as rows:
            order = (*table.key, "event_timestamp")
            lake.replace(use_case.tables[table.name], partition.key, rows, sort_by=order)
        pushing.settle(use_case, table, partition)
    lake.replace(use_case.tables.examples, partition.key, computed["examples"], sort_by=use_case.examples.key)
    computations.record(use_case, partition, {name: rows.num_rows for name, rows in computed.items()})
    return {name: rows.num_rows for name, rows in computed.items()} | {"report": report}


def compute_table(
    use_case: UseCase, table: FeatureTable, raw: Mapping[str, pa.Table], partition: Partition
) -> pa.Table:
    """The rows of a feature table whose event time is in a partition, or in its open part, by its transform.

    Args:
        use_case: The use case.
        table: The feature table.
        raw: Its inputs, as `read_inputs` gives them.
        partition: The partition.

    Raises:
        BadFeatures: the transform raises or breaks its contract.
    """
    rows = _transform(use_case, table.name, table.inputs, raw, partition, partition.since - table.lookback)
    return contracts.checked_features(use_case, table, rows, partition)


def _transform(
    use_case: UseCase,
    name: str,
    inputs: tuple[str, ...],
    raw: Mapping[str, pa.Table],
    partition: Partition,
    since: datetime,
) -> pa.Table:
    """Run one function of `transforms.py` on its inputs from `since` to the partition's end."""
    return run_transform(
        use_case, name, {table: _since(use_case.raw_table(table), raw[table], since) for table in inputs}, partition
    )


def run_transform(use_case: UseCase, name: str, inputs: Mapping[str, pa.Table], partition: Partition) -> pa.Table:
    """What one function of the use case's `transforms.py` makes of its inputs, in the lake's types.

    Args:
        use_case: The use case.
        name: The function.
        inputs: Raw table -> the rows that it sees.
        partition: The partition that is computed, for errors.

    Raises:
        BadFeatures: there is no such function, or it raises.
    """
    import ibis

    where = f"include/use_cases/{use_case.name}/transforms.py, {name}()"
    function = getattr(use_case.module("transforms"), name, None)
    if function is None:
        raise BadFeatures(f"{where} does not exist.", f"Write it; it takes {', '.join(inputs)} as ibis tables.")
    engine = ibis.duckdb.connect()
    try:
        # Floating-point sums differ with the number of threads, and a partition computed twice must give equal bytes.
        engine.raw_sql("SET threads = 1; SET TimeZone = 'UTC'")
        tables = {table: ibis.memtable(rows) for table, rows in inputs.items()}
        return lake.canonical(engine.to_pyarrow(function(**tables)))
    except PerennialError:
        raise
    except Exception as error:
        raise BadFeatures(
            f"Use case {use_case.name!r}, partition {partition.key!r}: {where} raised {type(error).__name__}: {error}",
            f"Fix the transform; its inputs were {', '.join(inputs)}.",
        ) from error
    finally:
        engine.disconnect()


def read_inputs(
    use_case: UseCase, partition: Partition, needs: Iterable[tuple[tuple[str, ...], datetime]]
) -> dict[str, pa.Table]:
    """Every raw table that transforms of a partition need, as far back as the one that looks back furthest.

    Args:
        use_case: The use case.
        partition: The partition, or its open part.
        needs: Of each transform, its inputs and the moment that they begin at.

    Raises:
        BadFeatures: a partition that is needed was never ingested.
    """
    since: dict[str, datetime] = {}
    for inputs, beginning in needs:
        since |= {name: min(beginning, since.get(name, beginning)) for name in inputs}
    return {name: _input(use_case, use_case.raw_table(name), partition, oldest) for name, oldest in since.items()}


def _input(use_case: UseCase, table: RawTable, partition: Partition, since: datetime) -> pa.Table:
    """Clean raw rows in `[since, partition.end)`; of a table without event time, this partition's.

    Raises:
        BadFeatures: a partition in that span was never ingested: rolling features would silently miss its rows.
    """
    oldest = max(use_case.first, partition.cadence.at(since)) if table.time else partition
    ingested = _ingested(use_case, use_case.tables.batches, table, oldest, partition)
    if partition.is_open:
        ingested |= _ingested(use_case, use_case.tables.refreshes, table, oldest, partition) | {partition.key}
    missing = [needed.key for needed in oldest.through(partition) if needed.key not in ingested]
    if missing:
        raise BadFeatures(
            f"Use case {use_case.name!r}, partition {partition.key!r}: raw table {table.name!r} was never ingested for"
            f" {', '.join(missing)}, and the features look back to {since:%Y-%m-%d %H:%M}.",
            f"Run {dag_id(use_case.name, FEATURES)} for {missing[0]} first.",
        )
    where = lake.not_before(table.time, since) if table.time else None
    rows = lake.read(use_case.tables[table.name], between=(oldest.key, partition.key), where=where)
    assert rows is not None, "a table with an ingested batch exists"  # noqa: S101
    return _since(table, rows.drop_columns([lake.PARTITION]), since)


def _ingested(use_case: UseCase, records: str, table: RawTable, first: Partition, last: Partition) -> set[str]:
    """The partitions from the first to the last of which a table of records names the raw table."""
    rows = lake.records(records, between=(first.key, last.key), columns=(lake.PARTITION, "table"))
    return {row[lake.PARTITION] for row in rows if row["table"] == table.name}


def _since(table: RawTable, rows: pa.Table, since: datetime) -> pa.Table:
    """The rows from `since` on; all of a table without event time."""
    return rows.filter(pc.greater_equal(rows[table.time], pa.scalar(since))) if table.time else rows
