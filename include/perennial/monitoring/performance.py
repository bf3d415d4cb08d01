"""Measures how good a version's predictions of a partition were in production, as far as their labels have matured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from perennial import lake
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.evaluation import metrics
from perennial.feature_store import repository
from perennial.lake import labels
from perennial.partitions import Partition
from perennial.registry import ledger, model_loading
from perennial.use_case import UseCase

log = logging.getLogger(__name__)
#: A metric's uncertainty is estimated from at most so many batches of consecutive rows, each of at least so many rows.
BATCHES, BATCH_ROWS = 20, 25
#: Standard errors of a one-sided 95% bound.
_Z = 1.645


@dataclass(frozen=True)
class Performance:
    """A version's production performance on one partition.

    Attributes:
        rows, labelled: Predictions of the version, and those with a label.
        champion, first: Metric by name, of the version that scored and of the first model that ever served, on the same
            rows; empty while there are too few labels.
        first_version: The first model; None where `first` is empty.
        first_left_out: Why the first model's metrics are missing although there are enough labels; else empty.
        uncertainty: By how much the gate's metric may be off (95%, one-sided); infinite where there are too few rows
            to tell. From batches of consecutive rows, because rows of one day resemble each other.
    """

    rows: int
    labelled: int
    champion: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    first_version: int | None = None
    first_left_out: str = ""
    uncertainty: float = 0.0

    @property
    def coverage(self) -> float:
        """The share of predictions with a label, 0 to 1."""
        return self.labelled / self.rows if self.rows else 0.0


def measure(use_case: UseCase, partition: Partition, version: int) -> Performance:
    """Compare a version's predictions of a partition with the labels that have matured by now.

    Metrics are computed from `drift.min_coverage` and `drift.min_rows` on: the first labels to mature are seldom like
    the rest.

    Args:
        use_case: Whose predictions.
        partition: A scored partition.
        version: The version that scored it.

    Raises:
        ServiceUnavailable: MLflow, which holds the first model, does not answer.
    """
    key = list(use_case.examples.key)
    truth = labels.read_known(use_case, partition)
    predictions = pl.DataFrame(
        lake.read(
            use_case.tables.predictions,
            partitions=[partition.key],
            columns=[*key, "event_timestamp", "prediction"],
            where=lake.equals("model_version", version),
        )
    )
    labelled = predictions.join(truth, on=key, validate="1:1").sort("event_timestamp", *key)
    policy = use_case.drift
    enough = labelled.height >= policy.min_rows and labelled.height >= policy.min_coverage * predictions.height
    if not enough:
        return Performance(predictions.height, labelled.height)
    label, prediction = labelled["label"].to_numpy(), labelled["prediction"].to_numpy()
    champion = metrics.evaluate(use_case, label, prediction)
    first_version = ledger.promotions(use_case)[0].model_version
    first, left_out = champion, ""
    if first_version != version:
        first, left_out = _first_model_metrics(use_case, partition, version, first_version, truth)
    return Performance(
        rows=predictions.height,
        labelled=labelled.height,
        champion=champion,
        first=first,
        first_version=first_version if first else None,
        first_left_out=left_out,
        uncertainty=_uncertainty(use_case, label, prediction),
    )


def _first_model_metrics(
    use_case: UseCase, partition: Partition, version: int, first: int, truth: pl.DataFrame
) -> tuple[dict[str, float], str]:
    """The first model's metrics on a version's rows; or none, and why.

    They are there for comparison only: whatever is wrong with an old model must not stop the champion's monitoring.
    """
    try:
        if gone := _no_longer_served(use_case, partition, version, model_loading.inputs(use_case, first)):
            problem = f"its inputs {', '.join(gone)} are no longer served"
        else:
            return metrics.evaluate(use_case, *_predictions_of(use_case, partition, version, first, truth)), ""
    except ServiceUnavailable:
        raise
    except PerennialError as error:
        problem = error.problem
    except Exception as error:  # A library may fail in any way on a model from years ago.
        problem = f"{type(error).__name__}: {error}"
    log.warning("%s %s: the first model, v%d, is left out: %s", use_case.name, partition, first, problem)
    return {}, f"v{first}: {problem}"


def _no_longer_served(use_case: UseCase, partition: Partition, version: int, inputs: list[str]) -> list[str]:
    """The inputs of a model that the feature service serves neither now nor when the partition was scored."""
    served = {*use_case.examples.request_features, *repository.feature_names(use_case.feature_service)}
    absent = [name for name in inputs if name not in served]
    if not absent:
        return []
    table = lake.table(use_case.tables.predictions)
    stored = [name for name in absent if table is not None and name in table.schema().column_names]
    where = lake.equals("model_version", version)
    columns = [lake.PARTITION, *stored]
    rows = lake.read(use_case.tables.predictions, partitions=[partition.key], columns=columns, where=where)
    with_values = {name for name in stored if rows is not None and rows[name].null_count < rows.num_rows}
    return [name for name in absent if name not in with_values]


def _predictions_of(
    use_case: UseCase, partition: Partition, version: int, other: int, truth: pl.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Predict a version's labelled rows with another version, a batch at a time.

    Returns:
        (n,) labels and (n,) predictions.
    """
    predict = model_loading.load(use_case, other)
    key = list(use_case.examples.key)
    label: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    for batch in _scored(use_case, partition, version):
        rows = pl.DataFrame(batch).join(truth, on=key, validate="1:1")
        if rows.height:
            label.append(rows["label"].to_numpy())
            predicted.append(predict(rows.to_pandas()))
    return np.concatenate(label), np.concatenate(predicted)


def _scored(use_case: UseCase, partition: Partition, version: int) -> Iterator[pa.RecordBatch]:
    where = lake.equals("model_version", version)
    return lake.iter_batches(use_case.tables.predictions, partition=partition.key, columns=("*",), where=where)


def _uncertainty(use_case: UseCase, label: np.ndarray, prediction: np.ndarray) -> float:
    """How far the gate's metric may be off: 1.645 standard errors, by the method of batch means."""
    batches = min(BATCHES, len(label) // BATCH_ROWS)
    if batches < 2:
        return float("inf")
    pairs = zip(np.array_split(label, batches), np.array_split(prediction, batches), strict=True)
    values = [metrics.evaluate_one(use_case, use_case.gate.metric, *pair) for pair in pairs]
    defined = [value for value in values if value is not None]
    return _Z * float(np.std(defined, ddof=1)) / len(defined) ** 0.5 if len(defined) > 1 else float("inf")
