"""Of several classes the probability of the one that was predicted is explained."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from perennial.analysis import explanation
from perennial.errors import InvalidParams

USE_CASE = SimpleNamespace(name="tickets", task="multiclass", classes=("a", "b"))


def test_it_is_the_stored_predictions_class() -> None:
    stored = {"prediction": "b", "probability_a": 0.3, "probability_b": 0.7}
    unit, value, predict = explanation._of_class(USE_CASE, stored, lambda frame: np.array([[0.4, 0.6]]))
    assert (unit, value, predict(pd.DataFrame()).tolist()) == ("probability of b", 0.7, [0.6])


def test_a_class_that_is_declared_no_more_is_not_explained() -> None:
    with pytest.raises(InvalidParams, match="'gone', which is no declared class any more"):
        explanation._of_class(USE_CASE, {"prediction": "gone"}, lambda frame: np.array([[0.4, 0.6]]))
