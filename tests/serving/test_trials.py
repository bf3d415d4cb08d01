"""Requests that are answered while a challenger is tried: by whom, and what is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from logged import recorded
from served import METER, NOON, serve_features, version
from tried import Tried

from perennial.errors import ChangedArtifact, PerennialError, ServiceUnavailable
from perennial.served_predictions.writing import PredictionLog
from perennial.serving import features, trials
from perennial.serving.answers import PredictionResponse
from perennial.serving.challengers import Challengers
from perennial.serving.model_inputs import PlainInputs
from perennial.serving.recording import Recorder
from perennial.serving.requests import PredictionRequest
from perennial.serving.trials import Trials

METERS = [{**METER, "meter": f"meter-{number}"} for number in range(40)]
CHAMPION = version(1)


@pytest.fixture(autouse=True, params=["columns", "plain"])
def online(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features as columns, or as the plain values that a compiled version reads."""
    serve_features(monkeypatch)
    monkeypatch.setattr(trials, "_GATHERED", 0.0)
    if request.param == "plain":
        read = features.read

        def read_plain(*asked: Any) -> PlainInputs:
            seen = read(*asked)
            values = seen.values_of(seen.schema.names)
            return PlainInputs(seen.schema, values, seen.missing, seen.event_timestamps)

        monkeypatch.setattr(features, "read", read_plain)


@pytest.fixture
def serving(folder: Path) -> Callable[..., Trials]:
    """A server's trials, given its challengers."""

    def make(challengers: Challengers) -> Trials:
        return Trials(challengers, Recorder(PredictionLog(folder / "serving_log")))

    return make


def ask(made: Trials, *requests: list[dict[str, Any]], **more: Any) -> list[PredictionResponse | Exception]:
    return made.answer(CHAMPION, [PredictionRequest(examples, NOON, **more) for examples in requests])


def shadows(made: Trials) -> None:
    while (seconds := made.predict_waiting()) is not None:
        time.sleep(seconds)


def by_route(folder: Path) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in recorded(folder):
        rows.setdefault(row["served_as"], []).append(row)
    return rows


def fail(frame: pd.DataFrame) -> np.ndarray:
    raise ValueError("it was trained on something else")


def test_without_a_rollout_the_champion_answers_alone(serving, folder: Path) -> None:
    made = serving(Challengers())
    (answer,) = ask(made, METERS)
    assert {each.prediction for each in answer.predictions} == {1.0}
    assert made.predict_waiting() is None
    assert set(by_route(folder)) == {"champion"}


def test_in_shadow_the_champion_answers_and_both_are_recorded(serving, folder: Path) -> None:
    made = serving(Tried(version(2)))
    answers = ask(made, METERS[:2], METERS[2:3])
    assert [[each.prediction for each in answer.predictions] for answer in answers] == [[1.0, 1.0], [1.0]]
    assert {each.model_version for answer in answers for each in answer.predictions} == {None}
    assert set(by_route(folder)) == {"champion"}, "the shadow follows the answer"
    shadows(made)
    rows = by_route(folder)
    assert [row["shadow_of"] for row in rows["shadow"]] == [row["prediction_id"] for row in rows["champion"]]
    assert [row["meter"] for row in rows["shadow"]] == [row["meter"] for row in rows["champion"]]
    assert {(row["model_version"], row["prediction"], row["latency_ms"]) for row in rows["shadow"]} == {(2, 2.0, None)}
    assert {row["event_timestamp"] for row in rows["shadow"]} == {NOON}
    assert len({row["prediction_id"] for route in rows.values() for row in route}) == 6
    assert made.counts == {("energy", "shadow"): 3}


def test_a_canary_is_answered_by_the_challenger_for_its_entities(serving, folder: Path) -> None:
    challengers = Tried(version(2), share=0.5)
    made = serving(challengers)
    (answer,) = ask(made, METERS)
    chosen = [challengers.of("energy").is_canary(meter) for meter in METERS]
    assert 5 < sum(chosen) < 35
    assert [each.prediction for each in answer.predictions] == [2.0 if canary else 1.0 for canary in chosen]
    assert [each.model_version for each in answer.predictions] == [2 if canary else None for canary in chosen]
    assert answer.model_version == 1
    shadows(made)
    rows = by_route(folder)
    live = {row["prediction_id"]: row for row in rows["champion"] + rows["canary"]}
    assert set(live) == {each.prediction_id for each in answer.predictions}
    assert len(rows["shadow"]) == len(live), "each answer has its counterpart"
    for row in rows["shadow"]:
        assert row["meter"] == live[row["shadow_of"]]["meter"]
        assert {row["model_version"], live[row["shadow_of"]]["model_version"]} == {1, 2}


def test_an_entity_is_answered_by_one_version_also_in_other_requests(serving) -> None:
    made = serving(Tried(version(2), share=0.5))
    (together,) = ask(made, METERS)
    alone = ask(made, *([meter] for meter in METERS))
    assert [each.predictions[0].prediction for each in alone] == [each.prediction for each in together.predictions]


def test_a_canary_shows_the_features_if_asked(serving) -> None:
    (answer,) = ask(serving(Tried(version(2), share=1.0)), METERS[:1], features=True)
    assert answer.predictions[0].features == {"hour_sin": 0.0, "hour_cos": 1.0, "meter_last": 1.5}
    assert answer.predictions[0].model_version == 2


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_challenger_that_fails_fails_no_request(serving, folder: Path, share: float) -> None:
    made = serving(Tried(version(2, predict=fail), share=share))
    (answer,) = ask(made, METERS[:3])
    assert [(each.prediction, each.model_version) for each in answer.predictions] == [(1.0, None)] * 3
    shadows(made)
    rows = by_route(folder)
    failed = rows["canary" if share else "shadow"]
    assert {(row["error"], row["prediction"], row["model_version"]) for row in failed} == {
        ("PredictionFailed", None, 2)
    }
    assert [row["shadow_of"] for row in failed] == [row["prediction_id"] for row in rows["champion"]]
    assert made.counts == {("energy", "failed"): 3}


def test_a_challenger_that_panics_fails_no_request(serving) -> None:
    def panic(frame: pd.DataFrame) -> np.ndarray:
        raise SystemExit("like a panic of Rust")

    for share in (0.0, 1.0):
        made = serving(Tried(version(2, predict=panic), share=share))
        (answer,) = ask(made, METERS[:1])
        assert answer.predictions[0].prediction == 1.0
        shadows(made)


def test_an_invalid_request_is_refused_as_ever(serving, folder: Path) -> None:
    made = serving(Tried(version(2), share=1.0))
    wrong, right = ask(made, [{"colour": "blue"}], METERS[:1])
    assert isinstance(wrong, PerennialError)
    assert right.predictions[0].prediction == 2.0
    assert set(by_route(folder)) == {"canary", "shadow"}


def test_what_cannot_be_recorded_is_not_answered(serving, folder: Path) -> None:
    made = serving(Tried(version(2), share=0.5))
    folder.mkdir()
    (folder / "serving_log").write_text("in the way")
    assert [type(each) for each in ask(made, METERS, METERS[:1])] == [ServiceUnavailable] * 2
    assert made.predict_waiting() is None, "nor predicted in shadow"


def test_beyond_its_bound_what_waits_is_dropped(serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "MAX_SHADOWS", 50)
    made = serving(Tried(version(2)))
    ask(made, METERS, METERS, METERS[:10])
    assert made.counts == {("energy", "dropped"): 40}
    shadows(made)
    assert made.counts == {("energy", "dropped"): 40, ("energy", "shadow"): 50}
    ask(made, METERS)
    shadows(made)
    assert made.counts["energy", "shadow"] == 90, "there is room again"


def test_shadows_gather_and_are_predicted_together(serving, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def predict(frame: pd.DataFrame) -> np.ndarray:
        calls.append(len(frame))
        return frame["hour_sin"].to_numpy()

    challenger = replace(version(2, predict=predict), predicts_jointly=True)
    made = serving(Tried(challenger))
    monkeypatch.setattr(trials, "_GATHERED", 60.0)
    for number, meter in enumerate(METERS):
        made.answer(CHAMPION, [PredictionRequest([meter | {"hour_sin": number / 8}], NOON if number % 2 else None)])
    assert 0 < made.predict_waiting() <= 60, "not yet"
    monkeypatch.setattr(trials, "_GATHERED", 0.0)
    shadows(made)
    assert calls == [40]
    rows = by_route(folder)
    live = {row["prediction_id"]: row for row in rows["champion"]}
    assert len(rows["shadow"]) == 40
    for row in rows["shadow"]:
        assert (row["meter"], row["prediction"]) == (live[row["shadow_of"]]["meter"], row["hour_sin"])


def test_a_share_of_requests_is_predicted_in_shadow(serving) -> None:
    made = serving(Tried(version(2), shadow_share=0.3))
    ask(made, *([meter] for meter in METERS * 10))
    shadows(made)
    assert 60 < made.counts["energy", "shadow"] < 180


def test_what_waits_for_a_rollout_that_is_over_is_dropped(serving, folder: Path) -> None:
    challengers = Tried(version(2))
    made = serving(challengers)
    ask(made, METERS)
    challengers.end()
    shadows(made)
    assert set(by_route(folder)) == {"champion"}
    assert made.counts == {("energy", "dropped"): 40}


def test_a_challenger_of_another_champion_is_not_tried(serving, folder: Path) -> None:
    made = serving(Tried(version(3), share=1.0, champion=2))
    (answer,) = ask(made, METERS[:1])
    assert answer.predictions[0].prediction == 1.0
    assert made.predict_waiting() is None


def test_a_challenger_with_other_columns_reads_its_own(serving, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    seen: list[list[str]] = []

    def predict(frame: pd.DataFrame) -> np.ndarray:
        seen.append(list(frame.columns))
        return np.full(len(frame), 2.0)

    fewer = version(2, predict=predict)
    fewer.columns.remove("hour_cos")
    made = serving(Tried(fewer))
    monkeypatch.setattr(features, "read", features.read)
    ask(made, METERS[:1])
    shadows(made)
    assert seen == [["hour_sin", "meter_last"]]


def test_features_that_cannot_be_read_are_not_the_challengers_fault(serving, monkeypatch: pytest.MonkeyPatch) -> None:
    made = serving(Tried(version(2, definitions="newer"), share=1.0))

    def away(challenger: object, *_: object) -> None:
        raise ServiceUnavailable("The online store is away.")

    read = features.read
    monkeypatch.setattr(features, "read", lambda who, *rest: away(who) if who.number == 2 else read(who, *rest))
    (answer,) = ask(made, METERS[:1])
    assert answer.predictions[0].prediction == 1.0
    assert made.counts["energy", "failed"] == 0


def test_a_challenger_that_cannot_be_loaded_is_recorded_once_a_try(serving, folder: Path) -> None:
    made = serving(Tried(None, share=1.0, problem=ChangedArtifact("model.skops is another file.")))
    for _ in range(3):
        (answer,) = ask(made, METERS[:2])
        assert answer.predictions[0].prediction == 1.0
    (failed,) = by_route(folder)["shadow"]
    assert (failed["error"], failed["model_version"], failed["prediction"]) == ("ChangedArtifact", 2, None)
    away = serving(Tried(None, problem=ServiceUnavailable("MLflow is away.")))
    ask(away, METERS[:1])
    assert len(by_route(folder)["shadow"]) == 1, "that says nothing about the challenger"
