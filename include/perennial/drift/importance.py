"""Feature importance: how much a model's metric depends on each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from perennial.evaluation import metrics, money, thresholds
from perennial.evaluation.blocks import MOST_BLOCKS
from perennial.lake import labels
from perennial.use_case import UseCase
from perennial.use_case.metric_names import gain

#: Rows that a model predicts in one call while its importances are computed.
PREDICTED_AT_ONCE = 100_000

Predict = Callable[[pd.DataFrame], np.ndarray]


def importances(use_case: UseCase, predict: Predict, holdout: pd.DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Permutation importance: the share of the gate's metric lost when a column is shuffled.

    L. Breiman, "Random Forests", Machine Learning 45, 2001; on at most 5,000 rows, with a fixed seed.

    Args:
        use_case: Whose gate metric is used.
        predict: The model, from features to (n,) predictions.
        holdout: (n,) rows with `label`, the model's inputs, and the columns of `value`.
        columns: The model's inputs.

    Returns:
        Column -> importance, 0 to 1; they sum to 1.
    """
    # The seed is fixed, not the run's: importance describes a model and must not change when it is described twice.
    random = np.random.default_rng(0)
    judged = holdout.iloc[np.sort(random.permutation(len(holdout))[:5_000])]
    sample, metric, predicted = judged[list(columns)], use_case.gate.metric, predict(judged[list(columns)])
    # All by one threshold: what is compared are predictions of one model.
    block = np.arange(len(judged)) * MOST_BLOCKS // len(judged)
    threshold, label = thresholds.choose(use_case, judged, predicted, block), labels.encoded(use_case, judged["label"])

    def measure(prediction: np.ndarray) -> float | None:
        worth = money.of_rows(use_case, judged, prediction, threshold)
        return metrics.evaluate_one(use_case, metric, label, prediction, worth)

    whole = measure(predicted)
    if whole is None:
        return dict.fromkeys(columns, 1 / len(columns))
    lost: dict[str, float] = {}
    # A prediction costs less in one large call than in many small ones.
    step = max(1, PREDICTED_AT_ONCE // len(sample))
    for first in range(0, len(columns), step):
        names = columns[first : first + step]
        shuffled = [sample.assign(**{name: sample[name].to_numpy()[random.permutation(len(sample))]}) for name in names]
        predictions = np.split(predict(pd.concat(shuffled, ignore_index=True)), len(names))
        for name, prediction in zip(names, predictions, strict=True):
            left = measure(prediction)
            lost[name] = max(0.0, gain(metric, whole, left)) if left is not None else 0.0
    total = sum(lost.values())
    return {name: value / total if total else 1 / len(lost) for name, value in lost.items()}
