"""Real performance of a partition, as far as its labels are in."""

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
from perennial.registry import ledger, tracking
from perennial.use_case import UseCase

log = logging.getLogger(__name__)
#: Stretches of time whose values tell how certain a metric is, and the rows that each needs.
STRETCHES, STRETCH_ROWS = 20, 25
#: A one-sided 95% bound.
_Z = 1.645


@dataclass(frozen=True)
class Performance:
    """What the labels say.

    Attributes:
        rows, labelled: Predictions of the version, and those whose label is known.
        champion, first: Metric by name, of the version that scored and of the first model that ever served, on the same
            rows; empty while too few labels are in.
        first_version: The first model; None where `first` is empty.
        first_left_out: Why the first model was not asked, though labels are in.
        uncertainty: How much less the champion's metric may have lost (95%): from stretches of time, so that rows of
            one day do not count as many.
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
        """The share of predictions whose label is known."""
        return self.labelled / self.rows if self.rows else 0.0


def measure(use_case: UseCase, partition: Partition, version: int) -> Performance:
    """Hold a version's predictions of a partition against the labels that are in by now.

    Metrics are computed from `drift.min_coverage` and `drift.min_rows` on: the first labels to mature are seldom like
    the rest.
    """
    key = list(use_case.examples.key)
    truth = labels.known(use_case, partition)
    made = pl.DataFrame(
        lake.read(
            use_case.tables.predictions,
            partitions=[partition.key],
            columns=[*key, "event_timestamp", "prediction"],
            where=lake.equal("model_version", version),
        )
    )
    known = made.join(truth, on=key, validate="1:1").sort("event_timestamp", *key)
    policy = use_case.drift
    enough = known.height >= policy.min_rows and known.height >= policy.min_coverage * made.height
    if not enough:
        return Performance(made.height, known.height)
    label, prediction = known["label"].to_numpy(), known["prediction"].to_numpy()
    champion = metrics.evaluate(use_case, label, prediction)
    first_version = ledger.promotions(use_case)[0].model_version
    first, left_out = champion, ""
    if first_version != version:
        first, left_out = _of_first(use_case, partition, version, first_version, truth)
    return Performance(
        rows=made.height,
        labelled=known.height,
        champion=champion,
        first=first,
        first_version=first_version if first else None,
        first_left_out=left_out,
        uncertainty=_uncertainty(use_case, label, prediction),
    )


def _of_first(
    use_case: UseCase, partition: Partition, version: int, first: int, truth: pl.DataFrame
) -> tuple[dict[str, float], str]:
    """What the first model's metrics are on a version's rows; or none, and why it cannot be asked.

    It is there to compare with. So whatever is wrong with an old model, the champion's own numbers do not wait for it.
    """
    try:
        if gone := _no_longer_served(use_case, partition, version, tracking.inputs(use_case, first)):
            problem = f"its inputs {', '.join(gone)} are no longer served"
        else:
            return metrics.evaluate(use_case, *_predicted_by(use_case, partition, version, first, truth)), ""
    except ServiceUnavailable:
        raise
    except PerennialError as error:
        problem = error.problem
    except Exception as error:  # whatever a library makes of a model from years ago
        problem = f"{type(error).__name__}: {error}"
    log.warning("%s %s: the first model, v%d, is left out: %s", use_case.name, partition, first, problem)
    return {}, f"v{first}: {problem}"


def _no_longer_served(use_case: UseCase, partition: Partition, version: int, inputs: list[str]) -> list[str]:
    """Those inputs of a model that the feature service does not serve, and did not when the partition was scored."""
    served = {*use_case.examples.request_features, *repository.feature_names(use_case.feature_service)}
    gone = [name for name in inputs if name not in served]
    if not gone:
        return []
    table = lake.table(use_case.tables.predictions)
    held = [name for name in gone if table is not None and name in table.schema().column_names]
    where = lake.equal("model_version", version)
    columns = [lake.PARTITION, *held]
    rows = lake.read(use_case.tables.predictions, partitions=[partition.key], columns=columns, where=where)
    had = {name for name in held if rows is not None and rows[name].null_count < rows.num_rows}
    return [name for name in gone if name not in had]


def _predicted_by(
    use_case: UseCase, partition: Partition, version: int, other: int, truth: pl.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a version's rows, and what another version makes of the same rows; a batch at a time."""
    predict = tracking.load(use_case, other)
    key = list(use_case.examples.key)
    known: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    for batch in _scored(use_case, partition, version):
        rows = pl.DataFrame(batch).join(truth, on=key, validate="1:1")
        if rows.height:
            known.append(rows["label"].to_numpy())
            predicted.append(predict(rows.to_pandas()))
    return np.concatenate(known), np.concatenate(predicted)


def _scored(use_case: UseCase, partition: Partition, version: int) -> Iterator[pa.RecordBatch]:
    where = lake.equal("model_version", version)
    return lake.batches(use_case.tables.predictions, partition=partition.key, columns=("*",), where=where)


def _uncertainty(use_case: UseCase, label: np.ndarray, prediction: np.ndarray) -> float:
    """How far the gate's metric may be off: 1.645 standard errors, by the method of batch means."""
    stretches = min(STRETCHES, len(label) // STRETCH_ROWS)
    if stretches < 2:
        return float("inf")
    pieces = zip(np.array_split(label, stretches), np.array_split(prediction, stretches), strict=True)
    values = [metrics.evaluate_one(use_case, use_case.gate.metric, *piece) for piece in pieces]
    told = [value for value in values if value is not None]
    return _Z * float(np.std(told, ddof=1)) / len(told) ** 0.5 if len(told) > 1 else float("inf")
