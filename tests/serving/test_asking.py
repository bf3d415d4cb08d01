"""What came of the requests that `perennial ask` sent."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from perennial.serving.asking import Answer, Asked, askable


@pytest.fixture
def asked() -> Asked:
    answers = [
        Answer(200, 0.1, 1, 0.5),
        Answer(200, 0.2, 2, 0.5, is_complete=False),
        Answer(503, 0.3, problem="503: The server is busy."),
        Answer(0, 0.4, problem="ReadTimeout"),
    ]
    return Asked(answers, np.array([1.0, np.nan, 0.0, 1.0]), 1.0, None, "http://127.0.0.1:8090")


def test_answers_are_counted_by_version(asked: Asked) -> None:
    assert asked.by_version == {1: 1, 2: 1}


def test_failures_are_counted_by_their_reason(asked: Asked) -> None:
    assert asked.failed == {"503: The server is busy.": 1, "ReadTimeout": 1}


def test_answers_without_a_feature_are_counted(asked: Asked) -> None:
    assert asked.incomplete == 1


def test_latency_counts_every_request(asked: Asked) -> None:
    assert asked.quantile(0.5) == pytest.approx(0.25)
    assert asked.quantile(1) == pytest.approx(0.4)


def test_examples_with_a_null_that_no_request_may_have_are_left_out() -> None:
    examples = pa.table({"tailnum": ["N1", None, "N3"], "hour": [1, 2, None]})
    assert askable(examples, {"tailnum": False, "hour": True})["tailnum"].to_pylist() == ["N1", "N3"]
