"""By how much a set of parameters is better: the mean over folds, with an error from all their blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import root_mean_squared_error

from perennial import discovery
from perennial.training.search.comparison import Improvement, improvement_on, over_folds


def fold(seed: int, hours: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows of one fold, a good prediction of them and a worse one."""
    drawn = np.random.default_rng(seed)
    moments = pd.date_range("2024-01-01", periods=hours * 20, freq="3min", tz="UTC")
    label = drawn.normal(10, 3, len(moments))
    frame = pd.DataFrame({"event_timestamp": moments, "label": label})
    return frame, label + drawn.normal(0, 1, len(label)), label + drawn.normal(0, 1.5, len(label))


def test_the_improvement_is_the_mean_over_folds() -> None:
    energy = discovery.load("energy")
    folds = [fold(seed, hours) for seed, hours in ((1, 10), (2, 24), (3, 12))]
    found = over_folds([improvement_on(energy, frame, good, bad) for frame, good, bad in folds])
    by_hand = [
        root_mean_squared_error(f["label"], bad) - root_mean_squared_error(f["label"], good) for f, good, bad in folds
    ]
    assert found.value == pytest.approx(np.mean(by_hand))
    assert found.blocks == 5 + 12 + 6


def test_higher_is_better_where_it_is() -> None:
    flights = discovery.load("flights")
    frame, _, _ = fold(1, 72)
    label = (frame["label"] > 10).astype(int)
    improvement, blocks = improvement_on(
        flights, frame.assign(label=label), frame["label"].to_numpy(), -frame["label"].to_numpy()
    )
    assert improvement(np.ones((1, blocks)))[0] == pytest.approx(1)


def test_the_error_is_that_of_repeated_folds() -> None:
    energy = discovery.load("energy")
    found = [over_folds([improvement_on(energy, *fold(3 * seed + one, 24)) for one in range(3)]) for seed in range(200)]
    spread = np.std([each.value for each in found])
    assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.2)


def test_the_same_predictions_are_no_improvement() -> None:
    frame, good, _ = fold(1, 24)
    found = over_folds([improvement_on(discovery.load("energy"), frame, good, good)] * 2)
    assert (found.value, found.error, found.low(0.95, 1)) == (0, 0, 0)


def test_the_bound_is_corrected_for_the_number_compared() -> None:
    found = Improvement(value=1.0, error=0.2, blocks=21)
    assert found.low(0.95, 1) == pytest.approx(1 - 0.2 * stats.t.ppf(0.95, 20))
    assert found.low(0.95, 10) == pytest.approx(1 - 0.2 * stats.t.ppf(0.995, 20))
    assert Improvement(1.0, float("inf"), 21).low(0.95, 1) == float("-inf")
