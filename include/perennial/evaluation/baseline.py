"""What the first model must beat: a guess that needs no model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.errors import BadFeatures
from perennial.evaluation import metrics
from perennial.use_case import UseCase, gain

Array = np.ndarray


def constant_predictions(fitted_on: Array, rows: int) -> Array:
    """Predictions of the trivial baseline: the rate or mean of the labels it was fitted on, whatever the features say.

    Args:
        fitted_on: (n,) labels of the training rows.
        rows: How many predictions to make.

    Returns:
        (rows,) floats.
    """
    return np.full(rows, float(np.mean(fitted_on)))


def predictions(use_case: UseCase, fitted_on: Array, rows: pd.DataFrame) -> Array:
    """The trivial baseline's predictions of `rows`, or the gate's `baseline` feature, whichever is better on them.

    Args:
        use_case: Whose gate.
        fitted_on: (n,) labels of the rows that the model was fitted on.
        rows: With `label` and the features.

    Returns:
        (len(rows),) floats. Where the feature is missing, the trivial baseline stands in for it.

    Raises:
        BadFeatures: the model does not see the feature that the gate names.
    """
    constant = constant_predictions(fitted_on, len(rows))
    feature, metric = use_case.gate.baseline, use_case.gate.metric
    if feature is None:
        return constant
    if feature not in rows:
        raise BadFeatures(
            f"Use case {use_case.name!r}: gate.baseline names {feature!r}, which is no feature of its examples or of"
            f" feature service {use_case.feature_service!r}.",
            f"Correct it in include/use_cases/{use_case.name}/use_case.py.",
        )
    known = rows[feature].to_numpy(dtype=float)
    guess = np.where(np.isnan(known), constant, known)
    label = rows["label"].to_numpy()
    guessed, flat = (metrics.evaluate_one(use_case, metric, label, each) for each in (guess, constant))
    is_better = guessed is not None and flat is not None and gain(metric, guessed, flat) > 0
    return guess if is_better else constant
