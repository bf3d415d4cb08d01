"""Every row of a holdout is in a slice of each column that the gate looks at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import PredictionInterval, Value, discovery
from perennial.errors import BadFeatures
from perennial.evaluation import slices
from perennial.use_case import UseCase

FLIGHTS = discovery.load("flights")


def by(*columns: str) -> UseCase:
    return FLIGHTS.model_copy(update={"gate": FLIGHTS.gate.model_copy(update={"slices": columns})})


def test_rows_without_a_value_are_a_slice_too_and_the_last() -> None:
    holdout = pd.DataFrame({"origin": ["LGA", None, "JFK", "LGA", np.nan]}, index=[9, 8, 7, 6, 5])
    sliced = {each.name: each.rows.tolist() for each in slices.slices_of(by("origin"), holdout)}
    assert list(sliced.items()) == [("origin=JFK", [2]), ("origin=LGA", [0, 3]), ("origin=(missing)", [1, 4])]


@given(st.lists(st.sampled_from(["a", "b", None]) | st.none(), min_size=1), st.booleans())
def test_every_row_is_in_one_slice(values: list[str | None], is_categorical: bool) -> None:
    column = pd.Series(values, dtype="category" if is_categorical else object)
    sliced = list(slices.slices_of(by("x"), pd.DataFrame({"x": column})))
    assert sorted(place for each in sliced for place in each.rows) == list(range(len(values)))
    for each in sliced:
        assert {slices.MISSING if pd.isna(values[place]) else values[place] for place in each.rows} == {each.value}


@pytest.mark.parametrize("values", [[2, 1, None], [2.0, 1.0, float("nan")], [True, False, None]])
def test_values_of_any_type_are_slices(values: list) -> None:
    slice_values = [each.value for each in slices.slices_of(by("x"), pd.DataFrame({"x": values}))]
    assert len(slice_values) == 3
    assert slice_values[-1] == slices.MISSING


def test_a_column_of_predictions_is_not_taken_from_training_sets() -> None:
    valued = by("origin").model_copy(update={"value": Value(true_positive=1.0, false_positive=-1.0)})
    with pytest.raises(BadFeatures, match="have a column 'decision'"):
        slices.check_columns(valued, ["origin", "decision"])
    slices.check_columns(by("origin"), ["origin", "decision"])


@pytest.mark.parametrize("name", ["lower", "UPPER", "prediction_upper"])
def test_a_bound_of_an_interval_takes_no_columns_place(name) -> None:
    energy = discovery.load("energy")
    with pytest.raises(BadFeatures, match=f"have a column '{name}'"):
        slices.check_added(energy.model_copy(update={"interval": PredictionInterval()}), ["meter", name])
    slices.check_added(energy, ["meter", name])


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(BadFeatures, match=r"gate.slices names 'orign'.*carrier, origin(.|\n)*Did you mean 'origin'"):
        slices.check_columns(by("orign"), ["carrier", "origin"])
