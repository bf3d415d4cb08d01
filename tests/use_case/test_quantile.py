"""The declaration of a quantile that is predicted instead of a mean."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from perennial import PredictionInterval, UseCase, discovery


def declared(metric: str = "pinball", **changes) -> UseCase:
    energy = discovery.load("energy")
    gate = energy.gate.model_copy(update={"metric": metric})
    return UseCase(**{name: getattr(energy, name) for name in UseCase.model_fields} | {"gate": gate} | changes)


def test_its_metric_is_pinball_and_lower_is_better() -> None:
    use_case = declared(quantile=0.95)
    assert not use_case.higher_is_better


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "'pinball' is of a quantile: declare which one"),
        ({"metric": "rmse", "quantile": 0.9}, "gate metric 'rmse' is not one of pinball for regression"),
        ({"metric": "roc_auc", "task": "binary", "quantile": 0.9}, "of classes probabilities are predicted"),
        ({"quantile": 0.9, "interval": PredictionInterval(coverage=0.8)}, "declare either quantile or interval"),
        ({"quantile": 1.0}, "less than 1"),
    ],
    ids=["none declared", "another metric", "binary", "with an interval", "no quantile"],
)
def test_what_does_not_fit_is_refused(changes, message) -> None:
    with pytest.raises(ValidationError, match=message):
        declared(**changes)
