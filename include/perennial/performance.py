"""Real performance of a partition, as far as its labels are in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from perennial import lake, ledger, metrics, tracking
from perennial.partitions import Partition
from perennial.use_case import UseCase

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
        uncertainty: How much less the champion's metric may have lost (95%): from stretches of time, so that rows of
            one day do not count as many.
    """

    rows: int
    labelled: int
    champion: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    first_version: int | None = None
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
    labels = _labels(use_case, partition)
    made = pl.DataFrame(
        lake.read(
            f"{use_case.name}.predictions",
            partitions=[partition.key],
            columns=[*key, "event_timestamp", "prediction"],
            where=lake.equal("model_version", version),
        )
    )
    known = made.join(labels, on=key, validate="1:1").sort("event_timestamp", *key)
    policy = use_case.drift
    enough = known.height >= policy.min_rows and known.height >= policy.min_coverage * made.height
    if not enough:
        return Performance(made.height, known.height)
    label, prediction = known["label"].to_numpy(), known["prediction"].to_numpy()
    first = ledger.promotions(use_case)[0].model_version
    if first == version:
        first_label, first_prediction = label, prediction
    else:
        first_label, first_prediction = _predicted_by(use_case, partition, version, first, labels)
    return Performance(
        made.height,
        known.height,
        metrics.evaluate(use_case, label, prediction),
        metrics.evaluate(use_case, first_label, first_prediction),
        first,
        _uncertainty(use_case, label, prediction),
    )


def labelled_examples(use_case: UseCase, partitions: list[str]) -> dict[str, int]:
    """How many examples of each partition have a label by now; reads no more than that they have one."""
    found = lake.read(
        f"{use_case.name}.examples", partitions=partitions, columns=(lake.PARTITION,), where=lake.known("label")
    )
    counts = dict.fromkeys(partitions, 0)
    if found is not None:
        for item in found[lake.PARTITION].value_counts().to_pylist():
            counts[item["values"]] = item["counts"]
    return counts


def _labels(use_case: UseCase, partition: Partition) -> pl.DataFrame:
    found = lake.read(
        f"{use_case.name}.examples",
        partitions=[partition.key],
        columns=[*use_case.examples.key, "label"],
        where=lake.known("label"),
    )
    assert found is not None, "predictions are made from examples"  # noqa: S101
    return pl.DataFrame(found).drop_nulls("label").drop_nans("label")


def _predicted_by(
    use_case: UseCase, partition: Partition, version: int, other: int, labels: pl.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a version's rows, and what another version makes of the same rows; a batch at a time."""
    predict = tracking.load(use_case, other)
    key = list(use_case.examples.key)
    known: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    for batch in _scored(use_case, partition, version):
        rows = pl.DataFrame(batch).join(labels, on=key, validate="1:1")
        if rows.height:
            known.append(rows["label"].to_numpy())
            predicted.append(predict(rows.to_pandas()))
    return np.concatenate(known), np.concatenate(predicted)


def _scored(use_case: UseCase, partition: Partition, version: int) -> Iterator[pa.RecordBatch]:
    where = lake.equal("model_version", version)
    return lake.batches(f"{use_case.name}.predictions", partition=partition.key, columns=("*",), where=where)


def _uncertainty(use_case: UseCase, label: np.ndarray, prediction: np.ndarray) -> float:
    """How far the gate's metric may be off: 1.645 standard errors, by the method of batch means."""
    stretches = min(STRETCHES, len(label) // STRETCH_ROWS)
    if stretches < 2:
        return float("inf")
    pieces = zip(np.array_split(label, stretches), np.array_split(prediction, stretches), strict=True)
    values = [metrics.one(use_case, use_case.gate.metric, *piece) for piece in pieces]
    told = [value for value in values if value is not None]
    return _Z * float(np.std(told, ddof=1)) / len(told) ** 0.5 if len(told) > 1 else float("inf")
