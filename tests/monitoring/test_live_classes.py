"""Classes in production, beside what the gate recorded of each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from perennial.gate.decision import ClassCounts, GateDecision
from perennial.monitoring import live_classes

USE_CASE = SimpleNamespace(task="multiclass", classes=("old", "gone", "new"))
DECIDED = GateDecision.model_construct(
    evaluated=None,
    classes={
        "old": ClassCounts(fitted=900, rows=80, challenger={}, champion={}),
        "gone": ClassCounts(fitted=300, rows=20, challenger={}, champion={}),
    },
)


def measured(labels: list[int]) -> dict[str, object]:
    label = np.array(labels)
    return live_classes.measure(USE_CASE, label, np.eye(3)[np.where(label == 2, 0, label)])


def test_labels_and_predictions_of_each_class_are_counted() -> None:
    counted = measured([0, 0, 1, 2])
    assert {name: (each.labels, each.predicted, each.right) for name, each in counted.items()} == {
        "old": (2, 3, 2),
        "gone": (1, 1, 1),
        "new": (1, 0, 0),
    }
    assert live_classes.measure(SimpleNamespace(task="binary"), np.array([0]), np.array([0.5])) == {}


def test_a_class_that_appeared_and_one_that_vanished_are_told() -> None:
    told = live_classes.in_words(live_classes.compare(measured([0] * 60 + [2] * 5), DECIDED))
    assert "class 'new' has 5 of 65 labels, and the version was fitted on none" in told
    assert "class 'gone' has none of 65 labels, where 20.0% of the holdout had it" in told


def test_a_refit_was_fitted_on_what_was_held_out_too() -> None:
    counts = {"new": ClassCounts(fitted=0, rows=7, challenger={}, champion={})}
    refitted = GateDecision.model_construct(evaluated=1, classes=DECIDED.classes | counts)
    assert live_classes.compare(measured([0] * 60 + [2] * 5), refitted)["new"].fitted == 7
    assert "'new'" not in live_classes.in_words(live_classes.compare(measured([0] * 60 + [2] * 5), refitted))


def test_what_chance_may_leave_out_has_not_vanished() -> None:
    assert live_classes.in_words(live_classes.compare(measured([0] * 49), DECIDED)) == ""


def test_of_a_decision_that_recorded_no_classes_nothing_is_told() -> None:
    before = GateDecision.model_construct(classes=None)
    assert live_classes.in_words(live_classes.compare(measured([0] * 60 + [2] * 5), before)) == ""
    assert live_classes.in_words(live_classes.compare(measured([2]), None)) == ""
