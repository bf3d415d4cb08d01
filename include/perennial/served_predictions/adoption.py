"""The predictions of a partition's examples that were served: of each example the last one before its label counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl
import pyarrow as pa

from perennial import lake
from perennial.lake import prediction_columns
from perennial.lake.schemas import SERVED_PREDICTION
from perennial.partitions import Partition
from perennial.served_predictions import table
from perennial.use_case import UseCase
from perennial.use_case.interval import SERVED

#: The columns of `served_predictions` that a prediction keeps beside the model's inputs.
_KEPT = ("prediction_id", "model_version", "model_run", "served_as")
#: How `feature_store.columns`, which is above this package, ends names.
_VIEW_TIMES = "__event_timestamp"


def predictions_served(use_case: UseCase, partition: Partition, examples: pa.Table) -> pa.Table:
    """The predictions that examples were served, ready to be rows of `predictions`.

    Of each example it is the last one that is no later than its label; shadows and errors are none. Model inputs are
    those that the model saw then, all else is the example's. Predictions are looked for in the partition and in the one
    before it, and as far back as examples are predicted ahead: who asks earlier is not found.

    Args:
        use_case: Whose examples.
        partition: The partition that they are of.
        examples: Some of its examples, as the lake has them, without their label.

    Returns:
        A row for each example that was served a prediction; empty if none was.
    """
    key = list(use_case.examples.key)
    until = _label_times(use_case, partition)
    frames = [frame for frame in _counting(use_case, partition, until) if frame.height]
    if not frames or not examples.num_rows:
        return examples.slice(0, 0)
    wanted = pl.DataFrame(examples).with_row_index("row")
    served = (
        pl.concat(frames, how="diagonal_relaxed")
        .sort("event_timestamp", "answered_at", "prediction_id")
        .unique(key, keep="last", maintain_order=True)
    )
    adopted = wanted.select("row", *key).join(served, on=key, how="inner", validate="1:1").sort("row")
    rows = examples.take(adopted["row"].to_arrow())
    for name, column in _inputs(use_case, adopted).items():
        field = rows.schema.get_field_index(name)
        rows = rows.set_column(field, name, column) if field >= 0 else rows.append_column(name, column)
    made = [name for name in prediction_columns.names(use_case) if name in adopted.columns]
    for name in (*made, *_KEPT):
        rows = rows.append_column(name, adopted[name].to_arrow())
    for name, column in SERVED.items() if use_case.interval is not None else ():
        # Not in a table from before there were intervals.
        told = adopted[column].cast(pl.Float64).to_arrow() if column in adopted.columns else None
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.float64()) if told is None else told)
    return lake.canonical(rows.append_column("predicted_at", adopted["answered_at"].to_arrow()))


def _label_times(use_case: UseCase, partition: Partition) -> pl.DataFrame:
    """The key of each of the partition's examples and when its label matured; null: it has not yet."""
    columns = [*use_case.examples.key, "label_timestamp"]
    examples = lake.read(use_case.tables.examples, partitions=[partition.key], columns=columns)
    assert examples is not None, "who scores examples has read some"  # noqa: S101
    return pl.DataFrame(examples)


def _counting(use_case: UseCase, partition: Partition, until: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The predictions that count, of examples of the partition, as far as they are no later than the label."""
    stored = lake.table(use_case.tables.served_predictions)
    key = list(use_case.examples.key)
    if stored is None or not {*key} <= set(stored.schema().column_names):
        return
    ahead = use_case.examples.ahead
    first = min(partition.previous.start, partition.start - ahead.leads[0] if ahead else partition.start)
    last = until["label_timestamp"].max()
    latest = max(partition, use_case.cadence.at(last)) if isinstance(last, datetime) else partition.next
    stored_partitions = set(lake.partitions(use_case.tables.served_predictions))
    for each in use_case.cadence.at(first).through(latest):
        if each.key not in stored_partitions:
            continue
        for batch in lake.iter_batches(
            use_case.tables.served_predictions, partition=each.key, columns=("*",), where=lake.is_known(key[0])
        ):
            rows = pl.DataFrame(table.counting(pa.Table.from_batches([batch])))
            yield (
                rows.join(until, on=key, how="inner")
                .filter(pl.col("label_timestamp").is_null() | (pl.col("event_timestamp") <= pl.col("label_timestamp")))
                .drop("label_timestamp")
            )


def _inputs(use_case: UseCase, served: pl.DataFrame) -> dict[str, pa.Array]:
    """The model's inputs as they were served, by their names in the examples and features."""
    own = {lake.PARTITION, "row", *use_case.examples.key, *SERVED_PREDICTION.names}
    own |= {*prediction_columns.probabilities(use_case)}
    own |= {name for name in served.columns if prediction_columns.is_of_removed_class(use_case, name)}
    inputs = {}
    for name in served.columns:
        if name not in own and not name.endswith(_VIEW_TIMES):
            inputs[table.data_name(name)] = served[name].to_arrow()
    return inputs
