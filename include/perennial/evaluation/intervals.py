"""Prediction intervals: the margin that makes them cover as many labels as declared, and what they are worth.

Split conformal prediction (H. Papadopoulos et al., "Inductive Confidence Machines for Regression", ECML 2002; J. Lei et
al., "Distribution-Free Predictive Inference for Regression", Journal of the American Statistical Association 113,
2018): a margin around each prediction, the quantile of the errors on a holdout that the model was not fitted on. Where
a model predicts a lower and an upper quantile of its own, the margin is added to these: conformalized quantile
regression (Y. Romano, E. Patterson and E. Candès, NeurIPS 2019). The interval always holds the prediction itself, and
the margin is chosen for just these intervals: they grow with it, which is all that is needed (C. Gupta, A. Kuchibhotla
and A. Ramdas, "Nested conformal prediction and quantile out-of-bag ensemble methods", Pattern Recognition 127, 2022).

If rows were exchangeable, a label would lie within its interval with the declared probability. Rows of one day resemble
each other, and days change. So what intervals reach is measured on blocks of time, each by the margin that was chosen
on the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from perennial.evaluation import blocks
from perennial.evaluation.blocks import Statistic
from perennial.use_case.interval import fewest_rows

Array = np.ndarray


@dataclass(frozen=True)
class Intervals:
    """The intervals of some rows, with their labels.

    Attributes:
        label, lower, upper: (n,) floats; bounds are all finite, and none is above its upper one.
    """

    label: Array
    lower: Array
    upper: Array

    @classmethod
    def known(cls, label: Array, lower: Array, upper: Array) -> tuple[Intervals, Array]:
        """Those rows that have an interval.

        Args:
            label: (n,) without nulls.
            lower: (n,) NaN where there is none.
            upper: (n,) likewise.

        Returns:
            The intervals of m rows, and (n,) which rows they are of.
        """
        label, lower, upper = (np.asarray(each, dtype=float) for each in (label, lower, upper))
        there = np.isfinite(lower) & np.isfinite(upper)
        return cls(label[there], lower[there], upper[there]), there

    @property
    def covered(self) -> Array:
        """(n,) 1 where the label is within its interval, ends included, else 0."""
        return ((self.lower <= self.label) & (self.label <= self.upper)).astype(float)

    @property
    def width(self) -> Array:
        """(n,) in the unit of the label."""
        return self.upper - self.lower

    def score(self, coverage: float) -> Array:
        """(n,) the interval score, lower is better: a proper score, which narrow intervals and covered labels improve.

        T. Gneiting and A. Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", Journal of the American
        Statistical Association 102, 2007, equation 43.

        Args:
            coverage: The declared one.
        """
        missed = np.maximum(self.lower - self.label, 0) + np.maximum(self.label - self.upper, 0)
        return self.width + 2 / (1 - coverage) * missed

    def metrics(self, coverage: float) -> dict[str, float]:
        """`interval_coverage`, and the means `interval_width` and `interval_score`; empty without rows.

        Args:
            coverage: The declared one.
        """
        if not len(self.label):
            return {}
        each = {"coverage": self.covered, "width": self.width, "score": self.score(coverage)}
        return {f"interval_{name}": float(values.mean()) for name, values in each.items()}

    def coverage_by_block(self, block: Array) -> Statistic:
        """The share of covered labels as a function of how often each block counts.

        Args:
            block: (n,) as `blocks.blocks_of` gives it, without gaps.
        """
        return blocks.mean(self.covered, block)


def bounds(prediction: Array, quantiles: Array | None, margin: Array | float) -> tuple[Array, Array]:
    """The intervals: each holds its prediction.

    Args:
        prediction: (n,) floats.
        quantiles: (n, 2) lower and upper quantile by the model, which may cross; None: it predicts none.
        margin: For all rows, or (n,); may be negative where the model's quantiles are too far apart.

    Returns:
        (n,) lower and (n,) upper bounds, lower <= prediction <= upper.
    """
    low, high = _inner(prediction, quantiles)
    return np.minimum(low - margin, prediction), np.maximum(high + margin, prediction)


def scores(label: Array, prediction: Array, quantiles: Array | None) -> Array:
    """(n,) the smallest margin with which the interval of each row covers its label.

    Args:
        label: (n,) floats.
        prediction: (n,) floats.
        quantiles: As for `bounds`.
    """
    low, high = _inner(prediction, quantiles)
    label = np.asarray(label, dtype=float)
    outside = np.where(label > prediction, label - high, low - label)
    # A label that is the prediction is covered by any margin: the one at which nothing but the prediction is left.
    return np.where(label == prediction, np.minimum(low - prediction, prediction - high), outside)


def margin(score: Array, coverage: float) -> float:
    """The margin that covers a new row, exchangeable with these, with this probability at least.

    That is the score of rank ceil((n + 1) * coverage), ties counted by their number (Lei et al., 2018, algorithm 2).

    Args:
        score: (n,) from `scores`.
        coverage: The declared one.

    Returns:
        Infinite where n is too small, below `use_case.interval.fewest_rows`.
    """
    rank = math.ceil(round((len(score) + 1) * coverage, 9))  # 50 * 0.58 is not quite 29 in floats.
    return float(np.partition(score, rank - 1)[rank - 1]) if rank <= len(score) else float("inf")


def cross_fitted(score: Array, block: Array, coverage: float) -> Array:
    """(n,) the margin by which each row is judged: chosen, as by `margin`, on all blocks but its own.

    Args:
        score: (n,) from `scores`.
        block: (n,) as `blocks.blocks_of` gives it.
        coverage: The declared one.

    Returns:
        NaN where the other blocks have too few rows.
    """
    chosen = np.array([margin(score[block != each], coverage) for each in range(blocks.count_blocks(block))])
    by_row = chosen[block] if len(chosen) else np.empty(0)
    return np.where(np.isfinite(by_row), by_row, np.nan)


def groups(values: Iterable[Any]) -> Array:
    """(n,) names of values, the same for a number whichever type it has, and for whatever stands for a missing one.

    Args:
        values: n of them.
    """
    return np.array([_name(each) for each in values], dtype=object)


def _name(value: Any) -> str:
    # A null of a whole number is a NaN in a frame, and None in a request.
    if pd.isna(value):
        return "nan"
    return str(float(value)) if isinstance(value, int | float | np.number | np.bool_) else str(value)


def margins_by(score: Array, group: Array, coverage: float) -> dict[str, float]:
    """The margin of each group, chosen on its own rows: Mondrian conformal prediction.

    V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", 2005, section 4.5.

    Args:
        score: (n,) from `scores`.
        group: (n,) from `groups`.
        coverage: The declared one.

    Returns:
        By name; without groups of fewer than twice as many rows as a margin needs.
    """
    names, counts = np.unique(group.astype(str), return_counts=True)
    large = names[counts >= 2 * fewest_rows(coverage)]
    return {str(name): margin(score[group == name], coverage) for name in large}


def by_row(group: Array, margins: Mapping[str, float], others: float) -> Array:
    """(n,) the margin of each row.

    Args:
        group: (n,) from `groups`.
        margins: From `margins_by`.
        others: The margin of rows of any other group.
    """
    return np.array([margins.get(each, others) for each in group], dtype=float)


def cross_fitted_by(score: Array, block: Array, group: Array, coverage: float) -> Array:
    """(n,) the margin by which each row is judged: chosen on the rows of its group in all blocks but its own.

    Args:
        score: (n,) from `scores`.
        block: (n,) as `blocks.blocks_of` gives it.
        group: (n,) from `groups`.
        coverage: The declared one.

    Returns:
        As `cross_fitted` where the group, or what is left of it, is too small.
    """
    chosen = cross_fitted(score, block, coverage)
    for name in margins_by(score, group, coverage):
        its = np.flatnonzero(group == name)
        own = cross_fitted(score[its], np.unique(block[its], return_inverse=True)[1], coverage)
        chosen[its] = np.where(np.isnan(own), chosen[its], own)
    return chosen


def _inner(prediction: Array, quantiles: Array | None) -> tuple[Array, Array]:
    """What the margin is added to; quantiles that cross are sorted (V. Chernozhukov et al., Econometrica 78, 2010)."""
    if quantiles is None:
        return prediction, prediction
    return quantiles.min(axis=1), quantiles.max(axis=1)
