"""Pairs and sums of columns that give the label are found among noise; noise and mere relations are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.scaffold import combinations

Array = np.ndarray
ROWS = 600


def measures(seed: int, columns: int = 12) -> Array:
    """Columns of several scales; two are whole numbers, one has zeros and negative values."""
    random = np.random.default_rng(seed)
    values = random.gamma(2.0, 10.0 ** random.uniform(-1, 3, columns), size=(ROWS, columns))
    values[:, :2] = np.ceil(values[:, :2] * 10)
    values[::7, 2] = 0
    values[::5, 2] *= -1
    return values


LABELS: dict[str, Callable[[Array, Array], Array]] = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "product": lambda a, b: a * b,
    "ratio": lambda a, b: a / b,
    "scaled sum with an offset": lambda a, b: 7 - 3 * (a + b),
    "change in percent": lambda a, b: 100 * (a / b - 1),
    "rounded product": lambda a, b: np.round(a * b / np.std(a * b), 2),
    "weighted sum": lambda a, b: a / a.std() + 0.5 * b / b.std(),
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(LABELS)), st.booleans())
def test_a_label_of_two_columns_is_recognised(seed: int, kind: str, has_gaps: bool) -> None:
    values = measures(seed)
    # Two columns of one scale, so that neither gives the label away alone.
    values[:, 5] = values[:, 5] / values[:, 5].mean() * values[:, 4].mean()
    values[:, 4:6] += values[:, 4:6].mean() / 10
    truth = LABELS[kind](values[:, 4], values[:, 5])
    if has_gaps:
        values[np.random.default_rng(seed).random(values.shape) < 0.1] = np.nan
    found = combinations.find(values, truth, "regression")
    assert {each.members for each in found} == {(4, 5)}


@pytest.mark.parametrize("form", ["{0} - {1}", "{0} + {1}", "{0} * {1}", "{0} / {1}"])
def test_a_class_by_a_threshold_on_two_columns_is_recognised(form: str) -> None:
    values = measures(3)
    values[:, 5] = values[:, 5] / values[:, 5].mean() * values[:, 4].mean()
    combined = combinations._FORMS[form](values[:, 4], values[:, 5])
    found = combinations.find(values, (combined > np.quantile(combined, 0.8)).astype(float), "binary")
    assert found == [((4, 5), form)]


def test_a_total_of_four_columns_is_recognised() -> None:
    values = np.random.default_rng(1).gamma(2.0, 10.0, size=(ROWS, 20))
    truth = values[:, [3, 8, 9]].sum(1) - values[:, 15]
    (found,) = combinations.find(values, truth, "regression")
    assert sorted(found.members) == [3, 8, 9, 15]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["regression", "binary"]))
def test_noise_and_relations_are_no_combinations(seed: int, task: str) -> None:
    values, random = measures(seed, 30), np.random.default_rng(seed)
    related = values[:, 3] / values[:, 3].std() + values[:, 4] / values[:, 4].std()
    truth = related + random.normal(0, 0.3 * related.std(), ROWS)
    truth[0] = 1e6  # One outlier explains nothing.
    values[0, 7] = 1e9
    truth = (truth > np.median(truth)).astype(float) if task == "binary" else truth
    assert combinations.find(values, truth, task) == []


def test_a_column_that_is_there_twice_is_no_pair() -> None:
    values = measures(5)
    values[:, 6] = values[:, 7] * 1.5 + 1e-9
    truth = values[:, 7] + np.random.default_rng(5).normal(0, values[:, 7].std(), ROWS)
    assert combinations.find(values, truth, "regression") == []
