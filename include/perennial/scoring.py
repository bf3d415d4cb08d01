"""Scoring: each of a partition's examples gets its prediction: the one that was served, else one by its champion."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadFeatures
from perennial.evaluation import recorded_intervals, slices, thresholds
from perennial.feature_store import columns, computations, repository
from perennial.lake import prediction_columns
from perennial.partitions import Partition
from perennial.registry import ledger, model_loading, provenance
from perennial.served_predictions import adoption, carrying, segments
from perennial.services import postgres
from perennial.use_case import UseCase
from perennial.use_case.interval import LOWER, UPPER

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

#: In `served_as`: predicted when the partition had ended.
BACKFILLED = "backfilled"
log = logging.getLogger(__name__)


def score(use_case: UseCase, partition: Partition) -> dict[str, int | None]:
    """Give each of the partition's examples that has no prediction yet one, and append it to the lake.

    That is the last one that was served of it, on request or ahead of its moment; `served_as` says which. Examples of
    which none was served are predicted now, a backtest: `backfilled`.

    Each row carries the features it was made from, and the model's version and run; of those made now also the lake
    snapshots and the code's commit; where the use case declares a `value` also the decision, by the threshold that the
    gate recorded with the version, and where it declares an `interval` the bounds, by the recorded margin. Nothing is
    ever overwritten; a second run adds nothing. A partition of which no examples were computed gets no predictions.

    Args:
        use_case: Whose champion.
        partition: Its start, event time, decides which version predicts.

    Returns:
        The champion's version (None: none yet) and the number of predictions made.

    Raises:
        BadFeatures: the partition's examples were never computed, or a column has a name that predictions need.
        ServiceUnavailable: MLflow does not answer.
    """
    champion = ledger.champion_at(use_case, partition.start)
    if champion is None:
        log.info("%s %s: no champion at %s, nothing to score", use_case.name, partition, partition.start)
        return {"model_version": None, "predictions": 0}
    pending = _pending(use_case, partition)
    if not pending.num_rows:
        return {"model_version": champion.model_version, "predictions": 0}
    carrying.carry(segments.log_folder())  # What was answered last, if by a server on this machine.
    served = adoption.predictions_served(use_case, partition, pending)
    key = list(use_case.examples.key)
    rest = pending.join(served.select(key), keys=key, join_type="left anti") if served.num_rows else pending
    made = [served, _backfilled(use_case, partition, champion, rest)] if rest.num_rows else [served]
    predictions = _decided(use_case, pa.concat_tables(made, promote_options="permissive"))
    # Under the lock of promotions and rollbacks: a partition's version is the one that the ledger names.
    with postgres.advisory_lock("promotion", use_case.name):
        if ledger.champion_at(use_case, partition.start) == champion:
            added = lake.append_missing(use_case.tables.predictions, predictions, key=use_case.examples.key)
        else:
            added = None
    if added is None:
        log.info("%s %s: the champion changed meanwhile; scoring again", use_case.name, partition)
        return score(use_case, partition)
    log.info(
        *("%s %s: %d predictions, %d of them were served", use_case.name, partition, added.num_rows),
        pc.sum(pc.not_equal(added["served_as"], BACKFILLED)).as_py() or 0,
    )
    return {"model_version": champion.model_version, "predictions": added.num_rows}


def _backfilled(use_case: UseCase, partition: Partition, champion: ledger.Entry, examples: pa.Table) -> pa.Table:
    """Predict examples that nobody was served a prediction of, from what was known at their moment."""
    tables = repository.lake_tables(use_case.feature_service)
    snapshots = lake.snapshots(tables.values())
    rows = repository.historical_features(use_case.feature_service, examples, snapshots=snapshots)
    slices.check_added(use_case, rows.column_names)
    predict = model_loading.load(use_case, champion.model_version)
    frame = rows.to_pandas()
    prediction = predict(frame)
    kept = [name for name in rows.column_names if columns.view_of(name) is None]
    count = rows.num_rows
    return pa.table(
        {
            **{name: rows[name] for name in kept},
            **prediction_columns.written(use_case, prediction),
            "model_version": pa.array([champion.model_version] * count, pa.int64()),
            "model_run": [champion.model_run] * count,
            "lake_snapshots": [json.dumps(snapshots, sort_keys=True)] * count,
            "code_version": [provenance.code_version()] * count,
            "predicted_at": pa.array([datetime.now(UTC)] * count, pa.timestamp("us", tz="UTC")),
            "served_as": [BACKFILLED] * count,
            **_bounds(use_case, partition, champion, predict, frame, prediction),
        }
    )


def _bounds(
    use_case: UseCase,
    partition: Partition,
    champion: ledger.Entry,
    predict: model_loading.Predictor,
    frame: pd.DataFrame,
    prediction: np.ndarray,
) -> dict[str, pa.Array]:
    """The columns of the prediction intervals, by the margin that was recorded before the partition; null without one.

    None where the use case declares no interval.
    """
    if use_case.interval is None:
        return {}
    version = champion.model_version
    bounds = recorded_intervals.columns_of(use_case, version, partition.key, predict, frame, prediction)
    if bounds is not None:
        return bounds
    log.warning(
        "%s %s: v%d has no prediction intervals: it was evaluated before they were declared",
        *(use_case.name, partition, version),
    )
    return {name: pa.nulls(len(prediction), pa.float64()) for name in (LOWER, UPPER)}


def _decided(use_case: UseCase, predictions: pa.Table) -> pa.Table:
    """The predictions with the decision that each version makes of its own."""
    if use_case.value is None or use_case.task == "regression":
        return predictions
    entries, versions = ledger.entries(use_case), predictions["model_version"]
    acting_from = {
        version: thresholds.recorded(use_case, entries, version) for version in versions.unique().to_pylist()
    }
    of_each = pa.array([acting_from[version] for version in versions.to_pylist()], pa.float64())
    return predictions.append_column("decision", pc.greater_equal(predictions["prediction"], of_each))


def _pending(use_case: UseCase, partition: Partition) -> pa.Table:
    """The partition's examples without a prediction, without their label: a model must not even see it pass by."""
    examples = lake.read(use_case.tables.examples, partitions=[partition.key])
    if examples is None or not (
        examples.num_rows or computations.partitions_with_examples(use_case, partition, partition)
    ):
        raise BadFeatures(
            f"Use case {use_case.name!r}: the lake holds no examples of partition {partition.key!r}.",
            f"Run {dag_id(use_case.name, FEATURES)} for it first.",
        )
    examples = examples.drop_columns(["label", "label_timestamp"])
    key = list(use_case.examples.key)
    made = lake.read(use_case.tables.predictions, partitions=[partition.key], columns=key)
    if made is None or not made.num_rows:
        return examples
    return examples.join(made, keys=key, join_type="left anti")
