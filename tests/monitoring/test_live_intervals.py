"""Prediction intervals in production, on drawn labels: when too few of them are covered, and how often by chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from perennial import PredictionInterval, discovery
from perennial.evaluation import intervals
from perennial.evaluation.recorded_intervals import RecordedMargin, recorded
from perennial.gate import prediction_intervals
from perennial.monitoring import live_intervals, monitor, performance, rules
from perennial.monitoring.verdict import IntervalEvidence
from perennial.quarantine import QuarantineShare
from perennial.registry.ledger import Entry

HOLDOUT = 500
NOON = datetime(2024, 1, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def energy():
    return discovery.load("energy").model_copy(update={"interval": PredictionInterval(coverage=0.9, tolerance=0.0)})


def partition(label: np.ndarray, margin: float) -> pl.DataFrame:
    lower, upper = intervals.bounds(np.zeros(len(label)), None, margin)
    rows = {"label": label, "prediction": np.zeros(len(label)), "lower": lower, "upper": upper}
    return pl.DataFrame(rows).with_columns(event_timestamp=pl.lit(NOON))


NULL = partition(np.ones(9), 1.0).with_columns(lower=pl.lit(None), upper=pl.lit(None))


def share_of_alarms(energy, spread: float, times: int = 400) -> float:
    """How often a partition alarms whose labels vary so much more than those that the margin was chosen on."""
    drawn, fell = np.random.default_rng(5), 0
    for _ in range(times):
        chosen = intervals.margin(np.abs(drawn.normal(size=HOLDOUT)), 0.9)
        rows = partition(spread * drawn.normal(size=drawn.integers(60, 1_500)), chosen)
        fell += live_intervals.measure(energy, rows, RecordedMargin(chosen, 0.9, HOLDOUT, 1))[1].fell
    return fell / times


def drawn_days(drawn: np.random.Generator, count: int, level: float, scale: float) -> np.ndarray:
    """(count, 288) labels of days that differ by so much."""
    values = drawn.normal(size=(count, 288)) * np.exp(scale * drawn.normal(size=(count, 1)))
    return values + level * drawn.normal(size=(count, 1))


def share_of_days(energy, spread: float, level: float = 0.0, scale: float = 0.0, times: int = 150) -> float:
    """How often a day alarms whose labels vary so much more than those of the gate's three weeks."""
    drawn, fell = np.random.default_rng(7), 0
    gate = energy.gate.model_copy(update={"block": timedelta(days=1)})
    tolerant = energy.model_copy(update={"interval": PredictionInterval(coverage=0.9), "gate": gate})
    start, day = pd.Timestamp("2024-01-01", tz="UTC"), np.repeat(np.arange(21), 288)
    for _ in range(times):
        label = drawn_days(drawn, 21, level, scale).ravel()
        rows = pd.DataFrame({"label": label, "event_timestamp": start + pd.to_timedelta(day, unit="D")})
        its = prediction_intervals.bounded(tolerant, rows, np.zeros(len(rows)), None)
        evidence = {"prediction_interval": prediction_intervals.measure(tolerant, rows, its).model_dump(mode="json")}
        known = recorded(tolerant, [Entry("", "", "promoted", 1, None, "", NOON, "gate", "", evidence, NOON)], 1)
        new = partition(spread * drawn_days(drawn, 1, level, scale).ravel(), known.margin)
        fell += live_intervals.measure(tolerant, new, known)[1].fell
    return fell / times


@pytest.mark.parametrize(("level", "scale"), [(0.5, 0.0), (0.0, 0.3)], ids=["level", "scale"])
def test_days_that_differ_as_the_holdouts_do_seldom_alarm(energy, level, scale) -> None:
    assert share_of_days(energy, 1.0, level, scale) < 0.1


def test_a_day_that_varies_more_than_those_alarms(energy) -> None:
    assert share_of_days(energy, 1.6, times=40) > 0.8


def test_a_margin_from_before_blocks_were_recorded_is_judged_within_the_partition() -> None:
    covered = np.tile([1.0, 1.0, 1.0, 0.0], 100)
    old, new = (RecordedMargin(1.0, 0.9, 100, 1, blocks=each, block_deviation=0.2) for each in (None, 10))
    assert live_intervals.uncertainty(covered, old) < 0.05
    assert live_intervals.uncertainty(covered, new) == pytest.approx(1.833 * 0.2 * 1.1**0.5, abs=1e-3)
    # A month of days differs less than a day does.
    assert live_intervals.uncertainty(covered, new, blocks=30) == pytest.approx(1.833 * 0.2 * (2 / 15) ** 0.5, abs=1e-3)


@pytest.mark.parametrize(("days", "blocks"), [(0, 1), (0.9, 1), (30.9, 30)])
def test_a_partition_spans_so_many_blocks(energy, days, blocks) -> None:
    gate = energy.gate.model_copy(update={"block": timedelta(days=1)})
    rows = pl.DataFrame({"event_timestamp": [NOON, NOON + timedelta(days=days)]})
    assert live_intervals._whole_blocks(energy.model_copy(update={"gate": gate}), rows) == blocks


def test_rows_predicted_before_the_margin_was_recorded_are_left_out(energy) -> None:
    rows = partition(np.repeat([9.0, 0.0], [100, 300]), 1.0).with_columns(
        predicted_at=pl.Series(np.repeat([0, 2], [100, 300])).map_elements(
            lambda hours: NOON + timedelta(hours=hours), pl.Datetime("us", "UTC")
        )
    )
    known = RecordedMargin(1.0, 0.95, HOLDOUT, 1, recorded_at=NOON + timedelta(hours=1))
    its = live_intervals.measure(energy, rows, known)[1]
    assert (its.rows, its.earlier, its.reached, its.declared) == (300, 100, 1.0, 0.95)
    assert live_intervals.last_predicted(rows) == NOON + timedelta(hours=2)
    assert live_intervals.measure(energy, rows.drop("predicted_at"), known)[1].rows == 400


def test_what_a_renewed_margin_lacked_is_no_alarm(energy) -> None:
    rows, known = partition(np.random.default_rng(6).normal(size=400), 1.0), RecordedMargin(1.0, 0.9, HOLDOUT, 1)
    before, after = (live_intervals.measure(energy, rows, known, is_renewed=each)[1] for each in (False, True))
    assert (before.fell, after.fell, after.is_renewed) == (True, False, True)
    assert after.reached == before.reached


def test_equal_data_seldom_alarm(energy) -> None:
    assert share_of_alarms(energy, 1.0) < 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_data_that_vary_more_alarm(energy) -> None:
    assert share_of_alarms(energy, 1.6) > 0.8


def test_what_is_tolerated_does_not_alarm(energy) -> None:
    lenient = energy.model_copy(update={"interval": PredictionInterval(coverage=0.9, tolerance=0.3)})
    assert share_of_alarms(lenient, 1.6) < 0.01


def test_it_is_held_against_the_coverage_that_was_recorded(energy) -> None:
    rows = partition(np.linspace(-1, 1, 1_000), 0.5)
    values, its = live_intervals.measure(energy, rows, RecordedMargin(0.5, 0.5, HOLDOUT, 1, width=2.0))
    assert (its.declared, its.reached, its.width, its.expected_width) == pytest.approx((0.5, 0.5, 1.0, 2.0))
    assert not its.fell
    assert values == pytest.approx({"interval_coverage": 0.5, "interval_width": 1.0, "interval_score": 1.5}, rel=0.01)


def test_too_few_rows_never_alarm(energy) -> None:
    its = live_intervals.measure(energy, partition(np.full(49, 9.0), 0.5), None)[1]
    assert (its.reached, its.uncertainty, its.fell) == (0.0, float("inf"), False)


def test_too_few_covered_labels_are_an_alarm_that_requests_retraining(energy) -> None:
    label = np.random.default_rng(6).normal(size=400)
    its = live_intervals.measure(energy, partition(label, 1.0), RecordedMargin(1.0, 0.9, HOLDOUT, 1))[1]
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


def test_a_feature_of_an_old_version_is_not_taken_for_a_bound(energy) -> None:
    measured = performance.Performance(9, 9, labelled_rows=partition(np.ones(9), 1.0))
    profile = SimpleNamespace(columns={"hour_sin": 0, "lower": 0})
    same, its = monitor._with_intervals(energy, energy.partition("2024-01-05"), 1, measured, profile, [])
    assert same is measured
    assert its.left_out.startswith("v1 has a feature 'lower'")


def test_the_metrics_of_intervals_are_of_the_rows_that_have_one(energy, monkeypatch) -> None:
    written: dict[str, int] = {}
    keep = lambda table, schema, part, rows: written.update({row["metric"]: row["labelled"] for row in rows})  # noqa: E731
    monkeypatch.setattr(monitor, "_append", keep)
    measured = performance.Performance(400, 300, champion={"mae": 1.0, "interval_coverage": 0.9})
    monitor._append_metrics(energy, energy.partition("2024-01-05"), 1, measured, IntervalEvidence(rows=200))
    assert written == {"mae": 300, "interval_coverage": 200}


@pytest.mark.parametrize(
    ("rows", "known", "why"),
    [
        (partition(np.ones(9), 1.0).drop("lower", "upper"), None, "from before an interval was declared"),
        (NULL, None, "was evaluated before"),
        (NULL, RecordedMargin(1.0, 0.9, HOLDOUT, 1), "its bounds are null"),
    ],
    ids=["no columns", "no margin", "null"],
)
def test_it_is_said_where_there_are_none(energy, rows, known, why) -> None:
    values, its = live_intervals.measure(energy, rows, known)
    assert values == {}
    assert why in its.left_out
    assert its.model_dump() == {"left_out": its.left_out}
