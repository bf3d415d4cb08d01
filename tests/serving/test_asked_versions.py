"""What each version said to the requests of `perennial ask`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from perennial import discovery
from perennial.serving import asked_versions
from perennial.serving.asking import Answer

FLIGHTS = discovery.load("flights")
ANSWERS = [
    Answer(200, 0.1, 3, 0.9, prediction_id="a"),
    Answer(200, 0.2, 3, 0.2, prediction_id="b"),
    Answer(200, 0.3, 2, 0.8, prediction_id="c"),
    Answer(503, 0.4, problem="503: The server is busy."),
]
LABELS = np.array([1.0, 0.0, np.nan, 1.0])


def shadows(*rows: tuple[str, int, float | None, str | None]) -> pl.DataFrame:
    columns = {"shadow_of": pl.String, "model_version": pl.Int64, "prediction": pl.Float64, "error": pl.String}
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_who_answered_is_shown_by_version_with_its_own_latency() -> None:
    champion, canary = asked_versions.answered(FLIGHTS, ANSWERS, LABELS, challenger=2)
    assert (champion.version, champion.served_as, champion.requests, champion.metric) == (3, "champion", 2, 1.0)
    assert champion.quantile(0.5) == pytest.approx(0.15)
    assert (canary.version, canary.served_as, canary.requests, canary.metric) == (2, "canary", 1, None)


def test_labels_within_the_answered_intervals_are_counted() -> None:
    bounds = [(0.0, 1.0), (0.5, 2.0), (0.0, 2.0), None]
    answers = [replace(each, bounds=its) for each, its in zip(ANSWERS, bounds, strict=True)]
    champion, canary = asked_versions.answered(FLIGHTS, answers, LABELS, challenger=2)
    assert champion.interval_coverage == 0.5
    assert canary.interval_coverage is None, "its label is not known"


def test_what_was_said_in_shadow_is_held_against_the_same_labels() -> None:
    rows = shadows(("b", 2, 0.7, None), ("a", 2, 0.1, None), ("c", 2, None, "PredictionFailed"))
    (said,) = asked_versions.shadowed(FLIGHTS, rows, ANSWERS, LABELS, challenger=2)
    assert (said.version, said.served_as, said.requests, said.failed, said.metric) == (2, "shadow", 2, 1, 0.0)
    assert said.quantile(0.5) is None, "nobody waited"


def test_a_challenger_that_said_nothing_is_shown() -> None:
    (said,) = asked_versions.shadowed(FLIGHTS, shadows(), ANSWERS, LABELS, challenger=1)
    assert (said.version, said.requests, said.metric) == (1, 0, None)


def test_of_a_canary_that_answered_everything_nothing_is_missing() -> None:
    assert asked_versions.shadowed(FLIGHTS, shadows(), ANSWERS[2:], LABELS[2:], challenger=2) == []


CLASSES = FLIGHTS.model_copy(
    update={
        "task": "multiclass",
        "classes": ("low", "middle", "high"),
        "gate": FLIGHTS.gate.model_copy(update={"metric": "accuracy"}),
    }
)


def test_an_answer_without_a_class_gave_it_no_probability() -> None:
    said = [Answer(200, 0.1, 3, "low", prediction_id="a", probabilities={"low": 0.6, "middle": 0.4})]
    said.append(Answer(503, 0.4, problem="503: The server is busy."))
    predicted = asked_versions.predictions(CLASSES, said)
    assert predicted[0].tolist() == [0.6, 0.4, 0.0]
    assert np.isnan(predicted[1]).all()


def test_of_classes_the_probabilities_are_held_against_the_places_of_the_labels() -> None:
    said = [{"low": 0.5, "middle": 0.3, "high": 0.2}, {"low": 0.1, "middle": 0.2, "high": 0.7}]
    answers = [
        Answer(200, 0.1, 3, max(each, key=each.get), prediction_id=name, probabilities=each)
        for name, each in zip("ab", said, strict=True)
    ]
    answers.append(Answer(503, 0.4, problem="503: The server is busy."))
    labels = asked_versions.labels_of(CLASSES, pa.chunked_array([["low", "middle", None]]))
    assert labels.tolist()[:2] == [0, 1]
    (champion,) = asked_versions.answered(CLASSES, answers, labels, challenger=None)
    assert (champion.requests, champion.metric) == (2, 0.5)
    made = {"probability_low": [0.0, 0.2], "probability_middle": [1.0, 0.8], "probability_high": [0.0, 0.0]}
    rows = pl.DataFrame(
        {"shadow_of": ["a", "b"], "model_version": [2, 2], "prediction": ["middle"] * 2, "error": [None] * 2} | made
    )
    (shadow,) = asked_versions.shadowed(CLASSES, rows, answers, labels, challenger=2)
    assert (shadow.requests, shadow.metric) == (2, 0.5)
