"""What the gate shows of each class, and that a rare one does not keep it from deciding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial import discovery
from perennial.gate import class_evidence, rules
from perennial.gate.challenger import apply_rules
from perennial.gate.decision import ClassCounts, GateDecision
from perennial.gate.refit import agreement_rules
from perennial.use_case import UseCase

CLASSES = ("often", "seldom", "hardly", "never")
_FLIGHTS = discovery.load("flights")
USE_CASE = _FLIGHTS.model_copy(
    update={
        "task": "multiclass",
        "classes": CLASSES,
        "gate": _FLIGHTS.gate.model_copy(update={"metric": "log_loss", "min_rows": 500}),
    }
)


def world(count: int = 4_000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A holdout of a fortnight whose third class has few rows and whose last one none; and the true probabilities."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(count, 4)) + np.array([3.0, 1.5, -2.7, -30.0])
    truth = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    label = (random.random((count, 1)) > truth.cumsum(1)).sum(1).clip(0, 3)
    times = pd.Timestamp("2013-03-01", tz="UTC") + pd.to_timedelta(np.sort(random.integers(14 * 24, size=count)), "h")
    origin = random.choice(["JFK", "LGA"], count)
    return pd.DataFrame({"event_timestamp": times, "origin": origin, "label": np.array(CLASSES)[label]}), truth


def frequent(holdout: pd.DataFrame) -> np.ndarray:
    shares = holdout["label"].value_counts(normalize=True).reindex(CLASSES).fillna(0).to_numpy()
    return np.tile(shares, (len(holdout), 1))


def pair(use_case: UseCase = USE_CASE) -> tuple[rules.Pair, pd.DataFrame]:
    holdout, truth = world()
    return rules.Pair.of(use_case, holdout, truth, frequent(holdout)), holdout


def test_a_better_model_is_promoted_and_rare_classes_are_named() -> None:
    results = apply_rules(*pair())
    assert results.outcome(USE_CASE.gate.margin) == "promote", [rule for rule in results.rules if not rule.passed]
    rare = results.classes["hardly"].rows
    assert 0 < rare < 30
    assert f"label=hardly ({rare})" in results.not_evaluated
    assert "label=never (0)" in results.not_evaluated


@pytest.mark.parametrize("metric", ["log_loss", "brier", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc"])
def test_every_metric_decides(metric: str) -> None:
    use_case = USE_CASE.model_copy(update={"gate": USE_CASE.gate.model_copy(update={"metric": metric})})
    results = apply_rules(*pair(use_case))
    assert results.improvement is not None
    assert np.isfinite([results.improvement.low, results.improvement.high]).all()
    assert results.improvement.estimate > 0


def test_a_holdout_of_one_class_is_no_evidence() -> None:
    holdout, truth = world()
    holdout["label"] = "often"
    results = apply_rules(rules.Pair.of(USE_CASE, holdout, truth, frequent(holdout)), holdout)
    assert results.improvement is None
    assert [rule.value for rule in results.sufficiency] == [len(holdout), 0]


def test_the_rows_of_each_class_are_counted_by_what_they_were_called() -> None:
    compared, holdout = pair()
    counted = class_evidence.with_fitted(USE_CASE, class_evidence.measure(compared), holdout["label"][:1_000])
    said = np.array(CLASSES)[compared.challenger.argmax(1)]
    table = pd.crosstab(holdout["label"], said)
    assert {name: each.challenger for name, each in counted.items() if each.rows} == {
        name: {called: count for called, count in row.items() if count} for name, row in table.to_dict("index").items()
    }
    assert counted["often"].champion == {"often": counted["often"].rows}
    assert (counted["never"].fitted, counted["never"].rows) == (0, 0)
    assert sum(each.fitted for each in counted.values()) == 1_000


def test_recall_and_precision_follow_from_the_counts() -> None:
    counts = {
        "a": ClassCounts(fitted=9, rows=10, challenger={"a": 8, "b": 2}, champion={"a": 10}),
        "b": ClassCounts(fitted=None, rows=5, challenger={"b": 4, "a": 1}, champion={"a": 5}),
        "c": ClassCounts(fitted=0, rows=0, challenger={}, champion={}),
    }
    decision = GateDecision.model_construct(classes=counts)
    a, b, c = decision.class_rows
    assert (a.recall, a.precision) == ((0.8, 1.0), (8 / 9, 10 / 15))
    assert (b.recall, b.precision) == ((0.8, 0.0), (4 / 6, None))
    assert (c.recall, c.precision) == ((None, None), (None, None))


def test_of_other_tasks_there_is_none() -> None:
    flights = rules.Pair(_FLIGHTS, np.array([0, 1]), np.array([0.2, 0.7]), np.array([0.5, 0.5]), np.array([0, 1]))
    assert class_evidence.measure(flights) == {}


def test_a_refit_that_predicts_otherwise_is_told_from_one_that_does_not() -> None:
    holdout, truth = world()
    near = 0.95 * truth + 0.05 * frequent(holdout)
    for other, passes in ((near, True), (truth[:, ::-1], False)):
        distance = agreement_rules(rules.Pair.of(USE_CASE, holdout, other, truth))[0]
        assert distance.passed is passes, distance
