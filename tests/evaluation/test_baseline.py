"""The first model must beat the better of the guesses that need no model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial import UseCase, discovery
from perennial.errors import BadFeatures
from perennial.evaluation import baseline


def energy(feature: str | None) -> UseCase:
    loaded = discovery.load("energy")
    return loaded.model_copy(update={"gate": loaded.gate.model_copy(update={"baseline": feature})})


ROWS = pd.DataFrame({"label": [1.0, 2.0, 9.0], "meter_last": [1.0, np.nan, 8.0], "noise": [9.0, -9.0, 0.0]})
FITTED_ON = np.array([2.0, 4.0])


@pytest.mark.parametrize(
    ("feature", "expected"),
    [(None, [3.0, 3.0, 3.0]), ("meter_last", [1.0, 3.0, 8.0]), ("noise", [3.0, 3.0, 3.0])],
)
def test_the_better_baseline_model_is_compared_with(feature: str | None, expected: list[float]) -> None:
    assert baseline.predictions(energy(feature), FITTED_ON, ROWS).tolist() == expected


def test_a_feature_that_is_not_there_is_named() -> None:
    with pytest.raises(BadFeatures, match=r"gate\.baseline names 'lst'"):
        baseline.predictions(energy("lst"), FITTED_ON, ROWS)
