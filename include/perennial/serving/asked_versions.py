"""What each version said to the requests of `perennial ask`: those that answered, and the one in shadow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from perennial import lake
from perennial.evaluation import metrics, money, thresholds
from perennial.lake import labels as labels_in_lake
from perennial.lake import prediction_columns
from perennial.partitions import Partition
from perennial.registry import ledger, rollouts
from perennial.registry.rollouts import RolloutState
from perennial.served_predictions import carrying
from perennial.served_predictions.segments import log_folder
from perennial.served_predictions.table import ServedAs
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS

if TYPE_CHECKING:
    from perennial.serving.asking import Answer

#: Seconds that a server may take to load a challenger that the ledger names.
_LOADED_WITHIN = 60.0
#: Seconds until what a server answered is in the lake, also where only the server itself can carry it: once a minute.
_RECORDED_WITHIN = 90.0
#: Seconds after which nothing more is expected: shadows are predicted a second after the answers, and may be dropped.
_QUIET = 5.0
_NOTHING = pl.DataFrame(
    schema={
        "prediction_id": pl.String,
        "shadow_of": pl.String,
        "model_version": pl.Int64,
        "prediction": pl.Float64,
        "error": pl.String,
    }
)


@dataclass(frozen=True)
class Said:
    """What one version said, in one way.

    Attributes:
        version: The version.
        served_as: `champion` or `canary`: it answered. `shadow`: it predicted what another one answered.
        requests: How many it predicted.
        failed: How many it failed to predict in shadow.
        metric: The use case's metric where the label is known; None: too few labels.
        seconds: (n,) how long each answer took, as the caller saw it; empty in shadow, for which nobody waits.
        interval_coverage: The share of known labels within the prediction intervals of its answers; None: it has none.
    """

    version: int
    served_as: ServedAs
    requests: int
    failed: int
    metric: float | None
    seconds: np.ndarray
    interval_coverage: float | None = None

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share was answered; None: nobody waited."""
        return float(np.quantile(self.seconds, share)) if len(self.seconds) else None


def tried(use_case: UseCase, server: httpx.Client) -> RolloutState | None:
    """The challenger that the ledger names; waits until the server has loaded it, if it can.

    Args:
        use_case: Whose.
        server: Where `/ready` is answered.

    Raises:
        ServiceUnavailable: the lake does not answer.
    """
    state = rollouts.under_way(use_case, ledger.entries(use_case))
    deadline = time.monotonic() + _LOADED_WITHIN
    while state is not None and time.monotonic() < deadline:
        served = server.get("/ready").json()["use_cases"].get(use_case.name, {})
        if served.get("challenger") == state.version:
            break  # Loaded; or it cannot be: then each of its predictions is missing below.
        time.sleep(0.2)
    return state


def in_shadow(use_case: UseCase, ids: Sequence[str], first: Partition, last: Partition) -> pl.DataFrame:
    """What was predicted in shadow of answers, once it is in the lake.

    Args:
        use_case: Whose answers.
        ids: Their prediction ids.
        first: The partition of the first request, by event time.
        last: The partition of the last one.

    Returns:
        `shadow_of`, `model_version`, `error` and the columns of predictions; without those that were dropped, or are
        not recorded yet after a minute and a half.

    Raises:
        ServiceUnavailable: the lake does not answer.
    """
    shadows, changed = _NOTHING, time.monotonic()
    deadline = changed + _RECORDED_WITHIN
    while shadows.height < len(ids) and time.monotonic() < deadline:
        carrying.carry(log_folder())
        table = lake.table(use_case.tables.served_predictions)
        stored = table.schema().column_names if table is not None else []
        of_classes = [name for name in prediction_columns.probabilities(use_case) if name in stored]
        columns = [*_NOTHING.columns, *of_classes]
        recorded = lake.read(use_case.tables.served_predictions, between=(first.key, last.key), columns=columns)
        rows = pl.DataFrame(recorded) if recorded is not None else _NOTHING
        before, shadows = shadows.height, rows.filter(pl.col("shadow_of").is_in(ids))
        answers = rows.filter(pl.col("prediction_id").is_in(ids)).height
        if shadows.height > before or answers < len(ids):
            changed = time.monotonic()
        elif time.monotonic() > changed + _QUIET:
            break
        time.sleep(0.5)
    return shadows


def answered(use_case: UseCase, answers: Sequence[Answer], labels: np.ndarray, challenger: int | None) -> list[Said]:
    """What the versions that answered said, a canary after the champion.

    Args:
        use_case: Whose metric.
        answers: n answers.
        labels: (n,) NaN where not known.
        challenger: The version that may answer as a canary; None: none does.
    """
    said = []
    versions = {each.model_version for each in answers if each.model_version is not None}
    for version in sorted(versions, key=lambda each: (each == challenger, each)):
        its = np.array([each.model_version == version for each in answers])
        seconds = np.array([each.seconds for each in answers])[its]
        served_as: ServedAs = "canary" if version == challenger else "champion"
        metric = metric_of(use_case, predictions(use_case, answers)[its], labels[its], version)
        covered = _interval_coverage([each for each, is_its in zip(answers, its, strict=True) if is_its], labels[its])
        said.append(Said(version, served_as, int(its.sum()), 0, metric, seconds, covered))
    return said


def shadowed(
    use_case: UseCase, shadows: pl.DataFrame, answers: Sequence[Answer], labels: np.ndarray, challenger: int
) -> list[Said]:
    """What was said in shadow, by version; of a challenger that said nothing at all, too.

    Args:
        use_case: Whose metric.
        shadows: As `in_shadow` returns them.
        answers: n answers.
        labels: (n,) NaN where not known.
        challenger: The version that is tried.
    """
    places = {each.prediction_id: place for place, each in enumerate(answers) if each.prediction_id is not None}
    said = []
    for version in sorted(shadows["model_version"].unique()):
        rows = shadows.filter(pl.col("model_version") == version)
        good = rows.filter(pl.col("error").is_null())
        truth = labels[[places[each] for each in good["shadow_of"]]]
        its = prediction_columns.gathered(use_case, good)["prediction"].to_numpy()
        metric = metric_of(use_case, its, truth, version)
        said.append(Said(version, "shadow", good.height, rows.height - good.height, metric, np.empty(0)))
    if all(challenger != each.version for each in said) and all(challenger != each.model_version for each in answers):
        said.append(Said(challenger, "shadow", 0, 0, None, np.empty(0)))
    return said


def _interval_coverage(answers: Sequence[Answer], labels: np.ndarray) -> float | None:
    """The share of labels within the bounds that were answered, of those that are known."""
    pairs = [(label, each.bounds) for label, each in zip(labels, answers, strict=True) if each.bounds is not None]
    within = [low <= label <= high for label, (low, high) in pairs if not np.isnan(label)]
    return float(np.mean(within)) if within else None


def labels_of(use_case: UseCase, column: pa.ChunkedArray) -> np.ndarray:
    """(n,) labels as floats, of a multi-class use case the place in `classes`; NaN where not known."""
    if use_case.task != MULTICLASS:
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    known, values = labels_in_lake.are_known(column).to_numpy(), np.full(len(column), np.nan)
    values[known] = labels_in_lake.encoded(use_case, column.filter(pa.array(known)))
    return values


def predictions(use_case: UseCase, answers: Sequence[Answer]) -> np.ndarray:
    """(n,) or (n, K) what was answered, NaN where nothing was."""
    if use_case.task == MULTICLASS:
        said = [each.probabilities or {} for each in answers]
        # A server that was started before a class was declared gives it no probability.
        return np.array([[each.get(name, 0.0 if each else np.nan) for name in use_case.classes] for each in said])
    return np.array([np.nan if each.prediction is None else each.prediction for each in answers])


def metric_of(use_case: UseCase, predicted: np.ndarray, labels: np.ndarray, version: int | None = None) -> float | None:
    """The use case's metric where both are known; None: nowhere.

    Args:
        use_case: Its gate names the metric.
        predicted: (n,) or (n, K), NaN where there is none.
        labels: (n,) NaN where not known.
        version: Who predicted, which decides by a threshold of its own; None: several did, or nobody.
    """
    known = ~np.isnan(predicted).reshape(len(labels), -1).any(axis=1) & ~np.isnan(labels)
    if not known.any():
        return None
    threshold = None
    if use_case.value is not None and version is not None:
        threshold = thresholds.recorded(use_case, ledger.entries(use_case), version)
    worth = money.of_rows(use_case, pd.DataFrame({"label": labels[known]}), predicted[known], threshold)
    truth = labels[known].astype(int) if use_case.task == MULTICLASS else labels[known]
    return metrics.evaluate_one(use_case, use_case.gate.metric, truth, predicted[known], worth)
