"""Compares replayed policies with the one that is declared, by the mean of the live metric over the same partitions.

The interval is paired, and of whole partitions (joined to `gate.block` where that is longer, and to fifty at most):
all predictions of a partition come from the same two models, whose luck they share, so its days are not independent.
Every policy is compared with the same one; the confidence of each comparison is corrected for their number (O. J. Dunn,
"Multiple Comparisons Among Means", Journal of the American Statistical Association 56, 1961), so that in at most
1 - `gate.confidence` of histories in which nothing is better, any policy is said to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from perennial.backtesting import policies
from perennial.backtesting.replaying import Known, Replayed, Start
from perennial.backtesting.report import BacktestReport, PolicyResult
from perennial.errors import NotEnoughData
from perennial.evaluation import blocks, bootstrap
from perennial.evaluation.bootstrap import Interval
from perennial.use_case import UseCase
from perennial.use_case.metric_names import LOWER_IS_BETTER


def compare(known: Known, start: Start, replayed: Sequence[Replayed], *, made: int, reused: int) -> BacktestReport:
    """The result of a backtest.

    Args:
        known: The history.
        start: The first model.
        replayed: The declared policy among others.
        made: How many fits were made now.
        reused: How many were there.

    Raises:
        NotEnoughData: no partition after the first model has enough labels.
    """
    use_case, history = known.history.use_case, known.history
    values = {each.policy.name: _by_partition(known, start, each) for each in replayed}
    # Each policy on the same partitions.
    keys = [key for key in values[policies.DECLARED] if all(key in each for each in values.values())]
    if not keys:
        raise NotEnoughData(
            f"Use case {use_case.name!r}: no partition after {start.partition} has enough labels to compare policies.",
            "Wait until labels mature, or widen the range.",
        )
    compared = len(replayed) - 1
    confidence = 1 - (1 - use_case.gate.confidence) / max(compared, 1)
    block = _blocks(use_case, keys)
    base = values[policies.DECLARED]
    results = []
    for each in replayed:
        own = values[each.policy.name]
        change, interval = None, None
        if each.policy.name != policies.DECLARED:
            differences = _differences(use_case, [own[key] for key in keys], [base[key] for key in keys])
            change, interval = float(differences.mean()), _interval(use_case, differences, block, confidence)
        results.append(
            PolicyResult(
                name=each.policy.name,
                description=each.policy.description,
                mean=float(np.mean([own[key] for key in keys])),
                by_partition={key: own[key] for key in keys},
                change=change,
                low=interval.low if interval else None,
                high=interval.high if interval else None,
                requests=tuple(each.requests),
                promotions=tuple(each.promotions),
                fits=len(each.fits),
                fit_seconds=sum(known.seconds.get(fit, 0.0) for fit in each.fits),
                can_be_declared=each.policy.can_be_declared,
            )
        )
    proposal = propose(results, use_case.higher_is_better)
    return BacktestReport(
        use_case=use_case.name,
        metric=use_case.gate.metric,
        higher_is_better=use_case.higher_is_better,
        first=history.partitions[0].key,
        last=history.partitions[-1].key,
        first_model=start.partition.key,
        partitions=tuple(keys),
        blocks=blocks.count_blocks(block),
        labelled={key: len(known.rows(use_case.partition(key))) for key in keys},
        policies=tuple(results),
        compared=compared,
        confidence=use_case.gate.confidence,
        corrected=confidence,
        proposal=proposal.name if proposal else None,
        is_proven=bool(proposal and proposal.low is not None and proposal.low > 0),
        fits_made=made,
        fits_reused=reused,
    )


def propose(results: Sequence[PolicyResult], higher_is_better: bool) -> PolicyResult | None:
    """The best policy that can be declared and is better than the declared one; proven ones before others.

    Args:
        results: Of all policies.
        higher_is_better: Of the metric.

    Returns:
        None where none has a better mean.
    """
    better = [each for each in results if each.can_be_declared and each.change is not None and each.change > 0]
    proven = [each for each in better if each.low is not None and each.low > 0]
    return max(proven or better, key=lambda each: each.mean if higher_is_better else -each.mean, default=None)


def _by_partition(known: Known, start: Start, replayed: Replayed) -> dict[str, float]:
    """Partition -> the gate's metric; only partitions in which it is defined."""
    partitions = [each for each in known.history.partitions if each > start.partition]
    if replayed.policy.kind == policies.BASELINE:
        values = {each.key: known.baseline_metric(start.champion.served, each) for each in partitions}
    else:
        values = {each.key: known.metric(replayed.serving[each.key], each) for each in partitions}
    return {key: value for key, value in values.items() if value is not None}


def _differences(use_case: UseCase, own: Sequence[float], base: Sequence[float]) -> np.ndarray:
    """(n,) by how much a policy is better in each partition."""
    sign = -1 if use_case.gate.metric in LOWER_IS_BETTER else 1
    return sign * (np.asarray(own) - np.asarray(base))


def _blocks(use_case: UseCase, keys: Sequence[str]) -> np.ndarray:
    """(n,) the block of event time of each partition."""
    starts = pd.Series([use_case.cadence.partition(key).start for key in keys])
    return blocks.blocks_of(starts, use_case.gate.block)


def _interval(use_case: UseCase, differences: np.ndarray, block: np.ndarray, confidence: float) -> Interval | None:
    """The interval of a mean difference; None with too few blocks."""
    count = blocks.count_blocks(block)
    if count < use_case.gate.min_blocks:
        return None
    partitions = np.bincount(block).astype(float)
    sums = np.bincount(block, weights=differences)
    return bootstrap.interval(lambda weights: (weights @ sums) / (weights @ partitions), count, confidence)


def regret(report: BacktestReport) -> Mapping[str, float]:
    """By how much the declared policy is better than each reference, and worse than always retraining, on average.

    Args:
        report: Of a backtest.
    """
    means = {each.name: each.mean for each in report.policies}
    sign = 1 if report.higher_is_better else -1
    return {
        name: sign * (means[policies.DECLARED] - means[name])
        for name in (policies.NEVER, policies.ALWAYS, policies.BASELINE)
        if name in means
    }
