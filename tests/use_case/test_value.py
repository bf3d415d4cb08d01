"""What a use case may declare about the worth of a decision, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from perennial import UseCase, Value, discovery
from perennial.use_case.value import written

FLIGHTS, ENERGY = discovery.load("flights"), discovery.load("energy")
CONSTANTS = {"true_positive": 10.0, "false_positive": -2.0}


def declared(use_case: UseCase, value: dict[str, Any] | None, metric: str) -> UseCase:
    fields = {name: getattr(use_case, name) for name in UseCase.model_fields}
    gate = use_case.gate.model_copy(update={"metric": metric})
    return UseCase(**fields | {"value": Value(**value) if value is not None else None, "gate": gate})


def test_a_gate_may_decide_in_money() -> None:
    assert declared(FLIGHTS, CONSTANTS, "value").higher_is_better


def test_a_gate_in_money_needs_to_know_what_is_worth_what() -> None:
    with pytest.raises(ValidationError, match=r"gate metric 'value' is money: declare .* value=Value\(\.\.\.\)"):
        declared(FLIGHTS, None, "value")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "declare true_positive and false_positive, or a function"),
        ({"true_positive": 1.0}, "declare true_positive and false_positive, or a function"),
        (CONSTANTS | {"false_positive": 2.0}, "false_positive 2 is not below true_negative 0.*negative"),
        (CONSTANTS | {"false_negative": 10.0}, "true_positive 10 is not above false_negative 10"),
        (CONSTANTS | {"true_positive": float("inf")}, "finite"),
        (CONSTANTS | {"threshold": 1.5}, "less than or equal to 1"),
        (CONSTANTS | {"columns": ("amount",)}, "columns are for a function"),
        ({"function": "worth", "columns": ("decision",)}, "'decision' is what the function is given anyway"),
        ({"function": "worth", "columns": ("champion",)}, "'champion' is a column that evaluations have themselves"),
        (CONSTANTS | {"function": "worth"}, "leave out false_positive"),
    ],
)
def test_a_value_that_cannot_be_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Value(**fields)


@pytest.mark.parametrize(
    ("value", "problem"),
    [(CONSTANTS, "needs a function"), ({"function": "worth", "threshold": 0.5}, "leave out value.threshold")],
)
def test_of_a_regression_nothing_is_decided(value: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        declared(ENERGY, value, "rmse")


@pytest.mark.parametrize(
    ("amount", "signed", "text"),
    [(12340.4, False, "12,340 EUR"), (-0.125, False, "-0.12 EUR"), (340.0, True, "+340 EUR"), (3.0, False, "3 EUR")],
)
def test_money_is_written_as_people_write_it(amount: float, signed: bool, text: str) -> None:
    assert written(amount, "EUR", signed=signed) == text


def test_money_without_a_currency_is_a_number() -> None:
    assert written(1500.0, Value(**CONSTANTS).currency) == "1,500"
