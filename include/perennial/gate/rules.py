"""What a challenger must fulfil, each condition with its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from perennial.evaluation import blocks, bootstrap, metrics
from perennial.evaluation import slices as slicing
from perennial.evaluation.blocks import Statistic
from perennial.evaluation.bootstrap import Interval
from perennial.gate.decision import Rule
from perennial.use_case import LOWER_IS_BETTER, UseCase

Array = np.ndarray


@dataclass(frozen=True)
class Pair:
    """Both models' predictions of the same rows.

    Attributes:
        label, challenger, rival: (n,) as `metrics.evaluate` takes them.
        block: (n,) int64, the block of event time of each row, without gaps from 0.
    """

    use_case: UseCase
    label: Array
    challenger: Array
    rival: Array
    block: Array

    @classmethod
    def of(cls, use_case: UseCase, holdout: pd.DataFrame, challenger: Array, rival: Array) -> Pair:
        """The predictions of a holdout, with its columns `label` and `event_timestamp`."""
        block = blocks.blocks_of(holdout["event_timestamp"], use_case.gate.block)
        return cls(use_case, holdout["label"].to_numpy(), challenger, rival, block)

    @property
    def rows(self) -> int:
        return len(self.label)

    @property
    def blocks(self) -> int:
        """How many blocks the rows are from."""
        return blocks.count_blocks(self.block)

    @property
    def telling_blocks(self) -> int:
        """How many blocks say something: of two classes, those with the class that occurs in fewer of them."""
        if self.use_case.task == "regression":
            return self.blocks
        return min(len(np.unique(self.block[self.label == wanted])) for wanted in (0, 1))

    @property
    def varies(self) -> bool:
        """Whether the labels differ at all; without that, most metrics mean nothing."""
        return len(np.unique(self.label)) > 1

    def part(self, rows: Array) -> Pair:
        """The pair on some of its rows."""
        _, block = np.unique(self.block[rows], return_inverse=True)
        return Pair(self.use_case, self.label[rows], self.challenger[rows], self.rival[rows], block)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Every metric of both, and their calibration errors."""
        return {
            name: metrics.evaluate(self.use_case, self.label, prediction)
            | {"calibration_error": metrics.calibration_error(self.use_case, self.label, prediction)}
            for name, prediction in (("challenger", self.challenger), ("rival", self.rival))
        }

    def gain(self) -> Statistic:
        """By how much the challenger is better in the gate's metric, positive if it is."""
        name = self.use_case.gate.metric
        more = self._more(lambda prediction: blocks.metric(name, self.label, prediction, self.block))
        return (lambda weights: -more(weights)) if name in LOWER_IS_BETTER else more

    def miscalibration(self) -> Statistic:
        """By how much the challenger's calibration error is larger."""
        task = self.use_case.task
        return self._more(lambda prediction: blocks.calibration_error(task, self.label, prediction, self.block))

    def _more(self, of: Callable[[Array], Statistic]) -> Statistic:
        mine, its = of(self.challenger), of(self.rival)
        return lambda weights: mine(weights) - its(weights)


def evidence(pair: Pair) -> list[Rule]:
    """Whether there is enough to decide on."""
    gate = pair.use_case.gate
    classes = " with both classes" if pair.use_case.task == "binary" else ""
    block = f"blocks of {_span(gate.block)}{classes}"
    return [
        rule("holdout rows", pair.rows, gate.min_rows, pair.rows >= gate.min_rows and pair.varies),
        rule(block, pair.telling_blocks, gate.min_blocks, pair.telling_blocks >= gate.min_blocks),
    ]


def gain(pair: Pair) -> tuple[Interval | None, list[Rule]]:
    """How much better the challenger is, and whether that is surely more than the margin."""
    gate = pair.use_case.gate
    if not all(each.passed for each in evidence(pair)):
        return None, []
    found = bootstrap.interval(pair.gain(), pair.blocks, gate.confidence)
    if found is None:
        return None, []
    note = f"{found.estimate:+.4g} on the holdout; between {found.low:+.4g} and {found.high:+.4g}"
    at_least = f"{gate.metric} gained at least, {gate.confidence:.4g} sure"
    return found, [rule(at_least, found.low, gate.margin, found.low > gate.margin, note)]


def slices(pair: Pair, holdout: pd.DataFrame) -> tuple[list[Rule], tuple[str, ...]]:
    """Whether the challenger holds on every slice that is large enough; and which ones are not.

    A slice fails when it is worse than the tolerance on the holdout and surely worse at all: a small one is beyond any
    tolerance by luck every now and then. The more slices, the surer one has to be (Bonferroni).
    """
    gate = pair.use_case.gate
    judged: dict[str, Pair] = {}
    not_judged: list[str] = []
    for each in slicing.slices_of(pair.use_case, holdout):
        name, part = each.name, pair.part(each.rows)
        if part.rows >= gate.slice_min_rows and part.varies and part.telling_blocks >= gate.min_blocks:
            judged[name] = part
        else:
            not_judged.append(f"{name} ({part.rows})")
    sure = 1 - (1 - gate.confidence) / max(len(judged), 1)
    rules = []
    for name, part in judged.items():
        change, noise = bootstrap.jackknife(part.gain(), part.blocks, sure)
        passed = change >= -gate.slice_tolerance or change + noise >= 0
        rules.append(rule(f"{gate.metric} gained on {name}", change, -gate.slice_tolerance, passed, _give(noise)))
    return rules, tuple(not_judged)


def calibration(pair: Pair) -> Rule:
    """Whether the challenger's predictions are as true to what happens as its rival's, by the same reasoning."""
    gate = pair.use_case.gate
    added, noise = bootstrap.jackknife(pair.miscalibration(), pair.blocks, gate.confidence)
    passed = added <= gate.calibration_tolerance or added - noise <= 0
    return rule("calibration error added", added, gate.calibration_tolerance, passed, _give(noise))


def budgets(use_case: UseCase, measured: Mapping[str, float]) -> list[Rule]:
    """Whether the stored model is as fast and as small as the use case wants it.

    Args:
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
    """A rule of Python's own numbers, whatever NumPy's came in."""
    return Rule(name=name, value=float(value), threshold=float(threshold), passed=bool(passed), note=note)


def _give(noise: float) -> str:
    return f"give or take {noise:.2g}" if np.isfinite(noise) else ""


def _span(length: timedelta) -> str:
    """A length of time as people say it: `1 day`, `2 hours`."""
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count, rest = divmod(length.total_seconds(), seconds)
        if count and not rest:
            return f"{count:.0f} {unit}{'s' if count > 1 else ''}"
    return str(length)
