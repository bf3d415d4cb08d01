"""The Open Inference Protocol: a use case's fields as tensors, and errors as the protocol knows them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import METER, Loaded, serve_features, version
from starlette.testclient import TestClient

from perennial.errors import InvalidExamples
from perennial.serving import tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.champions import Champions
from perennial.serving.open_inference import InferenceRequest, Tensor, datatype_of, prediction_request
from perennial.serving.request_schema import RequestField, RequestSchema

pytestmark = pytest.mark.usefixtures("folder")

MODEL = "/v2/models/energy"
SCHEMA = RequestSchema("x", (RequestField("list", pa.list_(pa.float64()), required=True, nullable=True),))


def tensors(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": "BYTES" if isinstance(rows[0][name], str) else "FP64",
            "data": [row[name] for row in rows],
        }
        for name in rows[0]
    ]


@pytest.fixture
def asked(folder: object, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    serve_features(monkeypatch)
    made = TestClient(application(Loaded(version(7)), AccessControl()), raise_server_exceptions=False)
    made.headers["Authorization"] = f"Bearer {tokens.create('test')[0]}"
    return made


def test_tensors_are_predicted_as_examples_are(asked: TestClient) -> None:
    body = {"id": "42", "inputs": tensors(METER, {**METER, "hour_sin": None})}
    answer = asked.post(f"{MODEL}/infer", json=body)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert (content["model_name"], content["model_version"], content["id"]) == ("energy", "7", "42")
    outputs = {each["name"]: each for each in content["outputs"]}
    assert outputs["prediction"] == {"name": "prediction", "shape": [2], "datatype": "FP64", "data": [7.0, 7.0]}
    assert len(set(outputs["prediction_id"]["data"])) == 2
    assert outputs["missing"]["data"] == ["{}", "{}"]


def test_columns_of_width_one_and_a_chosen_output(asked: TestClient) -> None:
    inputs = [{**each, "shape": [1, 1], "data": [each["data"]]} for each in tensors(METER)]
    answer = asked.post(f"{MODEL}/infer", json={"inputs": inputs, "outputs": [{"name": "prediction"}]})
    assert [each["name"] for each in answer.json()["outputs"]] == ["prediction"]
    assert "id" not in answer.json()


def test_the_metadata_names_inputs_with_their_types(asked: TestClient) -> None:
    described = asked.get(MODEL).json()
    assert (described["name"], described["versions"]) == ("energy", ["7"])
    inputs = {each["name"]: (each["datatype"], each["shape"]) for each in described["inputs"]}
    assert inputs["site"] == ("BYTES", [-1])
    assert inputs["hour_sin"] == ("FP64", [-1])
    assert inputs["read_at"] == ("BYTES", [-1])
    assert described["inputs"][0]["parameters"] == {"required": True, "nullable": False}
    assert asked.get(f"{MODEL}/versions/7").json() == described


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, "expected 1 to 1000 examples, got 0"),
        ({"inputs": 3}, "inputs: expected array, got int"),
        ({"outputs": [{"name": "mood"}]}, "there is no output 'mood'"),
        ({"parameters": {"at": "noon"}}, "parameters.at: invalid RFC3339 encoded datetime"),
        ({"inputs": [*tensors(METER), *tensors(METER)]}, "inputs[4].name: 'site' is given twice"),
        ({"inputs": tensors({**METER, "carier": 1.0})}, "examples[0].carier: unknown field"),
        ({"inputs": [{"name": "site", "shape": [2], "datatype": "BYTES", "data": ["s"]}]}, "do not fill the shape"),
        ({"inputs": [{"name": "site", "shape": [1], "datatype": "INT8", "data": ["s"]}]}, "expected INT8 or null"),
        ({"inputs": [{"name": "site", "shape": [10**12, 0], "datatype": "INT8", "data": []}]}, "at most 1000 examples"),
        ({"inputs": [{"name": "site", "shape": [1], "datatype": "CHAR", "data": ["s"]}]}, "inputs[0].datatype"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_invalid_request_is_explained(asked: TestClient, change: dict[str, Any], message: str) -> None:
    answer = asked.post(f"{MODEL}/infer", json={"inputs": tensors(METER)} | change)
    assert answer.status_code == 422
    assert set(answer.json()) == {"error"}
    assert message in answer.json()["error"]


def test_errors_have_the_protocols_form(asked: TestClient) -> None:
    for answer, status in (
        (asked.post(f"{MODEL}/infer", content=b"{"), 400),
        (asked.post(f"{MODEL}/infer", headers={"Authorization": ""}), 401),
        (asked.get(MODEL, headers={"Authorization": "Bearer perennial_x"}), 401),
        (asked.post("/v2/models/nothing/infer", json={}), 404),
        (asked.get("/v2/models/nothing"), 404),
        (asked.get("/v2/models/nothing/ready"), 404),
        (asked.get(f"{MODEL}/versions/newest"), 404),
        (asked.get(f"{MODEL}/versions/6"), 404),
        (asked.get(f"{MODEL}/infer"), 405),
        (asked.post(f"{MODEL}/infer", headers={"Inference-Header-Content-Length": "9"}, json={}), 400),
    ):
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error"}


def test_another_version_needs_a_permission(asked: TestClient) -> None:
    body = {"inputs": tensors(METER)}
    assert asked.post(f"{MODEL}/versions/7/infer", json=body).json()["model_version"] == "7"
    other = asked.post(f"{MODEL}/versions/6/infer", json=body)
    assert (other.status_code, other.json()["error"][:37]) == (403, "You may not choose the version of 'en")
    assert asked.get(f"{MODEL}/versions/7/ready").json() == {"name": "energy", "ready": True}
    assert asked.get(f"{MODEL}/versions/6/ready").status_code == 503


def test_everybody_may_know_whether_it_lives_and_is_ready() -> None:
    serving = TestClient(application(Loaded(version()), AccessControl()))
    waiting = TestClient(application(Champions([version().use_case]), AccessControl()))
    assert serving.get("/v2").json()["name"] == "perennial"
    assert serving.get("/v2/health/live").json() == {"live": True}
    assert serving.get("/v2/health/ready").json() == {"ready": True}
    assert (waiting.get("/v2/health/live").status_code, waiting.get("/v2/health/ready").status_code) == (200, 503)
    assert waiting.get(f"{MODEL}/ready").status_code == 503


@given(st.lists(st.lists(st.floats(allow_nan=False) | st.none(), min_size=1, max_size=1) | st.just([1.0]), max_size=5))
def test_lists_keep_their_rows_also_of_one_element(rows: list[list[float | None]]) -> None:
    for data in (rows, [each for row in rows for each in row]):
        request = InferenceRequest([Tensor("list", [len(rows), 1], "FP64", data)])
        assert prediction_request(request, SCHEMA, None).examples == [{"list": row} for row in rows]


@pytest.mark.parametrize(
    ("kind", "datatype"),
    [
        (pa.int16(), "INT16"),
        (pa.float32(), "FP32"),
        (pa.bool_(), "BOOL"),
        (pa.date32(), "BYTES"),
        (pa.decimal128(9, 2), "BYTES"),
        (pa.list_(pa.int64()), "INT64"),
    ],
)
def test_a_column_has_the_datatype_of_its_elements(kind: pa.DataType, datatype: str) -> None:
    assert datatype_of(kind) == datatype


def test_more_examples_than_rows_of_data_are_refused() -> None:
    with pytest.raises(InvalidExamples, match="do not fill"):
        prediction_request(InferenceRequest([Tensor("list", [5, 2], "FP64", [1.0])]), SCHEMA, None)
