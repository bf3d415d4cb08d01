"""Metrics of several classes: scikit-learn's numbers, and defined also where a class does not occur."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from perennial import discovery
from perennial.evaluation import metrics
from perennial.use_case.metric_names import METRICS

CLASSES = discovery.load("flights").model_copy(update={"task": "multiclass", "classes": ("a", "b", "c", "d")})


def drawn(seed: int, places: list[int]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = random.permutation(np.concatenate([places, random.choice(places, 200)]))
    prediction = random.dirichlet(np.ones(4), len(label)) + 0.5 * np.eye(4)[label] * random.random((len(label), 1))
    return label, prediction / prediction.sum(1, keepdims=True)


def test_metrics_of_classes_are_those_of_scikit_learn() -> None:
    label, prediction = drawn(1, [0, 1, 2, 3])
    said = prediction.argmax(1)
    assert metrics.evaluate(CLASSES, label, prediction) == pytest.approx(
        {
            "log_loss": sk.log_loss(label, prediction),
            "brier": sk.brier_score_loss(label, prediction),
            "accuracy": sk.accuracy_score(label, said),
            "balanced_accuracy": sk.balanced_accuracy_score(label, said),
            "f1_macro": sk.f1_score(label, said, average="macro"),
            "roc_auc": sk.roc_auc_score(label, prediction, multi_class="ovr"),
        }
    )


def test_means_over_classes_are_over_those_that_occur() -> None:
    label, prediction = drawn(2, [0, 3])
    measured = metrics.evaluate(CLASSES, label, prediction)
    assert measured.keys() == {*METRICS["multiclass"]}
    recalls = [(prediction.argmax(1) == each)[label == each].mean() for each in (0, 3)]
    assert measured["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    aucs = [sk.roc_auc_score(label == each, prediction[:, each]) for each in (0, 3)]
    assert measured["roc_auc"] == pytest.approx(np.mean(aucs))


def test_with_a_single_class_only_the_ranking_is_not_defined() -> None:
    label, prediction = drawn(3, [2])
    assert {*METRICS["multiclass"]} - metrics.evaluate(CLASSES, label, prediction).keys() == {"roc_auc"}


def test_a_class_that_a_model_does_not_know_costs_a_finite_log_loss() -> None:
    label, prediction = np.array([0, 3]), np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    assert metrics.evaluate_one(CLASSES, "log_loss", label, prediction) == pytest.approx(-np.log(1e-15) / 2)


def test_calibrated_classes_have_no_calibration_error_and_sharpened_ones_have() -> None:
    random = np.random.default_rng(4)
    prediction = random.dirichlet(np.ones(4), 20_000)
    label = (random.random((len(prediction), 1)) > prediction.cumsum(1)).sum(1)
    sharpened = prediction**2 / (prediction**2).sum(1, keepdims=True)
    assert metrics.calibration_error(CLASSES, label, prediction) < 0.01
    assert metrics.calibration_error(CLASSES, label, sharpened) > 0.05
