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
    values = {name: {key: each[key] for key in keys} for name, each in values.items()}
    compared = len(replayed) - 1
    confidence = 1 - (1 - use_case.gate.confidence) / max(compared, 1)
    results = [_result(known, each, values, confidence) for each in replayed]
    proposal = propose(results, use_case.higher_is_better)
    return BacktestReport(
        use_case=use_case.name,
        metric=use_case.gate.metric,
        higher_is_better=use_case.higher_is_better,
        first=history.partitions[0].key,
        last=history.partitions[-1].key,
        first_model=start.partition.key,
        partitions=tuple(keys),
        blocks=blocks.count_blocks(blocks_of(use_case, keys)),
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


def _result(
    known: Known, replayed: Replayed, values: Mapping[str, Mapping[str, float]], confidence: float
) -> PolicyResult:
    """One policy beside the declared one.

    Args:
        known: The history.
        replayed: What the policy would have done.
        values: Policy -> partition -> the gate's metric, of the same partitions.
        confidence: Of each bound, corrected.
    """
    use_case, policy, change, bounds = known.history.use_case, replayed.policy, None, None
    own, base = values[policy.name], values[policies.DECLARED]
    if policy.name != policies.DECLARED:
        sign = -1 if use_case.gate.metric in LOWER_IS_BETTER else 1
        differences = sign * (np.array([*own.values()]) - np.array([*base.values()]))
        change = float(differences.mean())
        bounds = interval(use_case, differences, blocks_of(use_case, [*own]), confidence)
    return PolicyResult(
        name=policy.name,
        description=policy.description,
        mean=float(np.mean([*own.values()])),
        by_partition=own,
        change=change,
        low=bounds.low if bounds else None,
        high=bounds.high if bounds else None,
        requests=tuple(replayed.requests),
        promotions=tuple(replayed.promotions),
        fits=len(replayed.fits),
        fit_seconds=round(sum(known.seconds.get(fit, 0.0) for fit in replayed.fits), 3),
        can_be_declared=policy.can_be_declared,
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
        fits = [(replayed.serving[each.key], each) for each in partitions]
        values = {each.key: known.metric(fit, replayed.thresholds[fit], each) for fit, each in fits}
    return {key: value for key, value in values.items() if value is not None}


def blocks_of(use_case: UseCase, keys: Sequence[str]) -> np.ndarray:
    """(n,) the block of event time of each partition.

    Args:
        use_case: Its gate says how long a block is at least.
        keys: Names of n partitions, oldest first.
    """
    starts = pd.Series([use_case.cadence.partition(key).start for key in keys])
    return blocks.blocks_of(starts, use_case.gate.block)


def interval(use_case: UseCase, differences: np.ndarray, block: np.ndarray, confidence: float) -> Interval | None:
    """The interval of a mean difference; None with fewer blocks than the gate asks for.

    Args:
        use_case: Whose gate.
        differences: (n,) by how much a policy is better in each partition.
        block: (n,) from `blocks_of`.
        confidence: One-sided, of each bound.
    """
    count = blocks.count_blocks(block)
    if count < use_case.gate.min_blocks:
        return None
    partitions = np.bincount(block).astype(float)
    sums = np.bincount(block, weights=differences)
    return bootstrap.interval(lambda weights: (weights @ sums) / (weights @ partitions), count, confidence)
