"""Several requests with one read and one prediction: the bits and the errors of each are those it has alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from served import METER, NOON, serve_features, version

from perennial.errors import InvalidExamples, MissingFeatures, PredictionFailed, ServiceUnavailable
from perennial.evaluation.recorded_intervals import RecordedMargin
from perennial.registry.model_loading import Predictor
from perennial.serving import features
from perennial.serving.answering import answer_together
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs
from perennial.serving.requests import PredictionRequest


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    serve_features(monkeypatch)


def joint(predict: Callable[[pd.DataFrame], np.ndarray] | None = None, **options: Any) -> LoadedVersion:
    return replace(version(predict=predict, **options), predicts_jointly=True, reads_jointly=True)


def request(**changes: Any) -> PredictionRequest:
    return PredictionRequest([{**METER, **changes}])


def test_requests_are_predicted_at_once_and_in_order() -> None:
    sizes: list[int] = []

    def predict(frame: pd.DataFrame) -> np.ndarray:
        sizes.append(len(frame))
        return frame["hour_sin"].to_numpy()

    several = PredictionRequest([{**METER, "hour_sin": 2.0}, {**METER, "hour_sin": 3.0}])
    answers = answer_together(joint(predict), [request(hour_sin=1.0), several, request(hour_sin=4.0)])
    assert [[each.prediction for each in answer.predictions] for answer in answers] == [[1.0], [2.0, 3.0], [4.0]]
    assert sizes == [4]


def test_bounds_are_those_of_the_models_quantiles_and_the_margin() -> None:
    predict = Predictor(
        check=lambda frame: frame,
        predicted=lambda frame: frame["hour_sin"].to_numpy(),
        between=lambda frame: np.outer(frame["hour_sin"], [0.5, 3.0]),
    )
    answers = answer_together(
        replace(joint(predict), margin=RecordedMargin(1.0, 0.9, 100, 1)),
        [request(hour_sin=each) for each in (2.0, 4.0)],
    )
    told = [(each.lower, each.prediction, each.upper) for answer in answers for each in answer.predictions]
    assert told == [(0.0, 2.0, 7.0), (1.0, 4.0, 13.0)]


def test_an_answer_has_the_margin_of_its_value() -> None:
    margin = RecordedMargin(1.0, 0.9, 100, 1, by="hour_sin", margins={"4.0": 2.5})
    bounded = replace(joint(lambda frame: np.zeros(len(frame))), margin=margin)
    answers = answer_together(bounded, [request(hour_sin=each) for each in (4.0, 3.0)])
    assert [answer.predictions[0].upper for answer in answers] == [2.5, 1.0]


def test_a_prediction_is_answered_where_its_quantiles_fail() -> None:
    def fail(frame: pd.DataFrame) -> np.ndarray:
        raise ValueError("no quantiles")

    predict = Predictor(lambda frame: frame, lambda frame: np.ones(len(frame)), fail)
    (answer,) = answer_together(replace(joint(predict), margin=RecordedMargin(1.0, 0.9, 100, 1)), [request()])
    assert (answer.predictions[0].prediction, answer.predictions[0].lower) == (1.0, None)


def test_an_invalid_request_fails_alone() -> None:
    answers = answer_together(joint(), [request(), request(hour_sin="high"), PredictionRequest([])])
    assert answers[0].model_version == 1
    assert [each.problems[0][0] for each in answers[1:]] == ["examples[0].hour_sin", "examples"]


def test_a_row_on_which_the_model_fails_fails_its_request_only() -> None:
    def predict(frame: pd.DataFrame) -> np.ndarray:
        if frame["hour_sin"].isna().any():
            raise ValueError("Input contains NaN")
        return frame["hour_sin"].to_numpy()

    answers = answer_together(joint(predict), [request(hour_sin=1.0), request(hour_sin=None), request(hour_sin=2.0)])
    assert [answers[0].predictions[0].prediction, answers[2].predictions[0].prediction] == [1.0, 2.0]
    assert isinstance(answers[1], InvalidExamples)
    assert answers[1].problems == (("examples[0].hour_sin", "null, with which the model fails"),)


def test_a_prediction_that_is_no_number_fails_alone() -> None:
    predict = lambda frame: np.where(frame["hour_sin"] > 1, np.inf, frame["hour_sin"])  # noqa: E731
    answers = answer_together(joint(predict), [request(hour_sin=2.0), request(hour_sin=1.0)])
    assert isinstance(answers[0], PredictionFailed)
    assert "examples[0]" in str(answers[0])
    assert answers[1].predictions[0].prediction == 1.0


def test_a_model_that_looks_at_all_rows_is_asked_one_by_one() -> None:
    predict = lambda frame: np.full(len(frame), float(len(frame)))  # noqa: E731
    one_by_one = replace(joint(predict), predicts_jointly=False)
    answers = answer_together(one_by_one, [request(), request(), PredictionRequest([METER, METER])])
    assert [[each.prediction for each in answer.predictions] for answer in answers] == [[1.0], [1.0], [2.0, 2.0]]


def test_missing_features_refuse_their_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    known = features.read

    def read(version: LoadedVersion, examples: Sequence[Mapping[str, Any]], at: datetime | None) -> ModelInputs:
        inputs = known(version, examples, at)
        unknown = [{"meter_last": "not-found"} if row["meter"] == "x" else {} for row in examples]
        return replace(inputs, missing=unknown)

    monkeypatch.setattr(features, "read", read)
    answers = answer_together(joint(on_missing="refuse"), [request(), request(meter="x")])
    assert answers[0].model_version == 1
    assert isinstance(answers[1], MissingFeatures)


def noted_reads(monkeypatch: pytest.MonkeyPatch, failing: str | None = None, error: Exception | None = None) -> list:
    """What is read, as meters and moment; a read of the failing meter raises."""
    reads: list[tuple[list[str], datetime | None]] = []
    known = features.read

    def read(version: LoadedVersion, examples: Sequence[Mapping[str, Any]], at: datetime | None) -> ModelInputs:
        reads.append(([row["meter"] for row in examples], at))
        if failing in reads[-1][0]:
            raise error or ValueError("the transformation fails")
        return known(version, examples, at)

    monkeypatch.setattr(features, "read", read)
    return reads


def test_ages_count_to_the_moment_of_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = noted_reads(monkeypatch)
    later = NOON + timedelta(hours=1)
    moments = [NOON, later, NOON, None]
    answer_together(joint(), [PredictionRequest([{**METER, "meter": str(n)}], at) for n, at in enumerate(moments)])
    assert reads == [(["0", "2"], NOON), (["1"], later), (["3"], None)]


def test_a_read_that_fails_is_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    noted_reads(monkeypatch, failing="bad")
    answers = answer_together(joint(), [request(), request(meter="bad"), request()])
    assert [type(each).__name__ for each in answers] == ["PredictionResponse", "ValueError", "PredictionResponse"]


def test_a_store_that_is_away_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = noted_reads(monkeypatch, failing="m", error=ServiceUnavailable("The online store does not answer."))
    answers = answer_together(joint(), [request(), request()])
    assert [type(each) for each in answers] == [ServiceUnavailable] * 2
    assert len(reads) == 1


def test_on_demand_views_see_the_rows_of_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = noted_reads(monkeypatch)
    answer_together(replace(joint(), reads_jointly=False), [request(meter="a"), request(meter="b")])
    assert sorted(meters for meters, _ in reads) == [["a"], ["b"]]


def test_a_null_of_another_request_changes_no_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """pandas holds integers beside a null as floats: the model would see other types than for the request alone."""

    def read(version: LoadedVersion, examples: Sequence[Mapping[str, Any]], at: datetime | None) -> ModelInputs:
        whole = pa.array([None if row["hour_sin"] is None else int(row["hour_sin"]) for row in examples], pa.int64())
        return ModelInputs(pa.table({"hour_sin": whole}), [{}] * len(examples), [{}] * len(examples))

    seen: list[tuple[str, int]] = []

    def predict(frame: pd.DataFrame) -> np.ndarray:
        seen.append((str(frame["hour_sin"].dtype), len(frame)))
        return np.zeros(len(frame))

    monkeypatch.setattr(features, "read", read)
    answer_together(joint(predict), [request(hour_sin=1), request(hour_sin=None), request(hour_sin=2)])
    assert sorted(seen) == [("float64", 1), ("int64", 2)]


def test_a_column_typed_by_its_values_is_typed_a_request() -> None:
    rows = pa.table({"a": pa.array([1.0, 2.0, None])})
    first, second = ModelInputs(rows, [{}] * 3, [{}] * 3, frozenset({"a"})).split([2, 1])
    assert (first.rows["a"].type, second.rows["a"].type) == (pa.float64(), pa.null())
    assert first.frame_types != second.frame_types
