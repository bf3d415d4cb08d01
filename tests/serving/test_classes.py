"""A multi-class version in every protocol and in the log: the most probable class's name, and all probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from logged import recorded
from served import METER, Loaded, serve_features, version
from starlette.testclient import TestClient

from perennial.served_predictions.writing import PredictionLog
from perennial.serving import openapi, tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application

CLASSES = ("low", "middle", "high")
MADE = {"low": 0.25, "middle": 0.125, "high": 0.625}


def predict(frame: pd.DataFrame) -> np.ndarray:
    if (frame["hour_sin"] > 1).any():
        raise ValueError("no such hour")
    return np.tile(list(MADE.values()), (len(frame), 1))


@pytest.fixture
def asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    serve_features(monkeypatch)
    loaded = version(7, predict=predict)
    use_case = loaded.use_case.model_copy(update={"task": "multiclass", "classes": CLASSES})
    served = Loaded(replace(loaded, use_case=use_case))
    log = PredictionLog(folder / "serving_log")
    made = TestClient(application(served, AccessControl(), log), raise_server_exceptions=False)
    made.headers["Authorization"] = f"Bearer {tokens.create('test')[0]}"
    return made


def post(asked: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = asked.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_answer_names_the_class_and_its_probability(asked: TestClient) -> None:
    (made,) = post(asked, "/v1/use_cases/energy/predict", {"examples": [METER]})["predictions"]
    assert made["prediction"] == "high"
    assert made["probabilities"] == MADE


def test_the_description_names_the_classes(asked: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "_example", lambda version: None)
    described = asked.get("/openapi.json").json()["paths"]["/v1/use_cases/energy/predict"]["post"]["responses"]["200"]
    _, narrowed = described["content"]["application/json"]["schema"]["allOf"]
    predicted = narrowed["properties"]["predictions"]["items"]["properties"]["prediction"]
    assert predicted == {"type": "string", "enum": list(CLASSES)}


def test_open_inference_has_an_output_for_each_class(asked: TestClient) -> None:
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in METER.items()
    ]
    outputs = post(asked, "/v2/models/energy/infer", {"inputs": inputs})["outputs"]
    by_name = {each["name"]: each for each in outputs}
    assert by_name["prediction"] == {"name": "prediction", "shape": [1], "datatype": "BYTES", "data": ["high"]}
    assert {name: by_name[f"probability_{name}"]["data"] for name in CLASSES} == {
        name: [value] for name, value in MADE.items()
    }
    described = asked.get("/v2/models/energy").json()["outputs"]
    assert [(each["name"], each["datatype"]) for each in described] == [
        (each["name"], each["datatype"]) for each in outputs
    ]
    wanted = {"inputs": inputs, "outputs": [{"name": "probability_low"}]}
    assert [each["name"] for each in post(asked, "/v2/models/energy/infer", wanted)["outputs"]] == ["probability_low"]


def test_mlflows_protocol_has_the_names_and_beside_them_the_probabilities(asked: TestClient) -> None:
    answer = post(asked, "/mlflow/energy/invocations", {"dataframe_records": [METER]})
    assert (answer["predictions"], answer["probabilities"]) == (["high"], [MADE])


def test_what_is_answered_is_recorded_by_class_and_so_is_a_failure(asked: TestClient, folder: Path) -> None:
    post(asked, "/v1/use_cases/energy/predict", {"examples": [METER]})
    failed = asked.post("/v1/use_cases/energy/predict", json={"examples": [{**METER, "hour_sin": 9}]})
    assert failed.status_code == 500
    one, other = recorded(folder)
    assert one["prediction"] == "high"
    assert {name: one[f"probability_{name}"] for name in CLASSES} == MADE
    assert (other["prediction"], other["error"], other["probability_low"]) == (None, "PredictionFailed", None)
