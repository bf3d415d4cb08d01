"""Measures how good a version's predictions of a partition were in production, as far as their labels have matured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from perennial import lake
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.evaluation import metrics, money, thresholds
from perennial.feature_store import repository
from perennial.lake import labels, prediction_columns
from perennial.monitoring import live_classes, live_slices
from perennial.monitoring.live_slices import SlicePerformance
from perennial.monitoring.verdict import ClassEvidence
from perennial.partitions import Partition
from perennial.registry import ledger, model_loading
from perennial.registry.ledger import Entry
from perennial.served_predictions.table import COUNTING, MADE_AHEAD
from perennial.use_case import UseCase
from perennial.use_case.interval import LOWER, UPPER

log = logging.getLogger(__name__)
#: A metric's uncertainty is estimated from at most so many batches of consecutive rows, each of at least so many rows.
BATCHES, BATCH_ROWS = 20, 25
#: The column of `predictions` that says how one came to be; null in rows from before there was more than one way.
SERVED_AS = "served_as"
_IS_SERVED = pl.col(SERVED_AS).is_in(COUNTING).fill_null(False)
_IS_AHEAD = (pl.col(SERVED_AS) == MADE_AHEAD).fill_null(False)
#: Standard errors of a one-sided 95% bound.
_Z = 1.645


@dataclass(frozen=True)
class Performance:
    """A version's production performance on one partition.

    Attributes:
        rows, labelled: Predictions of the version, and those with a label.
        served, served_labelled: The same of those that were served before batch scoring filled in the others.
        ahead: Of the served ones, those that were made ahead of their moment; the others were answered on request.
        is_of_served: Whether the metrics are those of the predictions that were served; else of all.
        champion, first: Metric by name, of the version that scored and of the first model that ever served, on the same
            rows; empty while there are too few labels.
        first_version: The first model; None where `first` is empty.
        first_left_out: Why the first model's metrics are missing although there are enough labels; else empty.
        baseline_value: The metric `value` of the baseline model on the same rows; None: it is not known.
        value_left_out: Why the metric `value` is missing although the others are there; else empty.
        uncertainty: By how much the gate's metric may be off (95%, one-sided); infinite where there are too few rows
            to tell. From batches of consecutive rows, because rows of one day resemble each other.
        slices: The gate's metric on each of its slices with enough labels.
        labelled_rows: What the metrics are of, as `judged` returns it; None: too few labels.
        classes: Of a multi-class use case the labelled predictions of each class.
    """

    rows: int
    labelled: int
    champion: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    first_version: int | None = None
    first_left_out: str = ""
    baseline_value: float | None = None
    value_left_out: str = ""
    uncertainty: float = 0.0
    served: int = 0
    served_labelled: int = 0
    ahead: int = 0
    is_of_served: bool = False
    slices: tuple[SlicePerformance, ...] = ()
    labelled_rows: pl.DataFrame | None = field(default=None, compare=False, repr=False)
    classes: dict[str, ClassEvidence] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """The share of predictions with a label, 0 to 1."""
        return self.labelled / self.rows if self.rows else 0.0

    @property
    def judged(self) -> int:
        """How many predictions the metrics are of."""
        return self.served_labelled if self.is_of_served else self.labelled


def measure(use_case: UseCase, partition: Partition, version: int) -> Performance:
    """Compare a version's predictions of a partition with the labels that have matured by now.

    Metrics are computed from `drift.min_coverage` and `drift.min_rows` on: the first labels to mature are seldom like
    the rest. They are those of the predictions that were served, if these reach both by themselves, else of all.

    Args:
        use_case: Whose predictions.
        partition: A scored partition.
        version: The version that scored it.

    Raises:
        ServiceUnavailable: MLflow, which holds the first model, does not answer.
    """
    counted, labelled = judged(use_case, partition, version)
    if labelled is None:
        return counted
    label, prediction = labels.encoded(use_case, labelled["label"]), labelled["prediction"].to_numpy()
    frame, entries = labelled.to_pandas(), ledger.entries(use_case)
    worth, baseline_worth, value_left_out = _worth(use_case, partition, version, entries, frame)
    champion = metrics.evaluate(use_case, label, prediction, worth)
    first_version = ledger.promotions(use_case)[0].model_version
    first, left_out = champion, ""
    if first_version != version:
        with_value = worth is not None
        first, left_out = _first_model_metrics(use_case, partition, version, first_version, labelled, with_value)
    return replace(
        counted,
        champion=champion,
        first=first,
        first_version=first_version if first else None,
        first_left_out=left_out,
        baseline_value=float(baseline_worth.mean()) if baseline_worth is not None else None,
        value_left_out=value_left_out,
        uncertainty=uncertainty(use_case, label, prediction, worth),
        slices=live_slices.measure(use_case, frame, partial(uncertainty, use_case), worth),
        labelled_rows=labelled,
        classes=live_classes.measure(use_case, label, prediction),
    )


def _worth(
    use_case: UseCase, partition: Partition, version: int, entries: list[Entry], rows: pd.DataFrame
) -> tuple[np.ndarray | None, np.ndarray | None, str]:
    """What each row is worth by a version's decisions, and by the baseline model's; or why that is not known.

    A function that fails, on a null that no training set had, must not stop the champion's monitoring.
    """
    says, acting_from = thresholds.recorded_baseline(entries, version), thresholds.recorded(use_case, entries, version)
    try:
        worth = money.of_rows(use_case, rows, prediction_columns.array(rows["prediction"]), acting_from)
        return worth, money.of_baseline(use_case, rows, says) if says is not None else None, ""
    except PerennialError as error:
        log.warning("%s %s: what decisions are worth is left out: %s", use_case.name, partition, error.problem)
        return None, None, error.problem


def fell(use_case: UseCase, lost: float | None, measured: Performance) -> bool:
    """Whether so much was lost against what was expected that it is an alarm.

    Few labels can make a good model look bad: it must be certain that anything was lost.

    Args:
        use_case: Its drift policy says how much may be lost.
        lost: By how much the gate's metric is worse than expected; None: not known.
        measured: What was measured.
    """
    most = use_case.drift.performance_drop
    return most is not None and lost is not None and lost > max(most, measured.uncertainty)


def judged(use_case: UseCase, partition: Partition, version: int) -> tuple[Performance, pl.DataFrame | None]:
    """The labelled predictions by which a version is judged on a partition: see `measure`.

    Args:
        use_case: Whose predictions.
        partition: A scored partition.
        version: The version that scored it.

    Returns:
        The counts, without metrics; and the rows with key, `event_timestamp`, `prediction` (see
        `prediction_columns.gathered`), `label` and those of `evaluated_columns` that predictions have, where an
        interval is declared bounds and `predicted_at`, in order of time, or None while there are too few.
    """
    key = list(use_case.examples.key)
    truth = labels.read_known(use_case, partition)
    predictions = _predictions(use_case, partition, version)
    labelled = predictions.join(truth, on=key, validate="1:1").sort("event_timestamp", *key)
    served, served_labelled = predictions.filter(_IS_SERVED), labelled.filter(_IS_SERVED)
    is_of_served = bool(served.height) and _is_enough(use_case, served_labelled, served)
    counted = Performance(
        rows=predictions.height,
        labelled=labelled.height,
        served=served.height,
        served_labelled=served_labelled.height,
        ahead=served.filter(_IS_AHEAD).height,
        is_of_served=is_of_served,
    )
    if is_of_served:
        return counted, served_labelled
    return counted, labelled if _is_enough(use_case, labelled, predictions) else None


def _predictions(use_case: UseCase, partition: Partition, version: int) -> pl.DataFrame:
    """A version's predictions of a partition: what `judged` says, without labels, and `served_as`."""
    name = use_case.tables.predictions
    table = lake.table(name)
    stored = set(table.schema().column_names) if table is not None else set()
    bounds = {LOWER, UPPER, "predicted_at"} if use_case.interval is not None else set()
    is_known, evaluated = SERVED_AS in stored, stored & {*use_case.evaluated_columns, *bounds}
    wanted = (
        *use_case.examples.key,
        "event_timestamp",
        *(name for name in prediction_columns.names(use_case) if name in stored),
        *([SERVED_AS] if is_known else []),
        *sorted(evaluated),
    )
    columns = list(dict.fromkeys(wanted))
    where = lake.equals("model_version", version)
    rows = pl.DataFrame(lake.read(name, partitions=[partition.key], columns=columns, where=where))
    rows = prediction_columns.gathered(use_case, rows)
    return rows if is_known else rows.with_columns(pl.lit(None, pl.String).alias(SERVED_AS))


def _is_enough(use_case: UseCase, labelled: pl.DataFrame, predictions: pl.DataFrame) -> bool:
    """Whether so many labels say something about these predictions."""
    policy = use_case.drift
    return labelled.height >= policy.min_rows and labelled.height >= policy.min_coverage * predictions.height


def _first_model_metrics(
    use_case: UseCase, partition: Partition, version: int, first: int, labelled: pl.DataFrame, with_value: bool = True
) -> tuple[dict[str, float], str]:
    """The first model's metrics on a version's rows, `value` only if it is known of that version; or none, and why.

    They are there for comparison only: whatever is wrong with an old model must not stop the champion's monitoring.
    """
    try:
        if gone := _no_longer_served(use_case, partition, version, model_loading.inputs(use_case, first)):
            problem = f"its inputs {', '.join(gone)} are no longer served"
        else:
            rows = beside(use_case, partition, version, model_loading.load(use_case, first), labelled)
            label, prediction = labels.encoded(use_case, rows["label"]), rows["other"].to_numpy()
            threshold = thresholds.recorded(use_case, ledger.entries(use_case), first)
            worth = money.of_rows(use_case, rows.to_pandas(), prediction, threshold) if with_value else None
            return metrics.evaluate(use_case, label, prediction, worth), ""
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


def beside(
    use_case: UseCase, partition: Partition, version: int, predict: model_loading.Predict, labelled: pl.DataFrame
) -> pl.DataFrame:
    """The rows by which a version is judged, beside what another version predicts from the same features.

    Args:
        use_case: Whose predictions.
        partition: A scored partition.
        version: The version that scored it.
        predict: The other version, as `model_loading.load` gives it.
        labelled: The rows, as `judged` gives them.

    Returns:
        (n,) rows with `event_timestamp`, `label`, `prediction`, `other`, the other version's prediction (both as
        `prediction_columns.gathered` has them), and the
        columns that the declared value needs, where predictions have them.

    Raises:
        PerennialError: the other version lacks a feature.
    """
    key = list(use_case.examples.key)
    truth = labelled.select(*key, "label")
    of_value = use_case.value.columns if use_case.value is not None else ()
    own = ["event_timestamp", "label", "prediction"]
    needed = [name for name in dict.fromkeys(of_value) if name in labelled.columns and name not in own]
    found: list[pl.DataFrame] = []
    for batch in _scored(use_case, partition, version):
        rows = pl.DataFrame(batch).join(truth, on=key, validate="1:1")
        if rows.height:
            predicted = pl.Series("other", predict(rows.to_pandas()))
            rows = prediction_columns.gathered(use_case, rows)
            found.append(rows.select(*own, predicted, *needed))
    return pl.concat(found)


def _scored(use_case: UseCase, partition: Partition, version: int) -> Iterator[pa.RecordBatch]:
    where = lake.equals("model_version", version)
    return lake.iter_batches(use_case.tables.predictions, partition=partition.key, columns=("*",), where=where)


def uncertainty(
    use_case: UseCase,
    label: np.ndarray,
    prediction: np.ndarray,
    worth: np.ndarray | None = None,
    errors: float = _Z,
) -> float:
    """How far the gate's metric may be off: by so many standard errors, by the method of batch means.

    Args:
        use_case: Its gate names the metric.
        label: (n,) in order of time.
        prediction: (n,) likewise.
        worth: (n,) likewise, in money; None: that is not known.
        errors: How many standard errors; by default those of a one-sided 95% bound.
    """
    batches = min(BATCHES, len(label) // BATCH_ROWS)
    if batches < 2:
        return float("inf")
    places = np.array_split(np.arange(len(label)), batches)
    every = [(label[at], prediction[at], worth[at] if worth is not None else None) for at in places]
    values = [metrics.evaluate_one(use_case, use_case.gate.metric, *each) for each in every]
    defined = [value for value in values if value is not None]
    return errors * float(np.std(defined, ddof=1)) / len(defined) ** 0.5 if len(defined) > 1 else float("inf")
