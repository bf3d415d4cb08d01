"""MLflow's scoring protocol, asked by MLflow's own client and by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from live_server import listening
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from served import METER, Loaded, serve_features, version
from starlette.testclient import TestClient

from perennial.serving import tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.champions import Champions

pytestmark = pytest.mark.usefixtures("folder")

TWO = [METER, {**METER, "meter": "n"}]


@pytest.fixture
def secret(folder: object) -> str:
    return tokens.create("test")[0]


@pytest.fixture
def asked(secret: str, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    serve_features(monkeypatch)
    made = TestClient(application(Loaded(version(7)), AccessControl()), raise_server_exceptions=False)
    made.headers["Authorization"] = f"Bearer {secret}"
    return made


def test_mlflows_client_is_answered(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[pd.DataFrame] = []

    def predict(frame: pd.DataFrame) -> Any:
        seen.append(frame)
        return frame["hour_cos"].to_numpy()

    serve_features(monkeypatch)
    with listening(application(Loaded(version(7, predict=predict)), AccessControl())) as port:
        # The client knows no tokens, but passes a user and a password on.
        client = ScoringServerClient(f"perennial:{secret}@127.0.0.1", port)
        client.wait_server_ready(timeout=10)
        assert client.get_version().startswith("3.")
        frame = pd.DataFrame(TWO).assign(hour_sin=[0.5, math.nan], hour_cos=[1.0, 2.0])
        answer = client.invoke(frame, params={"at": "2024-01-05T12:00:00Z"})
    assert answer.get_predictions()[0].tolist() == [1.0, 2.0]
    assert seen[0]["hour_sin"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": TWO},
        {"dataframe_split": {"columns": list(METER), "index": [3, 9], "data": [list(each.values()) for each in TWO]}},
        {"instances": TWO},
        {"inputs": TWO},
        {"inputs": {name: [each[name] for each in TWO] for name in METER}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_every_form_of_json_is_read(asked: TestClient, body: dict[str, Any]) -> None:
    for path in ("/invocations", "/mlflow/energy/invocations"):
        answer = asked.post(path, json=body)
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert (content["predictions"], content["model_version"]) == ([7.0, 7.0], "7")
        assert (len(set(content["prediction_ids"])), content["missing"]) == (2, [{}, {}])


def test_inputs_of_single_values_are_one_example(asked: TestClient) -> None:
    assert asked.post("/invocations", json={"inputs": METER}).json()["predictions"] == [7.0]


def test_csv_is_read_by_the_fields_types(asked: TestClient) -> None:
    table = pd.DataFrame(TWO).assign(hour_sin=[None, 0.25]).to_csv(index=False)
    answer = asked.post("/invocations", content=table, headers={"Content-Type": "text/csv; charset=utf-8"})
    assert answer.json()["predictions"] == [7.0, 7.0]


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        ("{", "application/json", 400, "The body is no JSON"),
        ('{"inputs": [{"hour_sin": Infinity}]}', "application/json", 400, "Infinity is no finite number"),
        ("[" * 100_000, "application/json", 400, "The body is no JSON"),
        ("[]", "application/json", 422, "expected an object"),
        ("{}", "application/json", 422, "got none"),
        ('{"inputs": [], "instances": []}', "application/json", 422, "got instances, inputs"),
        ('{"inputs": [], "examples": []}', "application/json", 422, "examples: unknown field"),
        ('{"inputs": []}', "application/json", 422, "expected 1 to 1000 examples"),
        ('{"inputs": {}}', "application/json", 422, "examples[0].site: missing"),
        ('{"inputs": {"site": ["a"], "meter": "b"}}', "application/json", 422, "inputs.meter: expected an array of 1"),
        ('{"instances": [[1, 2]]}', "application/json", 422, "expected an object with the fields"),
        ('{"instances": 5}', "application/json", 422, "expected an array of objects"),
        ('{"dataframe_split": []}', "application/json", 422, "the arrays columns and data"),
        ('{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "application/json", 422, "different names"),
        ('{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "application/json", 422, "data[0]: expected 1"),
        ('{"inputs": [], "params": {"at": "noon"}}', "application/json", 422, "params.at: invalid RFC3339"),
        ('{"inputs": [], "params": {"mood": 1}}', "application/json", 422, "nothing but `at`"),
        ("", "text/csv", 422, "expected 1 to 1000 examples"),
        ('a,"b', "text/csv", 422, "unexpected end of data"),
        ("site,meter\ns\n", "text/csv", 422, "csv.data[0]: expected 2 values"),
        ("\xff", "text/csv", 422, "can't decode"),
        ("x", "application/vnd.apache.parquet", 415, "Send application/json or text/csv"),
        ("{}", "application/json; charset=latin-1", 415, "Send UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_explained(asked: TestClient, body: str, kind: str, status: int, message: str) -> None:
    answer = asked.post("/invocations", content=body.encode("latin-1"), headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error_code", "message"}
    assert message in answer.json()["message"]


def test_errors_have_mlflows_names(asked: TestClient) -> None:
    for answer, status, code in (
        (asked.post("/invocations", headers={"Authorization": ""}), 401, "UNAUTHENTICATED"),
        (asked.post("/mlflow/nothing/invocations"), 404, "RESOURCE_DOES_NOT_EXIST"),
        (asked.get("/invocations"), 405, "BAD_REQUEST"),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_several_use_cases_have_a_path_each(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_features(monkeypatch)
    one = version(3)
    other = replace(one, use_case=one.use_case.model_copy(update={"name": "other"}))
    asked = TestClient(
        application(Loaded(version(7), other), AccessControl()), headers={"Authorization": f"Bearer {secret}"}
    )
    refused = asked.post("/invocations", json={"inputs": [METER]})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "BAD_REQUEST")
    assert "energy, other: POST /mlflow/NAME/invocations" in refused.json()["message"]
    assert asked.post("/mlflow/other/invocations", json={"inputs": [METER]}).json()["predictions"] == [3.0]


def test_ping_says_whether_it_is_ready(asked: TestClient) -> None:
    assert asked.get("/ping").status_code == 200
    assert TestClient(application(Champions([version().use_case]), AccessControl())).get("/ping").status_code == 503
