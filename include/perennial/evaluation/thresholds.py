"""Decision thresholds: the probability from which on acting is worth most, and the one that a version has.

With calibrated probabilities the best threshold follows from what the outcomes are worth (C. Elkan, "The Foundations of
Cost-Sensitive Learning", IJCAI 2001, equation 9). Not every model's are, so the threshold is chosen on its holdout: of
those that are at most a standard error behind the best one, the one nearest to Elkan's. That is the one-standard-error
rule (L. Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3): what chance alone made best moves
it little, and where the worth is flat, theory decides.

A threshold that was chosen on the rows that it is judged on flatters. So each block of a holdout is judged by the
threshold that was chosen on the other blocks (M. Stone, "Cross-Validatory Choice and Assessment of Statistical
Predictions", Journal of the Royal Statistical Society B 36, 1974; of thresholds: V. Sheng and C. Ling, "Thresholding
for Making Classifiers Cost-sensitive", AAAI 2006).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from perennial.evaluation import blocks, money
from perennial.registry import ledger, rollouts
from perennial.registry.ledger import Entry
from perennial.use_case import UseCase

Array = np.ndarray
#: At most so many thresholds are compared: midpoints between predictions, or between groups of equally many.
_CANDIDATES = 500
#: What the ledger's evidence of a decision calls the version's threshold, and what the baseline model says.
THRESHOLD, BASELINE = "threshold", "baseline"


def choose(use_case: UseCase, rows: pd.DataFrame, prediction: Array, block: Array | None = None) -> float | None:
    """The threshold from which on acting is worth most; None: of a regression nothing is decided.

    With fewer blocks than `gate.min_blocks` it is the one that follows from what the outcomes are worth.

    Args:
        use_case: Its `value`, and what a block is.
        rows: (n,) of the holdout, with `label`, `event_timestamp` and the columns that `value` names.
        prediction: (n,) probability of 1.
        block: (n,) as `blocks.blocks_of` gives it; None: by `event_timestamp`.
    """
    if use_case.value is None or use_case.task == "regression":
        return None
    if use_case.value.threshold is not None:
        return use_case.value.threshold
    summed = _Summed.of(use_case, rows, prediction, _block(use_case, rows, block))
    return summed.best(np.ones(len(summed.gain), dtype=bool), use_case.gate.min_blocks)


def cross_fitted(use_case: UseCase, rows: pd.DataFrame, prediction: Array) -> Array | None:
    """(n,) the threshold by which each row is judged: chosen, as by `choose`, on all blocks but its own.

    Args:
        use_case: As for `choose`.
        rows: Likewise.
        prediction: Likewise.
    """
    if use_case.value is None or use_case.task == "regression":
        return None
    if use_case.value.threshold is not None:
        return np.full(len(rows), use_case.value.threshold)
    if not len(rows):
        return np.empty(0)
    block = _block(use_case, rows, None)
    summed = _Summed.of(use_case, rows, prediction, block)
    others = ~np.eye(len(summed.gain), dtype=bool)
    # Enough blocks for `choose` are enough here, too, though each choice sees one less; it takes two to compare.
    fewest = 2 if len(others) >= use_case.gate.min_blocks else len(others)
    return np.array([summed.best(each, fewest) for each in others])[block]


def judged(use_case: UseCase, rows: pd.DataFrame, prediction: Array, *, is_model: bool = True) -> Array | None:
    """What each row of a holdout is worth by the threshold that was chosen on the other blocks: see `money.of_rows`.

    Args:
        use_case: As for `choose`.
        rows: Likewise.
        prediction: (n,) probability of 1, or the predicted value.
        is_model: As for `money.of_rows`.
    """
    return money.of_rows(use_case, rows, prediction, cross_fitted(use_case, rows, prediction), is_model=is_model)


def recorded(use_case: UseCase, entries: Iterable[Entry], version: int | None) -> float | None:
    """The threshold by which a version decides: the one that the gate recorded, whatever is declared by now.

    A version that the gate measured before a value was declared decides by the threshold that follows from the
    constants.

    Args:
        use_case: Its `value`.
        entries: Of the ledger.
        version: The version in the registry.

    Returns:
        None where nothing is decided, or a function alone says what outcomes are worth.
    """
    value = use_case.value
    if value is None or use_case.task == "regression":
        return None
    evidence = _evidence(entries, version)
    if evidence.get(THRESHOLD) is not None:
        return float(evidence[THRESHOLD])
    if value.threshold is not None or value.function is not None:
        return value.threshold
    return _by_worth(*money.constants(use_case))


def recorded_baseline(entries: Iterable[Entry], version: int) -> float | None:
    """What the baseline model says of every row, as the gate recorded it with a version; None: it did not.

    Args:
        entries: Of the ledger.
        version: The version in the registry.
    """
    return _evidence(entries, version).get(BASELINE)


def _evidence(entries: Iterable[Entry], version: int | None) -> Mapping[str, Any]:
    """The gate's decision on a version, also while a rollout tries it; empty before that."""
    for entry in entries:
        evidence = entry.evidence.get(rollouts.DECISION, entry.evidence)
        if version in (entry.model_version, evidence.get(ledger.EVALUATED)) and THRESHOLD in evidence:
            return evidence
    return {}


@dataclass(frozen=True)
class _Summed:
    """What acting is worth more than not acting, summed over the rows of each block.

    Attributes:
        candidates: (k,) thresholds, ascending.
        ends: (k + 1,) what each stands for: all thresholds above one end and up to the next act alike.
        gain: (blocks, k) the sum over the rows that each threshold acts on.
        by_label: (blocks, 4) of the rows whose label is 1 their number and the sum of their gain, then of the others.
        constants: What acting is worth more on a row of either label where that is constant.
    """

    candidates: Array
    ends: Array
    gain: Array
    by_label: Array
    constants: tuple[float, float] | None

    @classmethod
    def of(cls, use_case: UseCase, rows: pd.DataFrame, prediction: Array, block: Array) -> _Summed:
        label, gain = rows["label"].to_numpy() == 1, money.gain(use_case, rows)
        (candidates, ends), count = _candidates(prediction), blocks.count_blocks(block)
        # A row is acted on by the first so many candidates.
        place = np.searchsorted(candidates, prediction, side="right")
        width = len(candidates) + 1
        summed = np.bincount(block * width + place, weights=gain, minlength=count * width).reshape(count, width)
        acted = summed[:, ::-1].cumsum(1)[:, ::-1][:, 1:]
        columns = (label, np.where(label, gain, 0.0), ~label, np.where(label, 0.0, gain))
        by_label = np.stack([np.bincount(block, weights=each, minlength=count) for each in columns], axis=1)
        constants = money.constants(use_case) if use_case.value.function is None else None  # type: ignore[union-attr]
        return cls(candidates, ends, acted, by_label, constants)

    def best(self, chosen: Array, fewest: int) -> float:
        """The best threshold on some of the blocks.

        Args:
            chosen: (blocks,) which of them.
            fewest: With fewer blocks it is what follows from the worth alone.
        """
        theory = _by_worth(*(self.constants or _means(self.by_label[chosen].sum(0))))
        gain = self.gain[chosen]
        count = len(gain)
        if count < fewest:
            return theory
        total = gain.sum(0)
        behind = gain[:, [total.argmax()]] - gain
        error = np.sqrt(count / (count - 1) * ((behind - behind.mean(0)) ** 2).sum(0))
        is_as_good = behind.sum(0) <= error
        low, high = self.ends[:-1], self.ends[1:]
        is_theory = is_as_good & (low < theory) & (theory <= high)
        if is_theory.any():
            return theory
        away = np.maximum(low - theory, theory - high)
        return float(self.candidates[np.where(is_as_good, away, np.inf).argmin()])


def _candidates(prediction: Array) -> tuple[Array, Array]:
    """Thresholds between neighbouring predictions, from acting on all rows to acting on none; and their `ends`."""
    values = np.unique(prediction)
    if len(values) > _CANDIDATES:
        values = np.unique(np.quantile(prediction, np.linspace(0, 1, _CANDIDATES), method="inverted_cdf"))
    # Beyond 1 where even a certain row is better left alone.
    near = np.concatenate([[min(0.0, values[0])], values, [max(1.0, np.nextafter(values[-1], np.inf))]])
    middle = (near[:-1] + near[1:]) / 2
    # Between numbers next to each other there is none.
    candidates = np.where(middle > near[:-1], middle, near[1:])
    return candidates, np.concatenate([[-np.inf], values, [np.inf]])


def _block(use_case: UseCase, rows: pd.DataFrame, block: Array | None) -> Array:
    return blocks.blocks_of(rows["event_timestamp"], use_case.gate.block) if block is None else block


def _means(sums: Array) -> tuple[float, float]:
    """The mean of what a function says, by label: see `_Summed.by_label`."""
    return float(sums[1] / max(sums[0], 1)), float(sums[3] / max(sums[2], 1))


def _by_worth(positive: float, negative: float) -> float:
    """The threshold at which a calibrated probability makes acting and not acting worth the same.

    Args:
        positive: What acting is worth more on a row whose label is 1.
        negative: On any other; below 0.
    """
    if positive <= 0 or negative >= 0:  # A function may see it so on these rows: then one side is better for all.
        return 0.5
    return -negative / (positive - negative)
