"""Money of rows and blocks, and thresholds that are chosen on other rows than they are judged on."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import UseCase, Value, discovery
from perennial.errors import PerennialError
from perennial.evaluation import blocks, metrics, money, thresholds

FLIGHTS, ENERGY = discovery.load("flights"), discovery.load("energy")
WORTH = Value(true_positive=10.0, false_positive=-3.0, true_negative=0.5, false_negative=-1.0)
#: (false positive less true negative) to (true positive less false negative), as Elkan has it.
THEORY = 3.5 / (3.5 + 11.0)


def of(value: Value, use_case: UseCase = FLIGHTS) -> UseCase:
    return use_case.model_copy(update={"value": value})


def holdout(seed: int, days: int, per_day: int, signal: float, power: float = 1.0) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels of days that differ, and predictions: without a signal of noise, else calibrated to the power of one."""
    random = np.random.default_rng(seed)
    count = days * per_day
    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.repeat(np.arange(days), per_day), unit="D")
    x, day = random.normal(size=count), 0.5 * random.normal(size=days).repeat(per_day)
    label = (random.random(count) < 1 / (1 + np.exp(1.4 - day - signal * x))).astype(int)
    believed = 1 / (1 + np.exp(1.4 - signal * x)) if signal else np.clip(0.2 + 0.05 * x, 0, 1)
    return pd.DataFrame({"label": label, "event_timestamp": times}), believed**power


def test_each_outcome_is_worth_what_is_declared() -> None:
    rows, prediction = pd.DataFrame({"label": [1, 0, 0, 1]}), np.array([0.9, 0.8, 0.1, 0.2])
    worth = money.of_rows(of(WORTH), rows, prediction, 0.5)
    assert worth.tolist() == [10.0, -3.0, 0.5, -1.0]


def test_a_prediction_may_cost_and_the_baseline_is_free() -> None:
    use_case = of(Value(true_positive=10.0, false_positive=-3.0, per_prediction=-0.25))
    rows, prediction = pd.DataFrame({"label": [1, 0]}), np.array([0.9, 0.1])
    assert money.of_rows(use_case, rows, prediction, 0.5).tolist() == [9.75, -0.25]
    assert money.of_rows(use_case, rows, prediction, 0.5, is_model=False).tolist() == [10.0, 0.0]


def test_without_a_declaration_there_is_no_money() -> None:
    rows, prediction = holdout(1, 6, 10, 1.0)
    assert thresholds.judged(FLIGHTS, rows, prediction) is None
    assert "value" not in metrics.evaluate(FLIGHTS, rows["label"].to_numpy(), prediction, None)


@given(seed=st.integers(0, 10**6), days=st.integers(2, 8), per_day=st.integers(1, 12))
@settings(max_examples=examples(25), deadline=None)
def test_value_by_blocks_is_the_value_of_their_rows(seed: int, days: int, per_day: int) -> None:
    rows, prediction = holdout(seed, days, per_day, 1.0)
    label, block = rows["label"].to_numpy(), blocks.blocks_of(rows["event_timestamp"], timedelta(days=1))
    worth = thresholds.judged(of(WORTH), rows, prediction)
    drawn = np.random.default_rng(seed).integers(0, 3, size=(1, days)) + np.eye(days, dtype=int)[[0]]
    value = blocks.metric("value", label, prediction, block, worth)(drawn.astype(float))[0]
    again = np.repeat(np.arange(len(label)), drawn[0][block])
    assert value == pytest.approx(metrics.evaluate_one(FLIGHTS, "value", label[again], prediction[again], worth[again]))


@given(seed=st.integers(0, 10**6), day=st.integers(0, 7))
@settings(max_examples=examples(25), deadline=None)
def test_a_block_is_judged_by_what_others_chose(seed: int, day: int) -> None:
    rows, prediction = holdout(seed, 8, 12, 1.0)
    own = np.repeat(np.arange(8), 12) == day
    before = thresholds.cross_fitted(of(WORTH), rows, prediction)
    other = rows.assign(label=np.where(own, 1 - rows["label"], rows["label"]))
    assert (thresholds.cross_fitted(of(WORTH), other, prediction)[own] == before[own]).all()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=examples(25), deadline=None)
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    rows, prediction = holdout(seed, 8, 12, 1.0)
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = rows.iloc[order].reset_index(drop=True)
    use_case = of(WORTH)
    assert thresholds.choose(use_case, shuffled, prediction[order]) == thresholds.choose(use_case, rows, prediction)
    chosen = thresholds.cross_fitted(use_case, shuffled, prediction[order])
    assert (chosen == thresholds.cross_fitted(use_case, rows, prediction)[order]).all()


def test_a_calibrated_model_acts_where_theory_says() -> None:
    rows, prediction = holdout(3, 40, 200, 1.5)
    assert thresholds.choose(of(WORTH), rows, prediction) == pytest.approx(THEORY, abs=0.01)


def test_a_model_that_is_not_calibrated_gets_its_own() -> None:
    rows, prediction = holdout(3, 40, 200, 1.5, power=2.0)
    by_theory = money.of_rows(of(WORTH), rows, prediction, THEORY)
    assert thresholds.judged(of(WORTH), rows, prediction).mean() > 1.1 * by_theory.mean()


def test_too_few_blocks_choose_nothing() -> None:
    rows, prediction = holdout(3, FLIGHTS.gate.min_blocks - 1, 200, 1.5, power=2.0)
    assert thresholds.choose(of(WORTH), rows, prediction) == pytest.approx(THEORY)


def test_as_many_blocks_as_needed_are_judged_by_choice() -> None:
    rows, prediction = holdout(3, FLIGHTS.gate.min_blocks, 200, 1.5, power=2.0)
    assert thresholds.choose(of(WORTH), rows, prediction) != pytest.approx(THEORY)
    assert (thresholds.cross_fitted(of(WORTH), rows, prediction) != THEORY).all()


def test_nearness_to_theory_is_that_of_the_decision() -> None:
    # By theory, 1 / 9, none is acted on. To act on all is hardly better, and that differs from day to day.
    use_case, days, per_day = of(Value(true_positive=8.0, false_positive=-1.0)), 12, 40
    label = np.zeros((days, per_day), dtype=int)
    for day, positives in enumerate((1, 8, 2, 7, 1, 8, 3, 6, 2, 7, 1, 8)):
        label[day, :positives] = 1
    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.repeat(np.arange(days), per_day), unit="D")
    rows = pd.DataFrame({"label": label.ravel(), "event_timestamp": times})
    assert thresholds.choose(use_case, rows, np.full(len(rows), 0.1)) == pytest.approx(1 / 9)


def test_a_declared_threshold_is_not_chosen() -> None:
    use_case = of(WORTH.model_copy(update={"threshold": 0.7}))
    rows, prediction = holdout(3, 8, 20, 1.5)
    assert thresholds.choose(use_case, rows, prediction) == 0.7
    assert set(thresholds.cross_fitted(use_case, rows, prediction)) == {0.7}


def test_equal_predictions_are_all_acted_on_or_none() -> None:
    rows, _ = holdout(5, 10, 30, 0.0)
    for worth, acts in (
        (Value(true_positive=10, false_positive=-0.1), 1),
        (Value(true_positive=1, false_positive=-9), 0),
    ):
        for said in (0.0, 0.3, 1.0):
            prediction = np.full(len(rows), said)
            assert ((prediction >= thresholds.choose(of(worth), rows, prediction)) == acts).all()
        assert money.baseline(of(worth), rows) == acts


def test_a_useless_model_is_not_flattered() -> None:
    use_case = of(Value(true_positive=10.0, false_positive=-2.5))
    judged, alike = [], []
    for seed in range(200):
        rows, prediction = holdout(seed, 12, 40, signal=0.0)
        judged.append(thresholds.judged(use_case, rows, prediction).mean())
        alike.append([money.of_baseline(use_case, rows, says).mean() for says in (0.0, 1.0)])
    best = np.mean(alike, axis=0).max()
    assert np.mean(judged) <= best
    in_sample = [
        money.of_rows(use_case, rows, p, thresholds.choose(use_case, rows, p)).mean()
        for rows, p in (holdout(seed, 12, 40, signal=0.0) for seed in range(200))
    ]
    assert np.mean(in_sample) > np.mean(judged)  # What judging by the threshold of the same rows would have added.


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch):
    """Lets a use case's `value.py` hold one function, `worth`."""

    def put(written) -> None:
        module = type("value", (), {"worth": staticmethod(written)})
        monkeypatch.setattr(UseCase, "module", lambda self, name: module)

    return put


def test_a_function_sees_the_columns_that_it_needs(function) -> None:
    function(lambda rows: rows["amount"] * np.where(rows["label"] == 1, 1.0, -1.0) * rows["decision"])
    use_case = of(Value(function="worth", columns=("amount",)))
    rows = pd.DataFrame({"label": [1, 0, 1], "amount": [100.0, 20.0, 5.0], "other": 1}, index=[7, 8, 9])
    assert money.of_rows(use_case, rows, np.array([0.9, 0.8, 0.1]), 0.5).tolist() == [100.0, -20.0, 0.0]
    assert money.of_rows(use_case, rows.drop(columns="amount"), np.array([0.9, 0.8, 0.1]), 0.5) is None


def test_a_function_of_constants_chooses_the_same(function) -> None:
    function(
        lambda rows: np.select(
            [rows["decision"] & (rows["label"] == 1), rows["decision"], rows["label"] == 1], [10.0, -3.0, -1.0], 0.5
        )
    )
    rows, prediction = holdout(3, 12, 50, 1.5, power=2.0)
    same = (thresholds.choose(each, rows, prediction) for each in (of(Value(function="worth")), of(WORTH)))
    assert len(set(same)) == 1


def test_of_a_regression_the_prediction_is_worth_something(function) -> None:
    function(lambda rows: -abs(rows["prediction"] - rows["label"]))
    use_case = of(Value(function="worth"), ENERGY)
    rows = pd.DataFrame({"label": [1.0, 2.0], "event_timestamp": pd.Timestamp("2024-01-01", tz="UTC")})
    assert thresholds.judged(use_case, rows, np.array([1.5, 2.0])).tolist() == [-0.5, 0.0]
    assert money.baseline(use_case, rows) == 1.5
    assert thresholds.choose(use_case, rows, np.array([1.5, 2.0])) is None


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (lambda rows: rows["gone"], r"worth\(\) in include/use_cases/flights/value.py failed.*KeyError"),
        (lambda rows: [1.0], "must return a finite number for each of 2 rows"),
        (lambda rows: [1.0, float("nan")], "must return a finite number"),
    ],
)
def test_a_function_that_fails_is_named(function, written, problem: str) -> None:
    function(written)
    with pytest.raises(PerennialError, match=problem):
        money.of_rows(of(Value(function="worth")), pd.DataFrame({"label": [1, 0]}), np.array([0.9, 0.1]), 0.5)
