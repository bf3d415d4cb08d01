"""The rules of the gate: what a challenger must fulfil, each condition with its number."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd

from perennial.errors import PerennialError
from perennial.evaluation import blocks, bootstrap, metrics, money
from perennial.evaluation import slices as slicing
from perennial.evaluation import thresholds as thresholding
from perennial.evaluation.blocks import Statistic
from perennial.evaluation.bootstrap import Interval
from perennial.gate.decision import CHALLENGER, CHAMPION, Rule, SliceMetric
from perennial.lake import labels
from perennial.use_case import UseCase
from perennial.use_case.metric_names import LOWER_IS_BETTER, PINBALL, VALUE

log = logging.getLogger(__name__)
Array = np.ndarray


@dataclass(frozen=True)
class Pair:
    """Both models' predictions of the same rows.

    Attributes:
        use_case: Whose gate.
        label, challenger, champion: As `metrics.evaluate` takes them; `champion` is the baseline model's while
            there is no champion.
        block: (n,) int64, the block of event time of each row, without gaps from 0.
        constant: Of a first model: the mean label of the rows that it was fitted on, for each row. None: there is a
            champion.
        challenger_money, champion_money: (n,) what each row is worth; None: the use case declares no `value`.
    """

    use_case: UseCase
    label: Array
    challenger: Array
    champion: Array
    block: Array
    constant: Array | None = None
    challenger_money: Array | None = None
    champion_money: Array | None = None

    @classmethod
    def of(
        cls,
        use_case: UseCase,
        holdout: pd.DataFrame,
        challenger: Array,
        champion: Array,
        constant: Array | None = None,
        thresholds: tuple[Array | float | None, Array | float | None] = (None, None),
    ) -> Pair:
        """The predictions of a holdout.

        Args:
            use_case: Whose gate.
            holdout: (n,) rows with the columns `label` and `event_timestamp`, and those of `value`.
            challenger: (n,) its predictions.
            champion: (n,) the champion's, or the baseline model's.
            constant: (n,) of a first model, see `Pair`.
            thresholds: From which probability on the challenger acts, and the champion: for all rows or (n,). None: by
                the threshold that is best on the other blocks of the holdout.
        """
        block = blocks.blocks_of(holdout["event_timestamp"], use_case.gate.block)
        are_models = True, constant is None
        worth = []
        for prediction, threshold, is_model in zip((challenger, champion), thresholds, are_models, strict=True):
            chosen = thresholding.cross_fitted(use_case, holdout, prediction) if threshold is None else threshold
            worth.append(money.of_rows(use_case, holdout, prediction, chosen, is_model=is_model))
        return cls(use_case, labels.encoded(use_case, holdout["label"]), challenger, champion, block, constant, *worth)

    @classmethod
    def of_served(
        cls,
        use_case: UseCase,
        rows: pd.DataFrame,
        challenger: Array,
        champion: Array,
        thresholds: tuple[float | None, float | None],
    ) -> Pair:
        """The predictions of rows that were served: only a gate that decides in money has to know what they are worth.

        Args:
            use_case: As for `of`.
            rows: (n,) with `label` and `event_timestamp`, and those columns of `value` that there are.
            challenger: As for `of`.
            champion: Likewise.
            thresholds: Likewise.

        Raises:
            PerennialError: the gate's metric is `value`, and it cannot be computed.
        """
        absent = sorted({*use_case.value.columns} - {*rows.columns}) if use_case.value is not None else []
        try:
            if absent:
                raise PerennialError(
                    f"Use case {use_case.name!r}: neither requests nor examples have {', '.join(absent)} of"
                    " value.columns.",
                    "Let `examples` return it, or leave it out.",
                )
            return cls.of(use_case, rows, challenger, champion, thresholds=thresholds)
        except PerennialError as error:
            if use_case.gate.metric == VALUE:
                raise
            log.warning("%s: what decisions are worth is left out: %s", use_case.name, error.problem)
            return cls.of(use_case.model_copy(update={"value": None}), rows, challenger, champion)

    def against_baseline(self, holdout: pd.DataFrame, fitted: pd.DataFrame) -> Pair:
        """The pair of a first model: the baseline model acts on all rows or on none, by the rows that were fitted on.

        By a feature that `gate.baseline` names it decides like a model.

        Args:
            holdout: (n,) rows in the pair's order, as for `of`.
            fitted: (m,) rows that the challenger was fitted on, with the same columns.
        """
        says = money.baseline(self.use_case, fitted) if self.use_case.gate.baseline is None else None
        if says is None:
            return self
        return replace(self, champion_money=money.of_baseline(self.use_case, holdout, says))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.label)

    @property
    def blocks(self) -> int:
        """How many blocks the rows are from."""
        return blocks.count_blocks(self.block)

    @property
    def informative_blocks(self) -> int:
        """As `blocks.count_informative` counts them."""
        return blocks.count_informative(self.use_case.task, self.label, self.block)

    @property
    def varies(self) -> bool:
        """Whether the labels differ at all; without that, most metrics mean nothing."""
        return len(np.unique(self.label)) > 1

    def subset(self, rows: Array) -> Pair:
        """The pair on some of its rows, given by their places."""
        _, block = np.unique(self.block[rows], return_inverse=True)
        mine, its = (each[rows] if each is not None else None for each in (self.challenger_money, self.champion_money))
        return Pair(self.use_case, self.label[rows], self.challenger[rows], self.champion[rows], block, None, mine, its)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Every metric of both, and their calibration errors."""
        return {
            model: metrics.evaluate(self.use_case, self.label, prediction, worth)
            | {"calibration_error": metrics.calibration_error(self.use_case, self.label, prediction)}
            for model, prediction, worth in self.models
        }

    def improvement(self) -> Statistic:
        """By how much the challenger is better in the gate's metric, positive if it is."""
        name = self.use_case.gate.metric
        mine, its = (
            blocks.metric(name, self.label, prediction, self.block, worth, self.use_case.quantile)
            for _, prediction, worth in self.models
        )
        sign = -1 if name in LOWER_IS_BETTER else 1
        return lambda weights: sign * (mine(weights) - its(weights))

    def miscalibration(self) -> Statistic:
        """By how much the challenger's calibration error is larger."""
        task, quantile = self.use_case.task, self.use_case.quantile
        mine, its = (
            blocks.calibration_error(task, self.label, prediction, self.block, quantile)
            for _, prediction, _ in self.models
        )
        return lambda weights: mine(weights) - its(weights)

    def added_error(self, constant: Array) -> Statistic:
        """By how much the challenger's proper score is larger than that of a constant: Brier score, RMSE or pinball.

        Args:
            constant: (n,) the constant, for each row.
        """
        mine, its = (
            blocks.metric(self.proper_score, self.label, each, self.block, quantile=self.use_case.quantile)
            for each in (self.challenger, constant)
        )
        return lambda weights: mine(weights) - its(weights)

    @property
    def proper_score(self) -> str:
        """The metric that only the true expectation minimizes, or the true quantile where one is predicted."""
        if self.use_case.quantile is not None:
            return PINBALL
        return "rmse" if self.use_case.task == "regression" else "brier"

    @property
    def models(self) -> tuple[tuple[str, Array, Array | None], ...]:
        """Both models: name, predictions, money."""
        return (CHALLENGER, self.challenger, self.challenger_money), (CHAMPION, self.champion, self.champion_money)


def sufficiency(pair: Pair) -> list[Rule]:
    """Whether there is enough data to decide on."""
    gate = pair.use_case.gate
    name, count = f"blocks of {_length(gate.block)}{blocks.INFORMATIVE[pair.use_case.task]}", pair.informative_blocks
    return [
        rule("holdout rows", pair.rows, gate.min_rows, pair.rows >= gate.min_rows and pair.varies),
        rule(name, count, gate.min_blocks, count >= gate.min_blocks),
    ]


def superiority(pair: Pair) -> tuple[Interval | None, list[Rule]]:
    """By how much the challenger is better, and whether that is significantly more than the margin."""
    gate = pair.use_case.gate
    if not all(each.passed for each in sufficiency(pair)):
        return None, []
    interval = bootstrap.interval(pair.improvement(), pair.blocks, gate.confidence)
    if interval is None:
        return None, []
    smallest = bootstrap.detectable(interval, pair.blocks, gate.confidence, gate.margin)
    note = (
        f"{interval.estimate:+.4g}; between {interval.low:+.4g} and {interval.high:+.4g};"
        f" finds {smallest:+.2g} in nine of ten cases"
    )
    name = f"{gate.metric} improvement, {percent(gate.confidence)} lower bound"
    return interval, [rule(name, interval.low, gate.margin, interval.low > gate.margin, note)]


def slices(pair: Pair, holdout: pd.DataFrame) -> tuple[list[Rule], tuple[str, ...]]:
    """Whether the challenger is good on every slice of the holdout that is large enough.

    A slice fails when it is worse than the tolerance on the holdout and also significantly worse at all: a small slice
    is beyond any tolerance by chance every now and then. The confidence is corrected for the number of slices
    (Bonferroni).

    Args:
        pair: Both models' predictions of the holdout.
        holdout: (n,) rows in the pair's order, with the columns of `gate.slices`.

    Returns:
        A rule for each slice, and the slices that are too small, with their numbers of rows.
    """
    gate = pair.use_case.gate
    large, small = _by_size(pair, holdout)
    confidence = 1 - (1 - gate.confidence) / max(len(large), 1)
    rules = []
    for name, subset in large.items():
        change, error = bootstrap.jackknife(subset.improvement(), subset.blocks, confidence)
        passed = change >= -gate.slice_tolerance or change + error >= 0
        rules.append(
            rule(f"{gate.metric} improvement on {name}", change, -gate.slice_tolerance, passed, _margin(error))
        )
    return rules, tuple(small)


def slice_metrics(pair: Pair, holdout: pd.DataFrame) -> dict[str, SliceMetric]:
    """The gate's metric of both on every slice that is large enough: what monitors later compare production with.

    Args:
        pair: Both models' predictions of the holdout.
        holdout: (n,) rows in the pair's order, with the columns of `gate.slices`.
    """
    name, use_case = pair.use_case.gate.metric, pair.use_case
    measured = {}
    for key, subset in _by_size(pair, holdout)[0].items():
        mine, its = (
            metrics.evaluate_one(use_case, name, subset.label, each, worth) for _, each, worth in subset.models
        )
        if mine is not None and its is not None:
            measured[key] = SliceMetric(rows=subset.rows, challenger=mine, champion=its)
    return measured


def _by_size(pair: Pair, holdout: pd.DataFrame) -> tuple[dict[str, Pair], list[str]]:
    """The slices that are large enough to evaluate, by name, and the others with their numbers of rows."""
    gate = pair.use_case.gate
    large: dict[str, Pair] = {}
    small: list[str] = []
    for each in slicing.slices_of(pair.use_case, holdout):
        subset = pair.subset(each.rows)
        is_large = subset.rows >= gate.slice_min_rows and subset.informative_blocks >= gate.min_blocks
        if is_large and subset.varies:
            large[each.name] = subset
        else:
            small.append(f"{each.name} ({subset.rows})")
    return large, small


def calibration(pair: Pair) -> Rule:
    """Whether the challenger's predictions can be taken at their word.

    It must be as well calibrated as the champion, within a tolerance or the error of the estimate. A first model has
    nobody to be compared with but a constant, which is calibrated by construction and says nothing: of it a proper
    score is asked, which counts both, and it must not be significantly worse than the constant's.
    """
    gate = pair.use_case.gate
    if pair.constant is not None:
        added, error = bootstrap.jackknife(pair.added_error(pair.constant), pair.blocks, gate.confidence)
        name = f"{pair.proper_score} increase over a constant"
        return rule(name, added, 0, added - error <= 0, _margin(error))
    increase, error = bootstrap.jackknife(pair.miscalibration(), pair.blocks, gate.confidence)
    passed = increase <= gate.calibration_tolerance or increase - error <= 0
    return rule("calibration error increase", increase, gate.calibration_tolerance, passed, _margin(error))


def null_shares(fit: pd.DataFrame, holdout: pd.DataFrame, features: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The share of nulls (NaN included) of each feature in the rows fitted on and in the holdout.

    Args:
        fit: (n,) rows that the challenger was fitted on.
        holdout: (m,) rows of its holdout.
        features: The model's inputs, columns of both.

    Returns:
        Feature -> both shares, 0 to 1; only features that have nulls.
    """
    shares = [frame[list(features)].isna().mean() if len(frame) else None for frame in (fit, holdout)]
    both = {name: tuple(float(share[name]) if share is not None else 0.0 for share in shares) for name in features}
    return {name: (fitted, held_out) for name, (fitted, held_out) in both.items() if fitted or held_out}


def missing_values(use_case: UseCase, shares: Mapping[str, tuple[float, float]]) -> list[Rule]:
    """Whether no feature is almost always null, nor null far more often on one side of the holdout's start.

    Such a feature was computed for a part of the window only, or its source has stopped: a model learns from it when a
    row is, not what it is.

    Args:
        use_case: Whose gate sets the limits.
        shares: As `null_shares` gives them.
    """
    largest = {name: max(both) for name, both in shares.items()}
    changes = {name: abs(fitted - held_out) for name, (fitted, held_out) in shares.items()}
    measured = (
        ("largest null share of a feature", largest, use_case.gate.max_null_share),
        ("largest change in the null share of a feature", changes, use_case.gate.max_null_change),
    )
    rules = []
    for name, values, limit in measured:
        worst = max(values, key=values.__getitem__, default="")
        value = values.get(worst, 0.0)
        note = f"{worst}: {percent(shares[worst][0])} fitted on, {percent(shares[worst][1])} held out" if worst else ""
        rules.append(rule(name, value, limit, value <= limit, note))
    return rules


def budgets(use_case: UseCase, measured: Mapping[str, float]) -> list[Rule]:
    """Whether the stored model is fast and small enough.

    Args:
        use_case: Whose gate sets the limits, if it does.
        measured: `latency_seconds` and `size_bytes`; one that is missing could not be measured.
    """
    limits = {
        "seconds to predict a row": (measured.get("latency_seconds"), use_case.gate.max_latency),
        "bytes of the stored model": (measured.get("size_bytes"), use_case.gate.max_size),
    }
    return [
        rule(name, value, limit, value <= limit)
        for name, (value, limit) in limits.items()
        if value is not None and limit is not None
    ]


def rule(name: str, value: float, threshold: float, passed: bool, note: str = "") -> Rule:
    """A rule with Python's own numbers, whichever NumPy type they have.

    Args:
        name: What was measured.
        value: The measurement.
        threshold: What it was compared with.
        passed: Whether the condition is met.
        note: For people.
    """
    return Rule(name=name, value=float(value), threshold=float(threshold), passed=bool(passed), note=note)


def percent(share: float) -> str:
    """A share of one, in percent: `95%`."""
    return f"{100 * share:.4g}%"


def _margin(error: float) -> str:
    return f"± {error:.2g}" if np.isfinite(error) else ""


def _length(length: timedelta) -> str:
    """A length of time in words: `1 day`, `2 hours`."""
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count, rest = divmod(length.total_seconds(), seconds)
        if count and not rest:
            return f"{count:.0f} {unit}{'s' if count > 1 else ''}"
    return str(length)
