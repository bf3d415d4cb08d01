"""What a column matters to a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from perennial.evaluation import metrics
from perennial.use_case import UseCase, gain

#: Rows that a model predicts in one call when its importances are found.
PREDICTED_AT_ONCE = 100_000

Predict = Callable[[pd.DataFrame], np.ndarray]


def importances(use_case: UseCase, predict: Predict, features: pd.DataFrame, label: pd.Series) -> dict[str, float]:
    """Each column's share in a model's skill: the gate metric lost when the column is shuffled.

    Permutation importance (Breiman 2001) on at most 5,000 rows of the holdout, with a fixed seed; shares sum to 1.
    """
    # The seed is fixed, not the run's: importance describes a model and must not change when it is described twice.
    random = np.random.default_rng(0)
    rows = np.sort(random.permutation(len(features))[:5_000])
    sample, truth = features.iloc[rows], label.iloc[rows].to_numpy()
    metric = use_case.gate.metric
    whole = metrics.evaluate_one(use_case, metric, truth, predict(sample))
    if whole is None:
        return dict.fromkeys(features.columns, 1 / len(features.columns))
    lost: dict[str, float] = {}
    # A prediction costs less in one large call than in many small ones.
    step = max(1, PREDICTED_AT_ONCE // len(sample))
    for first in range(0, len(features.columns), step):
        names = features.columns[first : first + step]
        shuffled = [sample.assign(**{name: sample[name].to_numpy()[random.permutation(len(sample))]}) for name in names]
        predictions = np.split(predict(pd.concat(shuffled, ignore_index=True)), len(names))
        for name, prediction in zip(names, predictions, strict=True):
            left = metrics.evaluate_one(use_case, metric, truth, prediction)
            lost[name] = max(0.0, gain(metric, whole, left)) if left is not None else 0.0
    total = sum(lost.values())
    return {name: value / total if total else 1 / len(lost) for name, value in lost.items()}
