"""What a use case may declare about its classes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from perennial import UseCase, Value, discovery

FLIGHTS = discovery.load("flights")
THREE = ("red", "green", "blue")


def declared(*, baseline: str | None = None, **changes: Any) -> UseCase:
    fields = {name: getattr(FLIGHTS, name) for name in UseCase.model_fields}
    gate = FLIGHTS.gate.model_copy(update={"metric": "log_loss", "baseline": baseline})
    return UseCase(**fields | {"task": "multiclass", "classes": THREE, "value": None, "gate": gate} | changes)


def test_classes_keep_their_order() -> None:
    assert declared().classes == THREE


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"classes": ()}, r"task 'multiclass' needs classes=\(...\), at least 3 names; of two the task is 'binary'"),
        ({"classes": ("a", "b")}, "at least 3 names"),
        ({"task": "binary"}, "classes are of task 'multiclass', and this one is 'binary'"),
        ({"classes": (*THREE, "dark red")}, "class 'dark red': a name is letters, digits and underscores"),
        ({"classes": (*THREE, "Red")}, "class 'red' is declared twice; names that differ in case only"),
        ({"classes": (*THREE, "red")}, "class 'red' is declared twice"),
        ({"value": Value(true_positive=1, false_positive=-1)}, "value is of two outcomes, or of a number"),
        ({"baseline": "distance"}, "gate.baseline 'distance' is a feature that predicts a number"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        declared(**changes)


def test_a_column_of_the_examples_may_not_be_called_like_a_probability() -> None:
    examples = FLIGHTS.examples.model_copy(update={"request_features": ("Probability_red",)})
    with pytest.raises(ValidationError, match="column 'probability_red' of the examples"):
        declared(examples=examples)


def test_the_gate_compares_a_metric_of_classes() -> None:
    gate = FLIGHTS.gate.model_copy(update={"metric": "average_precision"})
    with pytest.raises(ValidationError, match=r"'average_precision' is not one of log_loss, brier, .* for multiclass"):
        declared(gate=gate)
