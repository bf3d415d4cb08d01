"""Intervals that hold what they promise, above all where there are few blocks."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation import blocks, bootstrap

RUNS = 800
#: A share of 5% is seen as more than this in one of a thousand series of so many runs.
ALLOWED = 0.05 + 3.1 * np.sqrt(0.05 * 0.95 / RUNS)


def mean_of(values: np.ndarray) -> blocks.Statistic:
    return lambda weights: (weights @ values) / weights.sum(1)


@pytest.mark.parametrize("count", [5, 8, 14])
def test_each_end_errs_at_most_as_often_as_it_says(count: int) -> None:
    """The mean of blocks whose true mean is 0, and who differ as days do."""
    missed = np.zeros(2)
    for seed in range(RUNS):
        interval = bootstrap.interval(mean_of(np.random.default_rng(seed).normal(size=count)), count, 0.95)
        assert interval is not None
        missed += (interval.low > 0, interval.high < 0)
    assert (missed / RUNS <= ALLOWED).all()


@pytest.mark.parametrize("count", [6, 12])
def test_each_end_errs_as_stated_for_a_difference_of_aucs(count: int) -> None:
    missed = np.zeros(2)
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        block = np.repeat(np.arange(count), random.integers(30, 120, count))
        truth = random.normal(size=len(block))
        label = (random.random(len(block)) < 1 / (1 + np.exp(1 - truth - random.normal(size=count)[block]))).astype(int)
        each = [truth + random.normal(0, 0.5, len(block)) + random.normal(0, 0.5, count)[block] for _ in range(2)]
        one, other = (blocks.metric("roc_auc", label, score, block) for score in each)
        interval = bootstrap.interval(lambda weights, a=one, b=other: a(weights) - b(weights), count, 0.95)
        assert interval is not None
        missed += (interval.low > 0, interval.high < 0)
    assert (missed / RUNS <= ALLOWED).all()


def test_percentiles_alone_err_too_often_with_eight_blocks() -> None:
    """Why there is a correction: when this fails, the plain percentile interval has become good enough."""
    drawn = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=2_000) / 8
    missed = sum(np.quantile(drawn @ np.random.default_rng(seed).normal(size=8), 0.05) > 0 for seed in range(RUNS))
    assert missed / RUNS > ALLOWED


def test_the_same_evidence_gives_the_same_interval() -> None:
    statistic = mean_of(np.arange(9.0))
    assert bootstrap.interval(statistic, 9, 0.9) == bootstrap.interval(statistic, 9, 0.9)


def test_more_confidence_is_a_wider_interval() -> None:
    statistic = mean_of(np.random.default_rng(1).normal(size=12))
    narrow, wide = (bootstrap.interval(statistic, 12, confidence) for confidence in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


def test_models_that_predict_the_same_differ_by_nothing_for_sure() -> None:
    assert bootstrap.interval(lambda weights: np.zeros(len(weights)), 10, 0.95) == bootstrap.Interval(0, 0, 0)


def test_where_one_block_carries_it_all_there_is_no_interval() -> None:
    label, block = np.array([0, 1, 0, 0, 0]), np.array([0, 0, 1, 2, 3])
    statistic = blocks.metric("roc_auc", label, np.linspace(0, 1, 5), block)
    assert bootstrap.interval(statistic, 4, 0.95) is None


def regression(random: np.random.Generator, days: int, better: float) -> blocks.Statistic:
    """By how much the squared error is less; days differ in noise and in how wrong each model is."""
    block = np.repeat(np.arange(days), 40)
    noise = np.exp(random.normal(0, 0.5, days))[block]
    wrong = [random.normal(0, 0.5, days)[block] + noise * random.normal(size=len(block)) for _ in range(2)]
    label = np.zeros(len(block))
    one, other = (blocks.metric("rmse", label, each, block) for each in (wrong[0] * (1 - better), wrong[1]))
    return lambda weights: other(weights) - one(weights)


def test_errors_of_heavy_days_err_as_stated() -> None:
    missed = np.zeros(2)
    for seed in range(RUNS):
        interval = bootstrap.interval(regression(np.random.default_rng(seed), 10, 0.0), 10, 0.95)
        assert interval is not None
        missed += (interval.low > 0, interval.high < 0)
    assert (missed / RUNS <= ALLOWED).all()


def test_what_is_stated_as_detectable_is_found_nine_times_of_ten() -> None:
    """Gains of a day have a standard deviation of 1, over twenty days."""
    measured = [
        bootstrap.interval(mean_of(np.random.default_rng(seed).normal(size=20)), 20, 0.95) for seed in range(RUNS)
    ]
    stated = np.mean([bootstrap.detectable(each, 20, 0.95, margin=0.1) for each in measured])
    low = np.array([each.low for each in measured])
    assert 0.86 <= np.mean(low + stated > 0.1) <= 0.94
    assert np.mean(low + 0.1 + (stated - 0.1) / 2 > 0.1) <= 0.6, "nor is it far too large"


def test_two_intervals_together_err_as_stated_and_are_narrower() -> None:
    """Of ten days and of thirty, whose differences are those of one pair of models."""
    missed, narrower = np.zeros(2), 0
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        first, second = (bootstrap.interval(mean_of(random.normal(size=days)), days, 0.95) for days in (10, 30))
        both = bootstrap.combined(first, second)
        missed += (both.low > 0, both.high < 0)
        narrower += both.high - both.low < second.high - second.low
    assert (missed / RUNS <= ALLOWED).all()
    assert narrower == RUNS


def test_together_with_an_equal_interval_it_is_narrower_by_the_root_of_two() -> None:
    one = bootstrap.Interval(0.2, 0.1, 0.4)
    both = bootstrap.combined(one, one)
    assert both.estimate == pytest.approx(0.2)
    assert both.low == pytest.approx(0.2 - 0.1 / np.sqrt(2))
    assert both.high == pytest.approx(0.2 + 0.2 / np.sqrt(2))
    assert bootstrap.combined(bootstrap.Interval(0, 0, 0), one) == bootstrap.Interval(
        *(pytest.approx(0, abs=1e-9),) * 3
    )
