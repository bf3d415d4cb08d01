"""Prediction intervals in production, on drawn labels: when too few of them are covered, and how often by chance."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from perennial import PredictionInterval, discovery
from perennial.evaluation import intervals
from perennial.evaluation.recorded_intervals import RecordedMargin
from perennial.monitoring import live_intervals, performance, rules
from perennial.quarantine import QuarantineShare
from perennial.registry.ledger import Entry

HOLDOUT = 500
NOON = datetime(2024, 1, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def energy():
    return discovery.load("energy").model_copy(update={"interval": PredictionInterval(coverage=0.9, tolerance=0.0)})


def partition(label: np.ndarray, margin: float) -> pl.DataFrame:
    lower, upper = intervals.bounds(np.zeros(len(label)), None, margin)
    return pl.DataFrame({"label": label, "prediction": np.zeros(len(label)), "lower": lower, "upper": upper})


def share_of_alarms(energy, spread: float, times: int = 400) -> float:
    """How often a partition alarms whose labels vary so much more than those that the margin was chosen on."""
    drawn, fell = np.random.default_rng(5), 0
    for _ in range(times):
        chosen = intervals.margin(np.abs(drawn.normal(size=HOLDOUT)), 0.9)
        rows = partition(spread * drawn.normal(size=drawn.integers(60, 1_500)), chosen)
        fell += live_intervals.measure(energy, rows, RecordedMargin(chosen, 0.9, HOLDOUT, 1), {})[1].fell
    return fell / times


def test_equal_data_seldom_alarm(energy) -> None:
    assert share_of_alarms(energy, 1.0) < 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_data_that_vary_more_alarm(energy) -> None:
    assert share_of_alarms(energy, 1.6) > 0.8


def test_what_is_tolerated_does_not_alarm(energy) -> None:
    lenient = energy.model_copy(update={"interval": PredictionInterval(coverage=0.9, tolerance=0.3)})
    assert share_of_alarms(lenient, 1.6) < 0.01


def test_it_is_held_against_the_coverage_that_was_recorded(energy) -> None:
    rows = partition(np.linspace(-1, 1, 1_000), 0.5)
    values, its = live_intervals.measure(energy, rows, RecordedMargin(0.5, 0.5, HOLDOUT, 1), {"interval_width": 2.0})
    assert (its.declared, its.reached, its.width, its.expected_width) == pytest.approx((0.5, 0.5, 1.0, 2.0))
    assert not its.fell
    assert values == pytest.approx({"interval_coverage": 0.5, "interval_width": 1.0, "interval_score": 1.5}, rel=0.01)


def test_too_few_rows_never_alarm(energy) -> None:
    its = live_intervals.measure(energy, partition(np.full(49, 9.0), 0.5), None, {})[1]
    assert (its.reached, its.uncertainty, its.fell) == (0.0, float("inf"), False)


def test_too_few_covered_labels_are_an_alarm_that_requests_retraining(energy) -> None:
    label = np.random.default_rng(6).normal(size=400)
    its = live_intervals.measure(energy, partition(label, 1.0), RecordedMargin(1.0, 0.9, HOLDOUT, 1), {})[1]
    day, entry = energy.partition("2024-01-05"), Entry("", "", "", 1, None, "", NOON, "", "", {}, NOON)
    measured, fine = performance.Performance(400, 400), QuarantineShare(now=0.0, usual=0.0, partitions=3)
    observed = rules.Observations(day, entry, 400, measured, [], {}, fine, interval=its)
    verdict = rules.decide(energy, observed)
    assert (verdict.verdict, verdict.reason, verdict.evidence.alarms) == (
        "alarm",
        "interval-coverage",
        ("interval-coverage",),
    )
    assert "of 400 labels are within their prediction intervals where 0.9 was declared" in verdict.explanation


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (partition(np.ones(9), 1.0).drop("lower", "upper"), "from before an interval was declared"),
        (partition(np.ones(9), 1.0).with_columns(lower=pl.lit(None), upper=pl.lit(None)), "was evaluated before"),
    ],
    ids=["no columns", "null"],
)
def test_it_is_said_where_there_are_none(energy, rows, why) -> None:
    values, its = live_intervals.measure(energy, rows, None, {})
    assert values == {}
    assert why in its.left_out
    assert its.model_dump() == {"left_out": its.left_out}
