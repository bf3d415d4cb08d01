"""The importance of features."""

from __future__ import annotations

import numpy as np
import pytest
from drift_cases import sample, use_case

from perennial import drift


def test_importance_is_what_shuffling_costs() -> None:
    frame = sample(3).assign(noise=np.random.default_rng(4).normal(size=20_000))
    holdout = frame.assign(label=frame["number"])
    shares = drift.importances(use_case(), lambda f: f["number"].to_numpy(), holdout, ["number", "noise"])
    assert shares["number"] == pytest.approx(1)
    assert shares["noise"] == 0
