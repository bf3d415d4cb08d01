"""What a holdout says of prediction intervals, on drawn rows, and what the gate makes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from perennial import PredictionInterval, discovery
from perennial.evaluation.recorded_intervals import RecordedMargin, recorded
from perennial.gate import challenger, prediction_intervals
from perennial.gate.decision import CHALLENGER, CHAMPION
from perennial.registry.ledger import Entry
from perennial.registry.model_loading import Predictor

DAYS, ROWS = 12, 60
NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def energy():
    declared = discovery.load("energy")
    gate = declared.gate.model_copy(update={"block": pd.Timedelta(days=1).to_pytimedelta()})
    return declared.model_copy(update={"interval": PredictionInterval(coverage=0.9), "gate": gate})


def holdout(spread: np.ndarray | float = 1.0, seed: int = 1) -> pd.DataFrame:
    """Days of labels around 0 that vary so much, one number a day."""
    day = np.repeat(np.arange(DAYS), ROWS)
    label = np.random.default_rng(seed).normal(size=len(day)) * np.broadcast_to(spread, DAYS)[day]
    start = pd.Timestamp("2024-01-01", tz="UTC")
    return pd.DataFrame({"label": label, "event_timestamp": start + pd.to_timedelta(day, unit="D")})


def measured(energy, rows: pd.DataFrame, known: RecordedMargin | None = None):
    its = prediction_intervals.bounded(energy, rows, np.zeros(len(rows)), None, known)
    return prediction_intervals.measure(energy, rows, its)


def test_alike_days_pass(energy) -> None:
    mine = measured(energy, holdout())
    (rule,) = prediction_intervals.coverage_rule(energy, mine, None)
    assert mine.margin == pytest.approx(1.645, abs=0.2)
    assert mine.width == pytest.approx(2 * mine.margin, rel=0.05)
    assert rule.passed
    assert rule.value == pytest.approx(0.9, abs=0.02)
    assert rule.threshold == pytest.approx(0.88)


def test_coverage_that_is_certainly_too_small_fails(energy) -> None:
    """Cross-fitted coverage is near the declared one unless a model brings other intervals than its own errors ask."""
    rows = holdout()
    its = prediction_intervals.bounded(energy, rows, np.zeros(len(rows)), None, RecordedMargin(1.0, 0.9, 700, 1))
    (rule,) = prediction_intervals.coverage_rule(energy, prediction_intervals.measure(energy, rows, its), None)
    assert not rule.passed
    assert rule.value == pytest.approx(0.68, abs=0.03)


def test_a_few_wild_days_are_no_certainty(energy) -> None:
    mine = measured(energy, holdout(spread=np.repeat([1.0, 6.0], [DAYS - 2, 2])))
    (rule,) = prediction_intervals.coverage_rule(energy, mine, None)
    assert mine.reached < rule.threshold < mine.bounds[1]
    assert rule.passed


def test_the_champion_is_judged_by_the_margin_it_serves_with(energy) -> None:
    rows = holdout()
    its = measured(energy, rows, RecordedMargin(2.0, 0.9, 300, 1))
    assert its.width == pytest.approx(4.0)
    assert its.reached == pytest.approx((rows["label"].abs() <= 2.0).mean())
    # And what it needs on these rows is chosen anew.
    assert its.margin == measured(energy, rows).margin
    (rule,) = prediction_intervals.coverage_rule(energy, measured(energy, rows), its)
    assert "of the champion 4 with a coverage of 0.95" in rule.note


def test_what_is_expected_of_the_champion_is_by_its_renewed_margin(energy) -> None:
    rows, zeros = holdout(), np.zeros(DAYS * ROWS)
    predict = Predictor(lambda frame: frame, lambda frame: np.zeros(len(frame)))
    renewed, served = prediction_intervals.of_champion(energy, predict, rows, zeros, RecordedMargin(4.0, 0.9, 300, 1))
    assert renewed == measured(energy, rows)
    assert renewed.reached == pytest.approx(0.9, abs=0.02)
    assert (served.width, served.reached) == (8.0, 1.0)
    results = challenger.RuleResults([], [], metrics={CHALLENGER: {"mae": 1.0}, CHAMPION: {"mae": 1.0}})
    both = challenger._with_intervals(energy, results, renewed, renewed, served).metrics
    assert both[CHAMPION]["interval_width"] == renewed.width
    assert prediction_intervals.of_champion(energy, predict, rows, zeros, None) == (renewed, None)


def test_how_much_days_differ_is_recorded(energy) -> None:
    alike, differing = (measured(energy, holdout(spread)) for spread in (1.0, np.repeat([1.0, 3.0], DAYS // 2)))
    assert (alike.blocks, alike.judged) == (DAYS, DAYS * ROWS)
    # Of alike days by chance only.
    assert alike.block_deviation == pytest.approx((0.9 * 0.1 / ROWS) ** 0.5, rel=0.5)
    assert differing.block_deviation > 2 * alike.block_deviation


def test_a_missing_value_has_one_name_in_a_frame_and_in_a_request(energy) -> None:
    by_hour = energy.model_copy(update={"interval": PredictionInterval(coverage=0.9, by="hour_sin")})
    values = pa.array([None, 1] * (DAYS * ROWS // 2), pa.int64())
    rows = holdout().assign(hour_sin=values.to_pandas())
    rows.loc[rows["hour_sin"].isna(), "label"] *= 3
    mine = measured(by_hour, rows)
    known = recorded(by_hour, [Entry("", "", "promoted", 1, None, "", NOON, "gate", "", of(mine), NOON)], 1)
    assert known.of_rows(values.to_pylist()).tolist() == known.of_rows(rows["hour_sin"]).tolist()
    assert known.of_rows([None, pd.NA, pd.NaT]).tolist() == [mine.margins["nan"]] * 3
    assert mine.margins["nan"] > 2 * mine.margins["1.0"]


def test_rows_that_the_champion_has_seen_are_left_out_of_the_comparison(energy) -> None:
    rows = holdout()
    is_later = (rows["event_timestamp"] >= pd.Timestamp("2024-01-07", tz="UTC")).to_numpy()
    its = prediction_intervals.bounded(energy, rows, np.zeros(len(rows)), None).later(is_later)
    mine = prediction_intervals.measure(energy, rows[is_later], its)
    assert mine.rows == len(rows)
    assert mine.margin == measured(energy, rows).margin
    assert mine.reached == pytest.approx((rows["label"].abs() <= mine.margin)[is_later].mean(), abs=0.02)


def test_rows_of_each_value_have_a_margin_of_their_own(energy) -> None:
    by_hour = energy.model_copy(update={"interval": PredictionInterval(coverage=0.9, by="hour_sin")})
    rows = holdout()
    rows["hour_sin"] = np.tile([0.0, 1.0], len(rows) // 2)
    rows.loc[rows["hour_sin"] == 1.0, "label"] *= 3
    mine = measured(by_hour, rows)
    assert mine.margins["1.0"] == pytest.approx(3 * mine.margins["0.0"], rel=0.2)
    assert mine.margins["0.0"] < mine.margin < mine.margins["1.0"]
    assert mine.width == pytest.approx(mine.margins["0.0"] + mine.margins["1.0"], rel=0.05)
    known = recorded(by_hour, [Entry("", "", "promoted", 1, None, "", NOON, "gate", "", of(mine), NOON)], 1)
    assert known.of_rows([0, 1, 5]).tolist() == [mine.margins["0.0"], mine.margins["1.0"], mine.margin]
    its = measured(by_hour, rows, known)
    assert its.reached == pytest.approx(mine.reached, abs=0.02)


def of(mine) -> dict:
    return {"prediction_interval": mine.model_dump(mode="json")}


def test_nothing_without_a_declaration(energy) -> None:
    plain = energy.model_copy(update={"interval": None})
    assert measured(plain, holdout()) is None
    assert prediction_intervals.coverage_rule(plain, None, None) == []
