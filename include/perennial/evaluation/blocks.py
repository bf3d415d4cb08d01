"""Metrics as functions of how often each block of event time counts.

Rows of one day share weather, prices and mood, so a resample draws whole blocks. What a metric needs of a block is
summed up once; after that its value under any weights of the blocks is a small matrix product, however many the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd

from perennial.evaluation import metrics
from perennial.use_case.metric_names import AT_OR_BELOW, PINBALL, VALUE

Array = np.ndarray
#: (m, blocks) weights, how often each block counts -> (m,) values; nan where the metric is not defined.
Statistic = Callable[[Array], Array]

#: More blocks than this are joined with their neighbours: longer blocks are as valid, and fifty are plenty.
MOST_BLOCKS = 50
#: What `count_informative` counts, in words that follow "blocks".
INFORMATIVE = {
    "binary": " with both classes",
    "multiclass": " with the most frequent class, and with others",
    "regression": "",
}
#: Average precision sorts scores into so many groups of equal size at most; its value moves by some 0.0001.
_SCORE_GROUPS = 1_000
_CELLS = 4_000_000


def blocks_of(times: pd.Series, length: timedelta) -> Array:
    """The block of each row.

    Args:
        times: (n,) event times, UTC.
        length: Of one block; blocks begin at multiples of it since 1970.

    Returns:
        (n,) int64 from 0, in order of time and without gaps.
    """
    since = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    _, block = np.unique(since // (length // timedelta(microseconds=1)), return_inverse=True)
    blocks = count_blocks(block)
    return block if blocks <= MOST_BLOCKS else block * MOST_BLOCKS // blocks


def count_blocks(block: Array) -> int:
    """How many blocks the rows are from, given (n,) as `blocks_of` gives it."""
    return int(block.max(initial=-1)) + 1


def count_informative(task: str, label: Array, block: Array) -> int:
    """The number of blocks that tell something: of classes, those with the most frequent one or those with others.

    Whichever are fewer; of two classes those with the class that occurs in fewer blocks.

    Args:
        task: The use case's.
        label: (n,), as `metrics.evaluate` takes it.
        block: (n,) from `blocks_of`.
    """
    if task == "regression":
        return count_blocks(block)
    values, counts = np.unique(label, return_counts=True)
    if len(values) < 2:
        return 0
    is_most = label == values[counts.argmax()]
    return min(len(np.unique(block[rows])) for rows in (is_most, ~is_most))


def metric(
    name: str,
    label: Array,
    prediction: Array,
    block: Array,
    money: Array | None = None,
    quantile: float | None = None,
) -> Statistic:
    """One metric of `perennial.evaluation.metrics`: the same number where every block counts once.

    Args:
        name: Of the metric.
        label: (n,), as `metrics.evaluate` takes it.
        prediction: (n,), likewise.
        block: (n,) from `blocks_of`.
        money: (n,) what each row is worth: the metric `value` needs nothing else.
        quantile: Which one is predicted: the metric `pinball` needs it.
    """
    if name == VALUE:
        assert money is not None, "the metric `value` is a mean of money"  # noqa: S101
        return mean(money, block)
    if name == PINBALL:
        assert quantile is not None, "the metric `pinball` is of a quantile"  # noqa: S101
        return mean(pinball(label.astype(float), prediction.astype(float), quantile), block)
    if name == AT_OR_BELOW:
        return mean((label <= prediction).astype(float), block)
    if prediction.ndim == 2:
        return _of_classes(name, label, prediction, block)
    if name == "roc_auc":
        return _roc_auc(label == 1, prediction, block)
    if name == "average_precision":
        return _average_precision(label, prediction, block)
    return _of_sums(name, label.astype(float), prediction.astype(float), block)


def pinball(label: Array, prediction: Array, quantile: float) -> Array:
    """(n,) the pinball loss of each row, whose mean the quantile of the label minimizes.

    R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46, 1978.

    Args:
        label: (n,) floats.
        prediction: (n,) floats.
        quantile: Which one is predicted.
    """
    missing = label - prediction
    return np.maximum(quantile * missing, (quantile - 1) * missing)


def calibration_error(
    task: str, label: Array, prediction: Array, block: Array, quantile: float | None = None
) -> Statistic:
    """`metrics.calibration_error`, in bins that every resample shares.

    Args:
        task: The use case's.
        label: (n,), as `metrics.evaluate` takes it.
        prediction: (n,), likewise.
        block: (n,) from `blocks_of`.
        quantile: Which one is predicted; None: none is.
    """
    if quantile is not None:
        share = mean((label <= prediction).astype(float), block)
        return lambda weights: np.abs(share(weights) - quantile)
    label, prediction = label.astype(float), prediction.astype(float)
    if task == "regression":
        sums = _sums(block, np.ones_like(label), prediction - label)
        spread = float(np.std(label)) or 1.0
        return lambda weights: np.abs((weights @ sums[:, 1]) / (weights @ sums[:, 0])) / spread
    rows, positives, expected = metrics.calibration_sums(label, prediction, block)
    return lambda weights: metrics.debiased_error(weights @ rows, weights @ positives, weights @ expected)


def mean(each: Array, block: Array) -> Statistic:
    """The mean of a number that each row has.

    Args:
        each: (n,) floats.
        block: (n,) from `blocks_of`.
    """
    sums = _sums(block, np.ones_like(each), each)

    def value(weights: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (weights @ sums[:, 1]) / (weights @ sums[:, 0])

    return value


def _of_sums(name: str, label: Array, prediction: Array, block: Array) -> Statistic:
    """Metrics that are functions of sums over rows."""
    error = _errors(name, label, prediction)
    centred = label - label.mean()  # The same spread, without the digits that a large mean would cost.
    sums = _sums(block, np.ones_like(error), error, centred, centred**2)

    def value(weights: Array) -> Array:
        rows, lost, total, squares = (weights @ sums).T
        with np.errstate(divide="ignore", invalid="ignore"):
            if name == "rmse":
                return np.sqrt(lost / rows)
            return 1 - lost / (squares - total**2 / rows) if name == "r2" else lost / rows

    return value


def _sums(block: Array, *columns: Array) -> Array:
    """(blocks, columns) sums over the rows of each block."""
    return np.stack([np.bincount(block, weights=each) for each in columns], axis=1)


def _errors(name: str, label: Array, prediction: Array) -> Array:
    if name == "log_loss":
        likely = np.clip(prediction, 1e-15, 1 - 1e-15)
        return -np.log(np.where(label == 1, likely, 1 - likely))
    return np.abs(prediction - label) if name == "mae" else (prediction - label) ** 2


def _of_classes(name: str, label: Array, prediction: Array, block: Array) -> Statistic:
    """Metrics of K classes, from (n,) places of the labels and (n, K) probabilities."""
    if name == "roc_auc":
        return _mean_roc_auc(label, prediction, block)
    if name in ("log_loss", "brier"):
        return mean(_losses(name, label, prediction), block)
    classes = prediction.shape[1]
    cell = (block * classes + label) * classes + prediction.argmax(1)
    # By block, true and predicted class.
    counts = np.bincount(cell, minlength=count_blocks(block) * classes**2).reshape(-1, classes * classes).astype(float)

    def value(weights: Array) -> Array:
        confusion = (weights @ counts).reshape(-1, classes, classes)
        right = np.diagonal(confusion, axis1=1, axis2=2)
        true, said = confusion.sum(2), confusion.sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            if name == "accuracy":
                return right.sum(1) / true.sum(1)
            of_class = right / true if name == "balanced_accuracy" else 2 * right / (true + said)
            return np.where(true > 0, of_class, 0).sum(1) / (true > 0).sum(1)

    return value


def _losses(name: str, label: Array, prediction: Array) -> Array:
    """(n,) each row's loss."""
    if name == "log_loss":
        return -np.log(metrics.never_zero(prediction)[np.arange(len(label)), label])
    return ((prediction - np.eye(prediction.shape[1])[label]) ** 2).sum(1)


def _mean_roc_auc(label: Array, prediction: Array, block: Array) -> Statistic:
    """The mean of the classes that occur, each against all others."""
    of_class = [_roc_auc(label == each, prediction[:, each], block) for each in np.unique(label)]

    def value(weights: Array) -> Array:
        each = np.stack([statistic(weights) for statistic in of_class])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nansum(each, axis=0) / (~np.isnan(each)).sum(0)

    return value


def _roc_auc(positive: Array, prediction: Array, block: Array) -> Statistic:
    """Of every pair of a positive and a negative row, the share in which the positive one is scored higher.

    Ties are half. Counted once for each pair of blocks, which is all that weights of blocks can change.
    """
    blocks = count_blocks(block)
    negative = ~positive
    order = np.argsort(prediction[positive])
    score, home = prediction[positive][order], block[positive][order]
    wins = np.empty((blocks, blocks))
    for other in range(blocks):
        lost = np.sort(prediction[negative & (block == other)])
        beaten = (np.searchsorted(lost, score, "left") + np.searchsorted(lost, score, "right")) / 2
        wins[:, other] = np.bincount(home, weights=beaten, minlength=blocks)
    positives = np.bincount(block[positive], minlength=blocks).astype(float)
    negatives = np.bincount(block[negative], minlength=blocks).astype(float)

    def value(weights: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return ((weights @ wins) * weights).sum(1) / ((weights @ positives) * (weights @ negatives))

    return value


def _average_precision(label: Array, prediction: Array, block: Array) -> Statistic:
    """Precision at each score, weighted by the positives that it adds."""
    blocks = count_blocks(block)
    edges = np.unique(prediction)
    if len(edges) > _SCORE_GROUPS:
        edges = np.unique(np.quantile(prediction, np.arange(_SCORE_GROUPS) / _SCORE_GROUPS, method="inverted_cdf"))
    group = len(edges) - np.searchsorted(edges, prediction, "right")  # 0 holds the highest scores.
    cell, shape = group * blocks + block, (len(edges), blocks)
    positives, negatives = (
        np.bincount(cell[label == value], minlength=shape[0] * blocks).reshape(shape).astype(float) for value in (1, 0)
    )

    def value(weights: Array) -> Array:
        step = max(1, _CELLS // len(edges))
        return np.concatenate([some(weights[at : at + step]) for at in range(0, len(weights), step)])

    def some(weights: Array) -> Array:
        added = positives @ weights.T
        true, false = added.cumsum(0), (negatives @ weights.T).cumsum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(added > 0, true / (true + false), 0.0)
            return (added * precision).sum(0) / true[-1]

    return value
