"""A use case that predicts a quantile: its metrics, its baseline, its gate and its estimate, on drawn rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial import Value, discovery
from perennial.evaluation import baseline, blocks, estimation, metrics, money
from perennial.gate import challenger, rules
from perennial.gate.decision import PROMOTE
from perennial.use_case import UseCase

QUANTILE, DAYS, ROWS = 0.9, 12, 100


@pytest.fixture(scope="module")
def energy() -> UseCase:
    declared = discovery.load("energy")
    gate = declared.gate.model_copy(update={"metric": "pinball", "slices": ()})
    return declared.model_copy(update={"quantile": QUANTILE, "gate": gate})


def holdout(seed: int = 1) -> pd.DataFrame:
    """Labels that are skewed around a known level: `truth` is their quantile."""
    drawn, count = np.random.default_rng(seed), DAYS * ROWS
    level = drawn.uniform(0, 5, size=count)
    start = pd.Timestamp("2024-01-01", tz="UTC")
    return pd.DataFrame(
        {
            "level": level,
            "label": level + drawn.exponential(size=count),
            "truth": level - np.log(1 - QUANTILE),
            "event_timestamp": start + pd.to_timedelta(np.repeat(np.arange(DAYS), ROWS), unit="D"),
        }
    )


def test_no_other_prediction_has_a_lower_pinball_loss(energy) -> None:
    rows = holdout()
    label, truth = rows["label"].to_numpy(), rows["truth"].to_numpy()
    best = metrics.evaluate(energy, label, truth)
    assert best["at_or_below"] == pytest.approx(QUANTILE, abs=0.02)
    assert best["pinball"] == pytest.approx(blocks.pinball(label, truth, QUANTILE).mean())
    for other in (truth - 0.5, truth + 0.5, rows["level"].to_numpy() + 1):
        assert metrics.evaluate(energy, label, other)["pinball"] > best["pinball"]


def test_its_calibration_is_the_share_at_or_below(energy) -> None:
    label = np.arange(10.0)
    assert metrics.calibration_error(energy, label, np.full(10, 8.0)) == pytest.approx(0.0)
    assert metrics.calibration_error(energy, label, np.full(10, 5.0)) == pytest.approx(0.3)


def test_the_baseline_model_is_that_quantile_of_the_labels(energy) -> None:
    label = np.arange(101.0)
    assert baseline.constant_predictions(energy, label, 2).tolist() == [90.0, 90.0]
    in_money = energy.model_copy(update={"value": Value(function="worth")})
    assert money.baseline(in_money, pd.DataFrame({"label": label})) == pytest.approx(90.0)


def test_a_first_model_passes_although_it_is_far_from_the_mean(energy) -> None:
    rows = holdout()
    constant = np.full(len(rows), np.quantile(rows["label"], QUANTILE))
    pair = rules.Pair.of(energy, rows, rows["truth"].to_numpy(), constant, constant)
    results = challenger.apply_rules(pair, rows)
    assert {rule.name: rule.passed for rule in results.rules}["pinball increase over a constant"]
    assert results.outcome(0.0) == PROMOTE


def test_a_model_of_the_mean_does_not_replace_it(energy) -> None:
    rows = holdout()
    pair = rules.Pair.of(energy, rows, rows["level"].to_numpy() + 1, rows["truth"].to_numpy())
    failed = {rule.name for rule in challenger.apply_rules(pair, rows).rules if not rule.passed}
    assert failed == {"pinball improvement, 95% lower bound", "calibration error increase"}


def test_its_loss_is_estimated_without_labels(energy) -> None:
    rows, later = holdout(), holdout(seed=2)
    block = blocks.blocks_of(rows["event_timestamp"], energy.gate.block)
    known = estimation.Holdout(rows[["level"]], rows["label"].to_numpy(), rows["truth"].to_numpy(), block)
    fitted = estimation.fit(energy, known)
    truth = metrics.evaluate_one(energy, "pinball", later["label"].to_numpy(), later["truth"].to_numpy())
    assert fitted.estimate(later[["level"]], later["truth"].to_numpy()) == pytest.approx(truth, rel=0.15)
