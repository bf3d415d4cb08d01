"""Metrics of predictions by name: scikit-learn's, and `value`, money per prediction.

Those of several classes are also defined where some of them do not occur: means over classes are over those that do. A
use case that predicts a quantile has `pinball`, scikit-learn's `mean_pinball_loss`, and `at_or_below`, the share of
labels at or below the prediction, too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS
from perennial.use_case.metric_names import AT_OR_BELOW, PINBALL, VALUE

Array = np.ndarray
#: Bins of a calibration error, and of the plot beside it.
BINS = 10
_BINARY: dict[str, Callable[..., float]] = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "log_loss": lambda label, p, **weight: sk.log_loss(label, np.clip(p, 1e-15, 1 - 1e-15), labels=[0, 1], **weight),
    "brier": sk.brier_score_loss,
}


def _log_loss(label: Array, p: Array, **weight: Array | None) -> float:
    return float(sk.log_loss(label, never_zero(p), labels=np.arange(p.shape[1]), **weight))


def _brier(label: Array, p: Array, **weight: Array | None) -> float:
    """The sum over classes (G. Brier, 1950): twice what it is of a binary use case."""
    rows = p / p.sum(1, keepdims=True)  # Exactly: scikit-learn refuses what adds up to more than 1 by rounding.
    return float(sk.brier_score_loss(label, rows.clip(0, 1), labels=np.arange(p.shape[1]), **weight))


def _f1_macro(label: Array, p: Array, **weight: Array | None) -> float:
    present = np.unique(label)
    return float(sk.f1_score(label, p.argmax(1), labels=present, average="macro", zero_division=0, **weight))


def _balanced_accuracy(label: Array, p: Array, **weight: Array | None) -> float:
    present = np.unique(label)
    return float(sk.recall_score(label, p.argmax(1), labels=present, average="macro", **weight))


def _roc_auc_ovr(label: Array, p: Array, **weight: Array | None) -> float:
    """The mean of each class that occurs against all others (F. Provost and P. Domingos, 2001; unweighted)."""
    return float(np.mean([sk.roc_auc_score(label == each, p[:, each], **weight) for each in np.unique(label)]))


_MULTICLASS: dict[str, Callable[..., float]] = {
    "log_loss": _log_loss,
    "brier": _brier,
    "accuracy": lambda label, p, **weight: sk.accuracy_score(label, p.argmax(1), **weight),
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "roc_auc": _roc_auc_ovr,
}
_NEEDS_BOTH_CLASSES = frozenset({"roc_auc", "average_precision"})
_REGRESSION: dict[str, Callable[..., float]] = {
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "r2": sk.r2_score,
}
_OF_TASK = {"binary": _BINARY, MULTICLASS: _MULTICLASS, "regression": _REGRESSION}


def evaluate(use_case: UseCase, label: Array, prediction: Array, money: Array | None = None) -> dict[str, float]:
    """Every metric of the use case's task.

    Args:
        use_case: Its task decides which metrics there are.
        label: (n,) 0/1 for a binary task, the class's place in `classes` for a multi-class one, floats for a
            regression; no nulls.
        prediction: (n,) probability of 1, or the predicted value; of K classes (n, K) the probability of each.
        money: (n,) what each row is worth, by `perennial.evaluation.money`; None: that is not known.

    Returns:
        Metric by name; what needs two classes is left out where only one occurs, `value` where `money` is None.
    """
    of_quantile = [] if use_case.quantile is None else [PINBALL, AT_OR_BELOW]
    names = [*_OF_TASK[use_case.task], *of_quantile, VALUE]
    values = {name: evaluate_one(use_case, name, label, prediction, money) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def evaluate_one(
    use_case: UseCase,
    name: str,
    label: Array,
    prediction: Array,
    money: Array | None = None,
    weight: Array | None = None,
) -> float | None:
    """One metric of `evaluate`.

    Args:
        use_case: Its task decides which metrics there are.
        name: Of the metric.
        label: (n,), as `evaluate` takes it.
        prediction: (n,), likewise.
        money: (n,), likewise.
        weight: (n,) how much each row counts; None: all alike.

    Returns:
        None where the metric needs two classes and only one occurs, and of `value` where `money` is None.
    """
    if name == VALUE:
        return float(np.average(money, weights=weight)) if money is not None else None
    if name == PINBALL:
        return float(sk.mean_pinball_loss(label, prediction, alpha=use_case.quantile, sample_weight=weight))
    if name == AT_OR_BELOW:
        return float(np.average(label <= prediction, weights=weight))
    if name in _NEEDS_BOTH_CLASSES and len(np.unique(label)) < 2:
        return None
    function = _OF_TASK[use_case.task][name]
    return float(function(label, prediction, sample_weight=weight))


def expected(name: str, probability: Array, prediction: Array) -> float:
    """The metric to expect where labels are missing: each row is positive by its probability, negative by the rest.

    Args:
        name: Of a metric of probabilities; of classes a mean over rows: log_loss, brier or accuracy.
        probability: (n,) of a positive label; of K classes (n, K), which add up to 1.
        prediction: Likewise, what the model predicted, which the metric is of.
    """
    if prediction.ndim == 2:
        return float(_expected_losses(name, probability, prediction).mean())
    label = np.repeat([1, 0], len(prediction))
    weight = np.concatenate([probability, 1 - probability])
    return float(_BINARY[name](label, np.tile(prediction, 2), sample_weight=weight))


def never_zero(prediction: Array) -> Array:
    """(n, K) probabilities whose logarithms are finite: a log loss counts one of 0 as 1e-15.

    Args:
        prediction: (n, K) probabilities.
    """
    possible = np.clip(prediction, 1e-15, 1)
    return possible / possible.sum(1, keepdims=True)


def _expected_losses(name: str, probability: Array, prediction: Array) -> Array:
    """(n,) the mean over the classes that a row may be of."""
    if name == "accuracy":
        return probability[np.arange(len(prediction)), prediction.argmax(1)]
    if name == "log_loss":
        return -(probability * np.log(never_zero(prediction))).sum(1)
    return 1 - 2 * (probability * prediction).sum(1) + (prediction**2).sum(1)


def calibration_error(use_case: UseCase, label: Array, prediction: Array) -> float:
    """How far predictions are from outcomes on average; 0 is perfect.

    Of probabilities: the root mean square distance between predicted and observed rate in bins of equal mass, less what
    chance alone would make of it (A. Kumar, P. Liang and T. Ma, "Verified Uncertainty Calibration", NeurIPS 2019,
    definition 4.2); of several classes the root mean square over them (there called the marginal calibration
    error, with equal weights). Of predicted values: their mean bias, in standard deviations of the label; where the
    label does not vary, in its own unit. Of predicted quantiles: how far the share of labels at or below them is from
    the declared one.

    Args:
        use_case: Its task decides which of the two.
        label: (n,) as `evaluate` takes it, n at least 1.
        prediction: (n,), likewise.
    """
    if use_case.quantile is not None:
        return float(abs(np.mean(label <= prediction) - use_case.quantile))
    if use_case.task == "regression":
        return float(abs(np.mean(prediction - label)) / (np.std(label) or 1.0))
    return float(debiased_error(*(sums[0] for sums in calibration_sums(label, prediction, np.zeros(len(label), int)))))


def calibration_sums(label: Array, prediction: Array, block: Array) -> tuple[Array, Array, Array]:
    """What `debiased_error` needs, by block: (blocks, bins) each; of K classes the bins of one follow those of another.

    Args:
        label: (n,) as `evaluate` takes it, n at least 1.
        prediction: (n,) or (n, K), likewise.
        block: (n,) the block of each row.
    """
    of_class = [(label, prediction)]
    if prediction.ndim == 2:
        of_class = [(label == each, prediction[:, each]) for each in range(prediction.shape[1])]
    blocks, summed = int(block.max()) + 1, []
    for is_positive, probability in of_class:
        cell = block * BINS + equal_mass_bins(probability)
        weights = (np.ones(len(label)), is_positive, probability)
        summed.append([np.bincount(cell, each, blocks * BINS).reshape(blocks, BINS) for each in weights])
    rows, positives, expected = (np.concatenate(each, axis=1) for each in zip(*summed, strict=True))
    return rows, positives, expected


def equal_mass_bins(prediction: Array) -> Array:
    """(n,) the bin of each prediction, below `BINS`; equal predictions share one, so that some may be empty."""
    edges = np.quantile(prediction, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, prediction, side="right")


def debiased_error(rows: Array, positives: Array, expected: Array) -> Array:
    """The calibration error of probabilities from sums by bin.

    Args:
        rows: (..., bins) number of rows.
        positives: (..., bins) number of positive rows.
        expected: (..., bins) sum of the predictions.

    Returns:
        (...) root mean square distances.
    """
    some = np.maximum(rows, 1)
    observed = positives / some
    chance = observed * (1 - observed) / np.maximum(rows - 1, 1)
    squares = (expected / some - observed) ** 2 - chance
    return np.sqrt(np.maximum((rows * squares).sum(-1) / rows.sum(-1), 0))
