"""A model is asked about several requests at once only if it predicts each row alike alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.serving.row_independence import is_row_independent

EXAMPLE = pd.DataFrame({"a": [0.1, 0.2, None], "b": [1.0, 2.0, 3.0]})


def test_a_function_of_each_row_is_independent() -> None:
    assert is_row_independent(lambda frame: frame["a"].to_numpy() * 3 + frame["b"].to_numpy(), EXAMPLE)


def test_a_function_of_all_rows_is_not() -> None:
    assert not is_row_independent(lambda frame: (frame["b"] - frame["b"].mean()).to_numpy(), EXAMPLE)


def test_a_last_bit_that_depends_on_the_others_is_found() -> None:
    def rounds_with_the_number_of_rows(frame: pd.DataFrame) -> np.ndarray:
        predicted = frame["b"].to_numpy()
        return np.nextafter(predicted, 9.0) if len(frame) == 33 else predicted

    assert not is_row_independent(rounds_with_the_number_of_rows, EXAMPLE)


@pytest.mark.parametrize("example", [None, EXAMPLE.head(0)], ids=["none", "empty"])
def test_without_an_example_nothing_is_known(example: pd.DataFrame | None) -> None:
    assert not is_row_independent(lambda frame: frame["b"].to_numpy(), example)
