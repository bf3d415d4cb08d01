"""Metrics by blocks: scikit-learn's numbers, whichever blocks are drawn and however often."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import discovery
from perennial.evaluation import blocks, metrics
from perennial.use_case.metric_names import AT_OR_BELOW, METRICS, PINBALL

BINARY, REGRESSION = discovery.load("flights"), discovery.load("energy")
CLASSES = BINARY.model_copy(update={"task": "multiclass", "classes": ("a", "b", "c", "d")})
QUANTILE = REGRESSION.model_copy(update={"quantile": 0.9})
ALL = [
    *((use_case, name) for use_case in (BINARY, CLASSES, REGRESSION) for name in METRICS[use_case.task]),
    *((QUANTILE, name) for name in (PINBALL, AT_OR_BELOW)),
]


def rows(seed: int, count: int, blocks_: int, task: str, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    block = np.unique(random.integers(blocks_, size=count), return_inverse=True)[1]
    if task == "binary":
        label, prediction = random.integers(2, size=count), random.random(count)
    elif task == "multiclass":  # One of the classes is rare, and may be in none of the rows that are drawn.
        label, prediction = random.choice(4, size=count, p=[0.5, 0.3, 0.17, 0.03]), random.dirichlet(np.ones(4), count)
    else:
        label, prediction = random.normal(size=count), random.normal(size=count)
    if ties:
        prediction = prediction.round(1) if prediction.ndim == 1 else (prediction * 8).round() + 1
        prediction = prediction / prediction.sum(1, keepdims=True) if prediction.ndim == 2 else prediction
    return label, prediction, block


@pytest.mark.parametrize(("use_case", "name"), ALL)
@given(seed=st.integers(0, 10**6), count=st.integers(8, 80), blocks_=st.integers(2, 6), ties=st.booleans())
@settings(max_examples=examples(25), deadline=None)
def test_repeated_blocks_give_the_metric_of_their_rows(use_case, name, seed, count, blocks_, ties) -> None:
    label, prediction, block = rows(seed, count, blocks_, use_case.task, ties)
    weights = np.random.default_rng(seed).integers(0, 3, size=(3, int(block.max()) + 1))
    values = blocks.metric(name, label, prediction, block, quantile=use_case.quantile)(weights.astype(float))
    for weight, value in zip(weights, values, strict=True):
        drawn = np.repeat(np.arange(count), weight[block])
        if len(drawn) < 2 or len(np.unique(label[drawn])) < 2:
            continue
        assert value == pytest.approx(
            metrics.evaluate_one(use_case, name, label[drawn], prediction[drawn]), rel=1e-9, abs=1e-9
        )


@pytest.mark.parametrize("use_case", [BINARY, CLASSES, REGRESSION, QUANTILE])
def test_every_block_once_is_the_calibration_error(use_case) -> None:
    label, prediction, block = rows(3, 500, 9, use_case.task, ties=False)
    of_blocks = blocks.calibration_error(use_case.task, label, prediction, block, use_case.quantile)
    value = of_blocks(np.ones((1, 9)))[0]
    assert value == pytest.approx(metrics.calibration_error(use_case, label, prediction))


def test_blocks_tell_something_if_they_hold_the_most_frequent_class_or_another() -> None:
    block = np.array([0, 0, 1, 1, 2, 2, 3])
    assert blocks.count_informative("multiclass", np.array([5, 5, 5, 5, 5, 2, 0]), block) == 2
    assert blocks.count_informative("binary", np.array([1, 1, 1, 1, 1, 0, 0]), block) == 2
    assert blocks.count_informative("multiclass", np.full(7, 3), block) == 0
    assert blocks.count_informative("regression", np.full(7, 3.0), block) == 4


def test_constant_prediction_scores_half_with_one_class_blocks() -> None:
    label, block = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    statistic = blocks.metric("roc_auc", label, np.full(6, 0.3), block)
    assert statistic(np.array([[1.0, 1, 1], [1, 3, 0]])).tolist() == [0.5, 0.5]
    assert np.isnan(statistic(np.array([[2.0, 0, 0]]))), "one class only"


def test_average_precision_of_many_scores_is_near_the_exact_one() -> None:
    label, prediction, block = rows(5, 30_000, 20, "binary", ties=False)
    prediction = np.clip(prediction + 0.2 * label, 0, 1)
    value = blocks.metric("average_precision", label, prediction, block)(np.ones((1, 20)))[0]
    assert value == pytest.approx(metrics.evaluate_one(BINARY, "average_precision", label, prediction), abs=5e-4)


@given(
    st.lists(st.datetimes(min_value=pd.Timestamp("2000-01-01"), max_value=pd.Timestamp("2030-01-01")), min_size=1),
    st.sampled_from([timedelta(hours=1), timedelta(days=1), timedelta(days=7)]),
)
@settings(max_examples=examples(50), deadline=None)
def test_rows_of_one_span_share_a_block_and_blocks_follow_time(moments, length) -> None:
    times = pd.Series(pd.to_datetime(sorted(moments), utc=True))
    block = blocks.blocks_of(times, length)
    assert block[0] == 0
    assert set(np.diff(block)) <= {0, 1}
    spans = (times - pd.Timestamp(0, tz="UTC")) // length
    assert all(len(set(block[spans == span])) == 1 for span in spans.unique())


def test_many_blocks_are_joined_with_their_neighbours() -> None:
    times = pd.Series(pd.date_range("2013-01-01", periods=365, freq="D", tz="UTC"))
    block = blocks.blocks_of(times, timedelta(days=1))
    assert block.max() + 1 == blocks.MOST_BLOCKS
    assert np.ptp(np.bincount(block)) <= 1
