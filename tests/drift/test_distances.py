"""Distances between binned distributions, beside Evidently's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from drift_cases import sample
from evidently.legacy.calculations.stattests import (
    hellinger_stat_test,
    jensenshannon_stat_test,
    psi_stat_test,
    wasserstein_stat_test,
)
from evidently.legacy.core import ColumnType
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.drift.bins import Bins
from perennial.drift.distances import column_distances


@pytest.mark.parametrize(
    ("method", "stock"),
    [
        ("jensenshannon", jensenshannon_stat_test),
        ("hellinger", hellinger_stat_test),
        ("psi", psi_stat_test),
    ],
)
def test_distances_of_categories_are_evidentlys(method: str, stock: Any) -> None:
    one, two = sample(1)["letter"], sample(2).replace({"letter": {"b": "a"}})["letter"]
    bins = Bins.of(pa.chunked_array([pa.array(one)]))
    ours = column_distances(bins, method, *(bins.count(pa.array(x))[None, :] for x in (two, one)))["values"][0]
    # Evidently's PSI takes another small number for an empty share only where all shares are tiny.
    theirs = stock(one.copy(), two.copy(), ColumnType.Categorical, None).drift_score
    assert ours == pytest.approx(theirs, rel=1e-6)


@settings(max_examples=examples(15), deadline=None)
@given(st.floats(-3, 3), st.floats(0.2, 4), st.integers(0, 1000))
def test_distance_of_numbers_is_evidentlys_within_a_bin(shift: float, times: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    one, two = random.gamma(2, 1, 5_000), random.gamma(2, times, 5_000) + shift
    bins = Bins.of(pa.chunked_array([one]))
    ours = column_distances(bins, "wasserstein", bins.count(pa.array(two))[None, :], bins.count(pa.array(one))[None, :])
    theirs = wasserstein_stat_test(pd.Series(one), pd.Series(two), ColumnType.Numerical, None).drift_score
    # In a bin, a value counts as the bin's centre: by how much all are moved so, the distance can differ.
    centres = np.asarray(bins.centres)
    moves = sum(np.abs(values - centres[bins.codes(pa.array(values))]).mean() for values in (one, two))
    assert ours["values"][0] == pytest.approx(theirs, rel=0.02, abs=moves / one.std() + 0.005)


@settings(max_examples=examples(15), deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_bins_are_fine_where_the_training_values_are(share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    one = random.gamma(2, 1, 5_000)
    two = np.where(random.random(5_000) < share, random.permutation(one) / 2 + one.min() / 2, one)
    bins = Bins.of(pa.chunked_array([one]))
    ours = column_distances(bins, "wasserstein", bins.count(pa.array(two))[None, :], bins.count(pa.array(one))[None, :])
    theirs = wasserstein_stat_test(pd.Series(one), pd.Series(two), ColumnType.Numerical, None).drift_score
    assert ours["values"][0] == pytest.approx(theirs, rel=0.08, abs=0.02)
