"""By how much a set of parameters is better than the run's own: the same rows, fold by fold, paired over blocks.

The standard error is the jackknife's over the blocks of all folds (`perennial.evaluation.bootstrap`). As many sets are
compared as are tried, and the best of many looks better than it is: the bound of each is corrected for their number by
Bonferroni's inequality, so a search among equals finds nothing in at least the gate's `confidence` of all cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from perennial.evaluation import blocks, bootstrap, thresholds
from perennial.evaluation.blocks import Statistic
from perennial.lake import labels
from perennial.use_case import UseCase
from perennial.use_case.metric_names import LOWER_IS_BETTER, VALUE


@dataclass(frozen=True)
class Improvement:
    """By how much a set of parameters is better than the run's own, in the gate's metric; positive if it is.

    Attributes:
        value: Mean over the folds.
        error: Its standard error; infinite where that cannot be computed.
        blocks: The number of blocks that both are from.
    """

    value: float
    error: float
    blocks: int

    def low(self, confidence: float, compared: int) -> float:
        """The lower bound that all of `compared` improvements keep together with this confidence.

        Args:
            confidence: One-sided, between 0.5 and 1.
            compared: How many sets of parameters are compared with the run's own.
        """
        corrected = 1 - (1 - confidence) / max(compared, 1)
        return self.value - float(stats.t.ppf(corrected, self.blocks - 1)) * self.error


def improvement_on(
    use_case: UseCase, rows: pd.DataFrame, candidate: np.ndarray, own: np.ndarray
) -> tuple[Statistic, int]:
    """By how much a candidate's predictions of one fold are better, and the number of its blocks.

    Args:
        use_case: Its gate says by which metric, and what a block is.
        rows: (n,) of the fold, with `label`, `event_timestamp` and the columns of `value`.
        candidate: (n,) predictions.
        own: (n,) those with the run's own parameters.
    """
    name, label = use_case.gate.metric, labels.encoded(use_case, rows["label"])
    block = blocks.blocks_of(rows["event_timestamp"], use_case.gate.block)
    worth = (thresholds.judged(use_case, rows, each) if name == VALUE else None for each in (candidate, own))
    theirs, ours = (
        blocks.metric(name, label, each, block, its, use_case.quantile)
        for each, its in zip((candidate, own), worth, strict=True)
    )
    sign = -1 if name in LOWER_IS_BETTER else 1
    return lambda weights: sign * (theirs(weights) - ours(weights)), blocks.count_blocks(block)


def over_folds(parts: Sequence[tuple[Statistic, int]]) -> Improvement:
    """The mean improvement of some folds, with its standard error.

    Args:
        parts: Of each fold, as `improvement_on` gives it; at least one.
    """
    ends = np.cumsum([count for _, count in parts])

    def mean(weights: np.ndarray) -> np.ndarray:
        of_each = np.split(weights, ends[:-1], axis=1)
        return np.mean([statistic(each) for (statistic, _), each in zip(parts, of_each, strict=True)], axis=0)

    return Improvement(*bootstrap.standard_error(mean, int(ends[-1])), int(ends[-1]))
