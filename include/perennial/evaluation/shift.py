"""How much of a loss of performance the shift of the inputs explains, and how much it leaves.

T. T. Cai, H. Namkoong and S. Yadlowsky, "Diagnosing Model Performance Under Distribution Shift", 2023 (DISDE): both
samples are weighted until they look like what they have in common. There, inputs are alike, so what differs between
them is not from the inputs; what each sample loses on the way there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from perennial.evaluation import metrics
from perennial.use_case import UseCase
from perennial.use_case.metric_names import gain

#: With less in common than this, hardly any row of one sample is like a row of the other.
SMALLEST_OVERLAP = 0.1
#: Bins of a number, and categories that are told apart, the most frequent ones.
_BINS = 64
_FOLDS = 2
_FEWEST_VALUES = 50


@dataclass(frozen=True)
class Sample:
    """Predicted rows with their labels.

    Attributes:
        inputs: (n,) rows of the model's inputs.
        label, prediction: (n,) each.
    """

    inputs: pd.DataFrame
    label: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True)
class Shift:
    """What the shift of some columns costs.

    Attributes:
        overlap: What both samples have in common in these columns: 1: everything, 0: nothing.
        cost: By how much the metric is worse for it, positive if it is; None: too little in common, or too few rows, to
            tell.
    """

    overlap: float
    cost: float | None


def cost_of_shift(
    use_case: UseCase, metric: str, before: Sample, after: Sample, columns: Sequence[str], min_rows: int
) -> Shift:
    """What it costs that some columns are distributed otherwise in one sample than in another.

    What is shared has the density pq / (p + q), for the densities p and q of both samples; the weights that lead there
    come from a classifier that tells the samples apart, and from folds in which it was not fitted.

    Args:
        use_case: Its task decides which metrics there are.
        metric: Its name.
        before: The sample that the metric was expected from.
        after: The sample in which it was measured.
        columns: Of the inputs; all of them: what is left is not explained by the inputs.
        min_rows: As few rows as a metric is computed from: weighted samples must be worth as many.
    """
    is_after = _probability(before.inputs, after.inputs, columns)
    weight_before, weight_after = is_after[: len(before.label)], 1 - is_after[len(before.label) :]
    overlap = float(min(1.0, weight_before.mean() + weight_after.mean()))
    if overlap < SMALLEST_OVERLAP or min(map(_worth, (weight_before, weight_after))) < min_rows:
        return Shift(overlap, None)
    lost = 0.0
    for better, worse in (
        ((before, None), (before, weight_before)),
        ((after, weight_after), (after, None)),
    ):
        values = [
            metrics.evaluate_one(use_case, metric, sample.label, sample.prediction, weight=weight)
            for sample, weight in (better, worse)
        ]
        if values[0] is None or values[1] is None:
            return Shift(overlap, None)
        lost += gain(metric, values[0], values[1])
    return Shift(overlap, lost)


def _probability(before: pd.DataFrame, after: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """(n,) by a classifier, that a row is of `after` if both were equally large; n are the rows of both, in order."""
    rows = pd.concat([before[list(columns)], after[list(columns)]], ignore_index=True)
    is_category = [not _is_number(rows[name]) for name in columns]
    encoded = np.column_stack([_encoded(rows[name]) for name in columns])
    label = np.repeat([0, 1], [len(before), len(after)])
    weight = np.where(label == 1, len(rows) / (2 * len(after)), len(rows) / (2 * len(before)))
    classifier = HistGradientBoostingClassifier(
        max_iter=30,
        learning_rate=0.2,
        max_leaf_nodes=8,
        min_samples_leaf=50,
        max_bins=_BINS,
        categorical_features=is_category,
        random_state=0,
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    # In one thread: sums in another order would round otherwise, and a verdict that is repeated would differ.
    with threadpool_limits(1):
        predicted = cross_val_predict(
            classifier, encoded, label, cv=folds, method="predict_proba", params={"sample_weight": weight}
        )
    return np.asarray(predicted)[:, 1]


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)


def _encoded(column: pd.Series) -> np.ndarray:
    """(n,) floats, nan where it is null; of a category its rank by frequency.

    Of a column that is almost always null only whether it is: its values are too few to be binned.
    """
    if column.notna().sum() < _FEWEST_VALUES:
        return column.notna().to_numpy(dtype=float)
    if not _is_number(column):
        ranks = {value: rank for rank, value in enumerate(column.value_counts().index)}
        column = column.map(ranks).clip(upper=_BINS - 1)
    elif pd.api.types.is_datetime64_any_dtype(column):
        return np.where(column.isna(), np.nan, column.astype("int64").to_numpy(float))
    return pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)


def _worth(weight: np.ndarray) -> float:
    """How many rows of equal weight a weighted sample is worth (L. Kish, "Survey Sampling", 1965)."""
    return float(weight.sum() ** 2 / max((weight**2).sum(), np.finfo(float).tiny))
