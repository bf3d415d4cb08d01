"""Totals and products of several columns are recognised among noise, with gaps, roundings and corrections."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.scaffold import combinations

Array = np.ndarray
ROWS = 800


def bills(seed: int, columns: int = 20) -> Array:
    """Amounts of money; 3 is a fee that is due or not, 4 a number of pieces, 5 a share, 6 a percentage."""
    random = np.random.default_rng(seed)
    values = random.gamma(2.0, 10.0 ** random.uniform(0.5, 1.5, columns), size=(ROWS, columns)).round(2)
    values[:, 1] += 1
    values[:, 3] = np.where(random.random(ROWS) < 0.3, 6.55, 0.0)
    values[:, 4] = random.integers(1, 20, ROWS)
    values[:, 5] = random.choice([0.0, 0.1, 0.25, 0.5], ROWS)
    values[:, 6] = random.choice([0, 7, 19, 50], ROWS)
    return values


SUMS: dict[str, tuple[set[int], Callable[[Array], Array]]] = {
    "total": ({0, 1, 2, 3}, lambda v: v[:, 0] + v[:, 1] + v[:, 2] + v[:, 3]),
    "what a total leaves": ({0, 1, 2, 3}, lambda v: v[:, 0] - v[:, 1] - v[:, 2] - v[:, 3]),
    "mean": ({7, 8, 9, 10, 11}, lambda v: v[:, 7:12].mean(1).round(1)),
    "balance in cents": ({0, 1, 2}, lambda v: 100 * (v[:, 0] - v[:, 1] + v[:, 2]) - 50),
}
PRODUCTS: dict[str, tuple[set[int], Callable[[Array], Array]]] = {
    "net amount": ({0, 4, 5}, lambda v: (v[:, 0] * v[:, 4] * (1 - v[:, 5])).round(2)),
    "with tax": ({0, 4, 6}, lambda v: (v[:, 0] * v[:, 4] * (1 + v[:, 6] / 100)).round(2)),
    "volume": ({0, 1, 2}, lambda v: v[:, 0] * v[:, 1] * v[:, 2]),
    "rate": ({0, 1, 4}, lambda v: v[:, 0] / v[:, 4] / v[:, 1]),
    "index of mass": ({0, 1}, lambda v: v[:, 0] / v[:, 1] ** 2),
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(SUMS | PRODUCTS)))
def test_a_label_of_several_columns_is_recognised(seed: int, kind: str) -> None:
    values = bills(seed)
    members, label = (SUMS | PRODUCTS)[kind]
    found = combinations.find(values, label(values), "regression")
    assert [set(each.members) for each in found] == [members]


@pytest.mark.parametrize("kind", sorted(SUMS))
def test_a_total_that_is_corrected_in_some_rows_is_recognised(kind: str) -> None:
    values, random = bills(1), np.random.default_rng(1)
    members, label = SUMS[kind]
    truth = label(values) + np.where(random.random(ROWS) < 0.05, 2.5, 0) * (100 if "cents" in kind else 1)
    values[random.random(values.shape) < 0.02] = np.nan
    (found,) = combinations.find(values, truth, "regression")
    assert set(found.members) == members


def test_the_formula_has_the_signs_of_its_columns() -> None:
    values = bills(2)
    (found,) = combinations.find(values, values[:, 8] - values[:, 0] - values[:, 1], "regression")
    assert (found.members[0], found.form) == (8, "{0} - {1} - {2}")
    (found,) = combinations.find(values, PRODUCTS["net amount"][1](values), "regression")
    assert sorted(found.form.format(*found.members).split(" * ")) == ["(1 - 5)", "0", "4"]


def test_a_second_sum_of_the_label_is_recognised_as_well() -> None:
    values = bills(3)
    values[:, 9] = values[:, 0] + values[:, 1] - values[:, 7] - values[:, 8]
    found = combinations.find(values, values[:, 0] + values[:, 1], "regression")
    assert sorted(sorted(each.members) for each in found) == [[0, 1], [7, 8, 9]]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 1))
def test_a_relation_with_noise_is_no_total(seed: int, noise: float) -> None:
    values = bills(seed)
    truth = values[:, 0] + values[:, 1] + values[:, 2]
    truth += np.random.default_rng(seed).normal(0, noise * truth.std(), ROWS)
    assert combinations.find(values, truth, "regression") == []


def test_a_total_among_many_columns_is_recognised() -> None:
    values = bills(5, columns=900)
    (found,) = combinations.find(values, values[:, [10, 200, 899, 3]].sum(1), "regression")
    assert set(found.members) == {10, 200, 899, 3}
