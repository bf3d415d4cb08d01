"""The fast estimate of a column's worth passes every column on whose tree predicts nearly perfectly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.scaffold import leakage


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([120, 700, 4_000]),
    st.sampled_from(["regression", "binary"]),
    st.floats(0, 0.3),
    st.sampled_from(["plain", "heavy tail", "rounded", "missing", "hashed", "folded"]),
)
def test_what_a_tree_finds_the_estimate_passes(seed: int, rows: int, task: str, noise: float, kind: str) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(size=rows) if kind != "heavy tail" else random.lognormal(0, 2, rows)
    values = truth + random.normal(0, noise * truth.std(), rows)
    values = {
        "rounded": np.round(values * 2),
        "missing": np.where(values > 1, np.nan, values),
        "hashed": np.round(values * 2) * 7919 % 101,
        "folded": np.abs(values),
    }.get(kind, values)
    if task == "binary":
        truth = (truth > np.quantile(truth, random.uniform(0.5, 0.97))).astype(float)
    limit = leakage._AUC if task == "binary" else leakage._R2
    if leakage._skill(values, truth, task) > limit:
        assert leakage.coarse_skill(values, truth, task) >= leakage._PROMISING


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_noise_is_not_promising(task: str) -> None:
    random = np.random.default_rng(4)
    truth = random.normal(size=1_500) if task == "regression" else (random.random(1_500) < 0.02).astype(float)
    assert max(leakage.coarse_skill(random.normal(size=1_500), truth, task) for _ in range(50)) < leakage._PROMISING
