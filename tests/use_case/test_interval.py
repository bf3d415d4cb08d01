"""The declaration of prediction intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial import PredictionInterval, UseCase, discovery
from perennial.use_case import interval


def declared(**changes) -> UseCase:
    energy = discovery.load("energy")
    return UseCase(**{name: getattr(energy, name) for name in UseCase.model_fields} | changes)


def test_a_regression_may_declare_one() -> None:
    assert declared(interval=PredictionInterval(coverage=0.95)).interval.tolerance == 0.02


def test_a_probability_has_no_interval() -> None:
    energy = discovery.load("energy")
    binary = {"task": "binary", "gate": energy.gate.model_copy(update={"metric": "roc_auc"})}
    with pytest.raises(ValidationError, match="interval is of a number: of classes probabilities are predicted"):
        declared(**binary, interval=PredictionInterval())


def test_a_gate_must_see_enough_rows_for_it() -> None:
    with pytest.raises(ValidationError, match="needs a holdout of 198 rows at least, and the gate decides on 50"):
        declared(interval=PredictionInterval(coverage=0.99))


@pytest.mark.parametrize("name", ["lower", "Upper", "prediction_lower"])
def test_no_field_of_a_request_is_called_as_a_bound(name) -> None:
    examples = discovery.load("energy").examples
    taken = examples.model_copy(update={"request_features": (*examples.request_features, name)})
    with pytest.raises(ValidationError, match=f"request_features has '{name}', which is also what predictions get"):
        declared(interval=PredictionInterval(), examples=taken)


def test_margins_are_by_a_field_of_the_request() -> None:
    assert declared(interval=PredictionInterval(by="hour_sin")).interval.by == "hour_sin"
    with pytest.raises(ValidationError, match=r"interval\.by 'meter_last' is not one of examples\.request_features"):
        declared(interval=PredictionInterval(by="meter_last"))


@given(st.integers(min_value=1, max_value=999))
def test_one_row_fewer_would_be_too_few(thousandths) -> None:
    coverage = thousandths / 1000
    rows = interval.fewest_rows(coverage)
    assert (rows + 1) * (1 - coverage) >= 1 - 1e-9
    assert rows * (1 - coverage) < 1
