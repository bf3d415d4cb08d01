"""The fit of a use case's estimator, and the weights of its rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from perennial import PredictionInterval
from perennial.errors import BadFeatures, TrainingFailed
from perennial.training import estimator
from perennial.use_case import UseCase

ROWS = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "label": [0.0, 1.0, 2.0, 9.0], "weight": [1.0, 1.0, 1.0, 0.0]})


@pytest.fixture
def weighted(energy: UseCase) -> UseCase:
    return energy.model_copy(update={"examples": energy.examples.model_copy(update={"weight": "weight"})})


def fitted(use_case: UseCase, monkeypatch: pytest.MonkeyPatch, model, rows: pd.DataFrame = ROWS):
    monkeypatch.setattr(type(use_case), "module", lambda self, name: SimpleNamespace(build=lambda params: model))
    return estimator.fit_estimator(use_case, use_case.params(), rows, ["x"])[0]


@pytest.mark.parametrize(
    "build",
    [
        LinearRegression,
        lambda: make_pipeline(StandardScaler(), LinearRegression()),
        lambda: make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LinearRegression())),
    ],
)
def test_a_row_of_weight_0_changes_nothing(weighted, monkeypatch, build) -> None:
    model = fitted(weighted, monkeypatch, build())
    assert model.predict(pd.DataFrame({"x": [10.0]})) == pytest.approx([10.0])


def test_without_weights_all_rows_count(energy, monkeypatch) -> None:
    model = fitted(energy, monkeypatch, LinearRegression())
    assert model.predict(pd.DataFrame({"x": [10.0]})) != pytest.approx([10.0])


def test_weights_are_no_input_of_the_model(weighted, monkeypatch) -> None:
    assert fitted(weighted, monkeypatch, LinearRegression()).feature_names_in_.tolist() == ["x"]


def test_an_estimator_without_weights_is_named(weighted, monkeypatch) -> None:
    with pytest.raises(TrainingFailed, match="KNeighborsRegressor takes no weights"):
        fitted(weighted, monkeypatch, KNeighborsRegressor())


def test_quantiles_beside_a_value_need_weights(energy, monkeypatch) -> None:
    named = [(name, LinearRegression()) for name in ("lower", "value", "upper")]
    bounded = energy.model_copy(update={"interval": PredictionInterval()})
    with pytest.raises(TrainingFailed, match=r"the VotingRegressor of build\(\) has no weights"):
        fitted(bounded, monkeypatch, make_pipeline(StandardScaler(), VotingRegressor(named)))
    for use_case, voting in ((energy, VotingRegressor(named)), (bounded, VotingRegressor(named, weights=[0, 1, 0]))):
        assert fitted(use_case, monkeypatch, voting).predict(pd.DataFrame({"x": [0.0]})).shape == (1,)


CLASSES = pd.DataFrame({"x": np.arange(40.0), "label": np.arange(40) % 2, "weight": 1.0 + np.arange(40) % 3})


def test_an_estimator_inside_another_without_weights_is_named(weighted, monkeypatch) -> None:
    """scikit-learn itself only warns, and fits the inner one without them."""
    inner = CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.raises(TrainingFailed, match="Pipeline does not appear to accept sample_weight"):
        fitted(weighted, monkeypatch, inner, CLASSES)


def test_calibration_as_the_last_step_takes_weights(weighted, monkeypatch) -> None:
    def predicted(rows: pd.DataFrame) -> np.ndarray:
        model = make_pipeline(StandardScaler(), CalibratedClassifierCV(LogisticRegression()))
        return fitted(weighted, monkeypatch, model, rows).predict_proba(rows[["x"]])[:, 1]

    assert predicted(CLASSES) != pytest.approx(predicted(CLASSES.assign(weight=1.0)))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1.0, -1.0, 1.0, 1.0], "1 of 4 of its values"),
        ([1.0, np.nan, np.inf, 1.0], "2 of 4 of its values"),
        (["a", None, "2", "1"], "2 of 4 of its values"),
        ([0, 0, 0, 0], "all are 0"),
    ],
)
def test_what_is_no_weight_is_refused(weighted, values, problem: str) -> None:
    with pytest.raises(BadFeatures, match=rf"'energy': examples.weight names 'weight'; {problem}"):
        estimator.weights_of(weighted, ROWS.assign(weight=values))


def test_no_rows_have_no_wrong_weights(weighted) -> None:
    """What is missing then is rows, which a check of its own says."""
    assert estimator.weights_of(weighted, ROWS[:0]).tolist() == []


def test_a_missing_column_of_weights_is_named(weighted) -> None:
    with pytest.raises(BadFeatures, match="'weight', which is no column of the training set"):
        estimator.weights_of(weighted, ROWS[["x", "label"]])


@pytest.mark.parametrize("name", ["meter", "hour_sin", "label"])
def test_a_weight_is_neither_key_nor_feature_nor_label(energy, name: str) -> None:
    declared = energy.model_dump() | {"examples": energy.examples.model_copy(update={"weight": name})}
    with pytest.raises(ValueError, match=f"examples.weight '{name}' is also a key, a feature or the label"):
        UseCase(**declared)
