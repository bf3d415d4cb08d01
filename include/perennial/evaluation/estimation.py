"""Estimates a metric of predictions whose labels are missing, from a holdout where they are known.

- Probabilities: they are calibrated on the holdout, and then each row counts as a positive one by its probability and
  as a negative one by the rest, or as each class by its own (confidence-based performance estimation; J. Białek et al.,
  "Estimating Model Performance Under Covariate Shift Without Labels", arXiv:2401.08348, as in NannyML).
- Predicted values: a second model learns the loss of each row from its features and prediction (NannyML's direct loss
  estimation).

Both see that other rows are predicted now, harder or easier ones; neither can see that the same rows got other labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logit
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from perennial.evaluation import blocks, metrics
from perennial.use_case import UseCase
from perennial.use_case.metric_names import PINBALL

Array = np.ndarray
#: The rows' features and predictions -> the metric that is expected of them.
Estimator = Callable[[pd.DataFrame, Array], float]

#: Two-sided confidence of an interval.
CONFIDENCE = 0.9
#: Metrics that can be estimated: sums over rows, or over pairs of them.
ESTIMATED = ("roc_auc", "average_precision", "log_loss", "brier", "rmse", "mae", "pinball")
#: Of several classes only means over rows: which classes a mean over classes would be of, nobody knows beforehand.
ESTIMATED_OF_CLASSES = ("log_loss", "brier", "accuracy")
#: With fewer rows a calibration curve of any shape follows their noise (A. Niculescu-Mizil and R. Caruana, "Predicting
#: Good Probabilities with Supervised Learning", ICML 2005); a logistic one is fitted then.
_ISOTONIC_ROWS = 1_000
#: A holdout is divided into so many parts in time, at most; each is estimated from the others.
_PARTS, _FEWEST_PARTS = 5, 3
_LOSS_TREES = 30
_FEWEST_VALUES = 50


@dataclass(frozen=True)
class Holdout:
    """Labelled rows that the model was not fitted on, in order of time.

    Attributes:
        features: (n, columns) what the model saw.
        label, prediction: As `metrics.evaluate` takes them.
        block: (n,) from `blocks.blocks_of`.
    """

    features: pd.DataFrame
    label: Array
    prediction: Array
    block: Array

    def where(self, chosen: Array) -> Holdout:
        """Some of the rows, given (n,) booleans."""
        return Holdout(self.features[chosen], self.label[chosen], self.prediction[chosen], self.block[chosen])


@dataclass(frozen=True)
class Fitted:
    """What estimates the metric of a use case's gate.

    Attributes:
        estimate: The rows' features and predictions -> the metric that is expected of them.
        part_error: Root mean square error of estimates of one part of the holdout in time, from the others.
        parts: How many parts that is from.
        part_rows: Rows of a part, on average.
    """

    estimate: Estimator
    part_error: float
    parts: int
    part_rows: float

    def margin(self, rows: int) -> float:
        """How far an estimate may be off, at `CONFIDENCE`, by the holdout alone; in the metric's unit.

        Chance shrinks with the number of rows, the error of the fit with the number of parts: a prediction interval by
        the method of batch means.

        Args:
            rows: How many are estimated.
        """
        of_rows = self.part_error**2 * (self.part_rows / rows + 1 / self.parts)
        return float(stats.t.ppf((1 + CONFIDENCE) / 2, self.parts - 1)) * of_rows**0.5


def fit(use_case: UseCase, holdout: Holdout) -> Fitted | None:
    """Fit what estimates the gate's metric, and try it on each part of the holdout in time.

    Args:
        use_case: Its gate's metric is one of `ESTIMATED`.
        holdout: At least two rows.

    Returns:
        None where fewer than three parts have a metric and something to estimate it from.
    """
    count = blocks.count_blocks(holdout.block)
    parts = min(_PARTS, count)
    part = holdout.block * parts // max(count, 1)
    errors = [error for each in range(parts) if (error := _error(use_case, holdout, part == each)) is not None]
    if len(errors) < _FEWEST_PARTS:
        return None
    # An error has the chance of its part, and that of the fit on the others: 1/(parts - 1) of the first.
    variance = float(np.mean(np.square(errors))) * (len(errors) - 1) / len(errors)
    return Fitted(_estimator(use_case, holdout), variance**0.5, len(errors), len(part) / parts)


def _estimator(use_case: UseCase, holdout: Holdout) -> Estimator:
    metric = use_case.gate.metric
    if metric in ("rmse", "mae", "pinball"):
        return _loss_model(use_case, holdout)
    calibrated = _calibration(holdout) if holdout.prediction.ndim == 1 else _calibration_of_classes(holdout)
    return lambda _, prediction: metrics.expected(metric, calibrated(prediction), prediction)


def conformal_factor(scores: Sequence[float]) -> float:
    """By how much a margin is to be multiplied, so that it holds as often as `CONFIDENCE` says.

    From nine scores on that is their quantile, corrected for a finite number (split conformal prediction: A. N.
    Angelopoulos and S. Bates, "Conformal Prediction: A Gentle Introduction", 2023, normalized as in section 2.3).
    Until then the largest score, and at least the margin itself.

    Args:
        scores: |error| / margin of earlier estimates; finite.
    """
    rank = math.ceil((len(scores) + 1) * CONFIDENCE)
    return sorted(scores)[rank - 1] if rank <= len(scores) else max([1.0, *scores])


def _error(use_case: UseCase, holdout: Holdout, is_left_out: Array) -> float | None:
    """Truth minus estimate of some rows, estimated from the others; None: one of both is not defined."""
    left_out, others = holdout.where(is_left_out), holdout.where(~is_left_out)
    truth = metrics.evaluate_one(use_case, use_case.gate.metric, left_out.label, left_out.prediction)
    if truth is None or len(np.unique(others.label)) < 2:
        return None
    return truth - _estimator(use_case, others)(left_out.features, left_out.prediction)


def _calibration(holdout: Holdout) -> Callable[[Array], Array]:
    """From predictions to calibrated probabilities."""
    if len(holdout.label) >= _ISOTONIC_ROWS:
        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(holdout.prediction, holdout.label)
        return lambda prediction: curve.predict(prediction)
    line = LogisticRegression(C=np.inf).fit(_log_odds(holdout.prediction), holdout.label)
    return lambda prediction: line.predict_proba(_log_odds(prediction))[:, 1]


def _calibration_of_classes(holdout: Holdout) -> Callable[[Array], Array]:
    """Each class against all others, divided by their sum (B. Zadrozny and C. Elkan, KDD 2002)."""
    curves: list[Callable[[Array], Array]] = []
    for place in range(holdout.prediction.shape[1]):
        label = (holdout.label == place).astype(int)
        one = Holdout(holdout.features, label, holdout.prediction[:, place], holdout.block)
        # Of a class that does not occur nothing can be learnt: it is taken at the model's word.
        curves.append(_calibration(one) if label.min() < label.max() else lambda prediction: prediction)

    def calibrated(prediction: Array) -> Array:
        each = np.column_stack([curve(prediction[:, place]) for place, curve in enumerate(curves)])
        total = each.sum(axis=1, keepdims=True)
        return np.where(total > 0, each / np.where(total > 0, total, 1), prediction)

    return calibrated


def _log_odds(prediction: Array) -> Array:
    return logit(np.clip(prediction, 1e-6, 1 - 1e-6)).reshape(-1, 1)


def _loss_model(use_case: UseCase, holdout: Holdout) -> Estimator:
    """A small model of each row's loss, in one thread: it is fitted beside whatever else the machine does."""
    is_squared = use_case.gate.metric == "rmse"
    error = np.abs(holdout.label - holdout.prediction)
    if use_case.gate.metric == PINBALL and use_case.quantile is not None:
        error = blocks.pinball(holdout.label, holdout.prediction, use_case.quantile)
    # Of a column that is almost always null nothing is learnt, and its values may be too few to be binned.
    columns = [name for name in holdout.features if holdout.features[name].notna().sum() >= _FEWEST_VALUES]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    model = make_pipeline(
        make_column_transformer(
            (codes, make_column_selector(dtype_include=["object", "category", "string"])),
            ("passthrough", make_column_selector(dtype_include=["number", "bool"])),
        ),
        HistGradientBoostingRegressor(max_iter=_LOSS_TREES, max_leaf_nodes=15, early_stopping=False, random_state=0),
    )
    with threadpool_limits(1):
        model.fit(_beside(holdout.features[columns], holdout.prediction), error**2 if is_squared else error)

    def estimate(features: pd.DataFrame, prediction: Array) -> float:
        with threadpool_limits(1):
            loss = max(float(model.predict(_beside(features[columns], prediction)).mean()), 0.0)
        return loss**0.5 if is_squared else loss

    return estimate


def _beside(features: pd.DataFrame, prediction: Array) -> pd.DataFrame:
    return features.assign(prediction=prediction)
