"""What a prediction server records: all of each answer, before it is given, or nobody is answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from logged import recorded
from served import METER, NOON, Loaded, serve_features, version
from starlette.testclient import TestClient

from perennial.errors import ServiceUnavailable
from perennial.evaluation.recorded_intervals import RecordedMargin
from perennial.served_predictions.writing import PredictionLog
from perennial.serving import features, tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.loaded_version import LoadedVersion

PREDICT = "/v1/use_cases/energy/predict"
READ_AT = "2024-01-05T12:00:00Z"


@pytest.fixture
def asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client of a server whose version 7 predicts 7."""
    serve_features(monkeypatch)
    return client(folder, version(7))


def client(folder: Path, loaded: LoadedVersion) -> TestClient:
    made = TestClient(
        application(Loaded(loaded), AccessControl(), PredictionLog(folder / "serving_log")),
        raise_server_exceptions=False,
    )
    made.headers["Authorization"] = f"Bearer {tokens.create('checkout')[0]}"
    return made


def test_all_of_an_answer_is_recorded(asked: TestClient, folder: Path) -> None:
    before = datetime.now(UTC)
    examples = [{**METER, "meter": "a", "read_at": READ_AT}, {**METER, "meter": "b"}]
    answer = asked.post(PREDICT, json={"examples": examples, "at": "2024-01-05T13:00:00+01:00"}).json()
    one, other = recorded(folder)
    assert [each["prediction_id"] for each in (one, other)] == [each["prediction_id"] for each in answer["predictions"]]
    assert before <= one.pop("answered_at") <= datetime.now(UTC)
    assert 0 < one.pop("latency_ms") < 60_000
    one.pop("prediction_id")
    assert one == {
        "site": "s",
        "meter": "a",
        "read_at": NOON,
        "hour_sin": 0.0,
        "hour_cos": 1.0,
        "meter_last": 1.5,
        "energy_meter_history__event_timestamp": NOON,
        "event_timestamp": NOON,
        "prediction": 7.0,
        "error": None,
        "model_version": 7,
        "model_run": "run",
        "served_as": "champion",
        "shadow_of": None,
        "missing": None,
        "caller": "token:checkout",
        "prediction_lower": None,
        "prediction_upper": None,
    }
    assert (other["meter"], other["read_at"]) == ("b", None)


def test_the_interval_that_was_answered_is_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_features(monkeypatch)
    asked = client(folder, replace(version(7), margin=RecordedMargin(2.0, 0.9, 100, 7)))
    (answered,) = asked.post(PREDICT, json={"examples": [METER]}).json()["predictions"]
    assert (answered["lower"], answered["prediction"], answered["upper"]) == (5.0, 7.0, 9.0)
    (row,) = recorded(folder)
    assert (row["prediction_lower"], row["prediction_upper"]) == (5.0, 9.0)


def test_without_a_moment_it_is_that_of_the_answer(asked: TestClient, folder: Path) -> None:
    asked.post(PREDICT, json={"examples": [METER]})
    (row,) = recorded(folder)
    assert row["event_timestamp"] == row["answered_at"]


def test_missing_features_are_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_features(monkeypatch, missing="expired")
    client(folder, version()).post(PREDICT, json={"examples": [METER]})
    (row,) = recorded(folder)
    assert (row["missing"], row["meter_last"]) == ('{"meter_last": "expired"}', None)


def test_other_protocols_are_recorded_too(asked: TestClient, folder: Path) -> None:
    assert asked.post("/invocations", json={"dataframe_records": [METER]}).status_code == 200
    assert [each["caller"] for each in recorded(folder)] == ["token:checkout"]


def test_an_invalid_request_is_not_recorded(asked: TestClient, folder: Path) -> None:
    assert asked.post(PREDICT, json={"examples": [{"meter": 3}]}).status_code == 422
    assert recorded(folder) == []


def test_a_failure_is_recorded_by_its_kind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ServiceUnavailable("The online store does not answer.")

    monkeypatch.setattr(features, "read", fail)
    assert client(folder, version()).post(PREDICT, json={"examples": [METER]}).status_code == 503
    (row,) = recorded(folder)
    assert (row["error"], row["prediction"], row["meter"]) == ("ServiceUnavailable", None, "m")


def test_a_model_that_fails_is_recorded_with_its_inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(frame: Any) -> Any:
        raise ValueError("no")

    serve_features(monkeypatch)
    assert client(folder, version(predict=predict)).post(PREDICT, json={"examples": [METER]}).status_code == 500
    (row,) = recorded(folder)
    assert (row["error"], row["prediction"], row["meter_last"]) == ("PredictionFailed", None, 1.5)


def test_nobody_is_answered_what_is_not_recorded(asked: TestClient, folder: Path) -> None:
    (folder / "serving_log").write_text("a file where the folder should be")
    answer = asked.post(PREDICT, json={"examples": [METER]})
    assert (answer.status_code, answer.json()["error"]) == (503, "ServiceUnavailable")
    assert "log of predictions" in answer.json()["message"]
    (folder / "serving_log").unlink()
    assert asked.post(PREDICT, json={"examples": [METER]}).status_code == 200
    assert len(recorded(folder)) == 1


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_moment_outside_of_the_calendar_is_explained(asked: TestClient, folder: Path, at: str) -> None:
    answer = asked.post(PREDICT, json={"examples": [METER], "at": at})
    assert (answer.status_code, answer.json()["problems"][0]["path"]) == (422, "at")
    assert recorded(folder) == []


def test_what_waits_is_shown(asked: TestClient, folder: Path) -> None:
    assert "perennial_serving_log_waiting_records 0.0" in asked.get("/metrics").text
    asked.post(PREDICT, json={"examples": [METER, METER]})
    shown = asked.get("/metrics").text
    assert "perennial_serving_log_waiting_records 2.0" in shown
    assert "perennial_serving_log_oldest_seconds 0.0\n" not in shown
    assert "perennial_serving_log_set_aside 0.0" in shown
