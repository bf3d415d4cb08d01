"""Metrics of a holdout with their intervals."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import discovery
from perennial.evaluation import metrics, quality
from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def flights() -> UseCase:
    return discovery.load("flights")


def holdout(days: int, seed: int, rows: int = 2_000) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    times = pd.Timestamp("2013-03-01", tz="UTC") + pd.to_timedelta(random.uniform(0, days, rows), unit="D")
    label = random.integers(2, size=rows)
    origin = random.choice(["JFK", "LGA"], rows)
    origin[0] = "EWR"
    prediction = np.clip(0.3 * label + random.uniform(0, 0.7, rows), 0, 1)
    return pd.DataFrame({"event_timestamp": times, "label": label, "origin": origin}), prediction


@given(days=st.integers(5, 30), seed=st.integers(0, 1_000))
@settings(max_examples=examples(15), deadline=None)
def test_value_is_the_metric_and_lies_inside_its_interval(flights: UseCase, days: int, seed: int) -> None:
    rows, prediction = holdout(days, seed)
    label = rows["label"].to_numpy()
    measured = quality.measure(flights, rows, prediction, np.full(len(rows), 0.5))
    assert {name: one.value for name, one in measured.metrics.items()} == metrics.evaluate(flights, label, prediction)
    assert all(one.low < one.value < one.high for one in measured.metrics.values())


def test_more_days_make_a_narrower_interval(flights: UseCase) -> None:
    def width(days: int, rows: int) -> float:
        auc = quality.measure(flights, *holdout(days, 1, rows), np.full(rows, 0.5)).metrics["roc_auc"]
        return auc.high - auc.low

    assert width(40, 20_000) < width(10, 5_000)


def test_too_few_days_give_no_interval(flights: UseCase) -> None:
    rows, prediction = holdout(3, 1)
    measured = quality.measure(flights, rows, prediction, np.full(len(rows), 0.5))
    assert measured.blocks < flights.gate.min_blocks
    assert measured.metrics["roc_auc"].low is None


def test_a_slice_of_one_row_is_counted_and_not_measured(flights: UseCase) -> None:
    rows, prediction = holdout(10, 1)
    slices = {one.value: one for one in quality.measure(flights, rows, prediction, np.full(len(rows), 0.5)).slices}
    assert (slices["EWR"].rows, slices["EWR"].metrics) == (1, {})
    assert slices["JFK"].metrics["roc_auc"].low is not None
    assert sum(one.rows for one in slices.values()) == len(rows)


def test_blocks_are_the_gates(flights: UseCase) -> None:
    rows, prediction = holdout(10, 1)
    weekly = flights.model_copy(update={"gate": flights.gate.model_copy(update={"block": timedelta(days=7)})})
    assert quality.measure(weekly, rows, prediction, np.full(len(rows), 0.5)).blocks <= 3
