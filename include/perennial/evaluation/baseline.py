"""The baseline model, which the first challenger must beat: a prediction that needs no training."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.errors import BadFeatures
from perennial.evaluation import metrics, thresholds
from perennial.lake import labels
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS
from perennial.use_case.metric_names import VALUE, gain

Array = np.ndarray


def constant_predictions(use_case: UseCase, fit_label: Array, rows: int) -> Array:
    """Predict the mean of the labels (of classes: how frequent each is) or a quantile, whatever the features are.

    Args:
        use_case: Whose task and classes.
        fit_label: (n,) labels of the rows that the model was fitted on, as `metrics.evaluate` takes them.
        rows: How many predictions to make.

    Returns:
        (rows,) floats; of a multi-class use case (rows, K).
    """
    if use_case.task == MULTICLASS:
        return np.tile(np.bincount(fit_label, minlength=len(use_case.classes)) / len(fit_label), (rows, 1))
    quantile = use_case.quantile
    return np.full(rows, float(np.mean(fit_label) if quantile is None else np.quantile(fit_label, quantile)))


def predictions(use_case: UseCase, fit_label: Array, rows: pd.DataFrame) -> Array:
    """Predict by a constant, or by the feature that `gate.baseline` names, whichever is better on `rows`.

    Args:
        use_case: Whose gate.
        fit_label: (n,) labels of the rows that the model was fitted on, as `metrics.evaluate` takes them.
        rows: (m,) rows with `label` and the features.

    Returns:
        (m,) floats, or (m, K). Where the feature is missing, the constant replaces it.

    Raises:
        BadFeatures: there is no such feature.
    """
    constant = constant_predictions(use_case, fit_label, len(rows))
    feature, metric = use_case.gate.baseline, use_case.gate.metric
    if feature is None:
        return constant
    if feature not in rows:
        raise BadFeatures(
            f"Use case {use_case.name!r}: gate.baseline names {feature!r}, which is no feature of its examples or of"
            f" feature service {use_case.feature_service!r}.",
            f"Correct it in include/use_cases/{use_case.name}/use_case.py.",
        )
    values = rows[feature].to_numpy(dtype=float)
    by_feature = np.where(np.isnan(values), constant, values)
    label = labels.encoded(use_case, rows["label"])
    both = (by_feature, constant)
    worth = [thresholds.judged(use_case, rows, each, is_model=False) if metric == VALUE else None for each in both]
    feature_metric, constant_metric = (
        metrics.evaluate_one(use_case, metric, label, *each) for each in zip(both, worth, strict=True)
    )
    is_better = (
        feature_metric is not None and constant_metric is not None and gain(metric, feature_metric, constant_metric) > 0
    )
    return by_feature if is_better else constant
