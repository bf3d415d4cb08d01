"""What of a loss the inputs explain, in worlds where it is known: shift of one input, of the relation, of none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from perennial.evaluation import metrics
from perennial.evaluation.shift import Sample, cost_of_shift

ROWS = 8_000
COLUMNS = ["number", "other", "letter"]


def sample(seed: int, *, mean: float = 0.0, relation: float = 0.0, z_share: float = 0.2, rows: int = ROWS) -> Sample:
    """A model that is right on average; the larger `number` is, and where `letter` is z, the more it misses."""
    random = np.random.default_rng(seed)
    number, other = random.normal(mean, 1, rows), random.normal(size=rows)
    letter = random.choice(["x", "y", "z", None], rows, p=[0.9 - z_share, 0.05, z_share, 0.05])
    prediction = number + other
    error = np.exp(0.5 * np.clip(number, -3, 3)) * np.where(letter == "z", 3, 1)
    label = prediction + relation * other + error * random.normal(size=rows)
    return Sample(pd.DataFrame({"number": number, "other": other, "letter": letter}), label, prediction)


CASE = SimpleNamespace(task="regression", name="case")
BEFORE = sample(0)


def rmse(rows: Sample) -> float:
    return metrics.evaluate_one(CASE, "rmse", rows.label, rows.prediction)


def cost(after: Sample, columns: list[str] = COLUMNS, before: Sample = BEFORE) -> float | None:
    return cost_of_shift(CASE, "rmse", before, after, columns, 200).cost


def test_without_a_shift_nothing_is_explained() -> None:
    after = sample(1)
    for columns in (COLUMNS, ["number"], ["letter"]):
        assert cost(after, columns) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("shift", "column"), [({"mean": 1.0}, "number"), ({"z_share": 0.6}, "letter")])
def test_the_shift_of_one_input_explains_all(shift: dict[str, float], column: str) -> None:
    after = sample(1, **shift)
    lost = rmse(after) - rmse(BEFORE)
    assert lost > 0.5
    assert cost(after) == pytest.approx(lost, rel=0.15)
    assert cost(after, [column]) == pytest.approx(lost, rel=0.15)
    for other in {"number", "other", "letter"} - {column}:
        assert cost(after, [other]) == pytest.approx(0, abs=0.05 * lost + 0.02)


def test_another_relation_is_explained_by_no_input() -> None:
    after = sample(1, relation=2.0)
    lost = rmse(after) - rmse(BEFORE)
    assert lost > 0.5
    for columns in (COLUMNS, ["number"], ["other"]):
        assert cost(after, columns) == pytest.approx(0, abs=0.1 * lost)


def test_of_both_each_is_told_apart() -> None:
    only_inputs, both = rmse(sample(1, mean=1.0)) - rmse(BEFORE), sample(1, mean=1.0, relation=2.0)
    explained = cost(both)
    assert 0.4 * only_inputs < explained < 1.2 * only_inputs
    assert rmse(both) - rmse(BEFORE) - explained > 0.3


def test_a_shift_to_easier_rows_costs_less_than_nothing() -> None:
    after = sample(1, mean=-1.0)
    assert cost(after) == pytest.approx(rmse(after) - rmse(BEFORE), rel=0.15)
    assert cost(after) < -0.3


def test_a_metric_that_is_better_when_higher_is_lost_too() -> None:
    after = sample(1, mean=1.0)
    shift = cost_of_shift(CASE, "r2", BEFORE, after, COLUMNS, 200)
    assert shift.cost > 0


def test_what_has_nothing_in_common_cannot_be_told() -> None:
    far = cost_of_shift(CASE, "rmse", BEFORE, sample(1, mean=9.0), COLUMNS, 200)
    assert far.cost is None
    assert far.overlap < 0.1
    gone = sample(1)
    gone.inputs["number"] = None
    assert cost(gone, ["number"]) is None


@pytest.mark.parametrize("values", [0, 1, 49])
def test_a_column_that_is_almost_always_null_is_no_error(values: int) -> None:
    before, after = sample(0), sample(1)
    for each in (before, after):
        each.inputs["rare"] = np.where(np.arange(ROWS) < values / 2, 1.0, np.nan)
    assert cost(after, [*COLUMNS, "rare"], before) == pytest.approx(0, abs=0.05)


def test_samples_worth_too_few_rows_tell_nothing() -> None:
    assert cost(sample(1, rows=150)) is None


def test_the_same_rows_always_give_the_same_cost() -> None:
    after = sample(1, mean=1.0)
    assert cost(after) == cost(after)


def test_probabilities_of_one_class_are_no_error() -> None:
    case = SimpleNamespace(task="binary", name="case")
    ones = Sample(BEFORE.inputs, np.ones(ROWS), np.full(ROWS, 0.9))
    assert cost_of_shift(case, "roc_auc", ones, ones, COLUMNS, 200).cost is None
    assert cost_of_shift(case, "log_loss", ones, ones, COLUMNS, 200).cost == pytest.approx(0)
