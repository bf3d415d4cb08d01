"""The prediction server's routes: who is answered what, and every error with its status and body."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from served import METER, NOON, Loaded, serve_features, version
from starlette.testclient import TestClient

from perennial.errors import PerennialError, ServiceUnavailable, VersionNotServed
from perennial.serving import application as application_module
from perennial.serving import features, openapi, tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.champions import Champions
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs
from perennial.serving.pinned_versions import PinnedVersions
from perennial.settings import settings

PREDICT = "/v1/use_cases/energy/predict"
TYPES = [("site", "BYTES"), ("meter", "BYTES"), ("hour_sin", "FP64"), ("hour_cos", "FP64")]
PATHS = [
    PREDICT,
    "/v1/use_cases/energy/features/meter_history",
    "/v2/models/energy",
    "/v2/models/energy/ready",
    "/v2/models/energy/infer",
    "/mlflow/energy/invocations",
    "/invocations",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    monkeypatch.setattr(openapi, "_example", lambda version: {"examples": [METER]})
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def token(folder: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.create('test')[0]}"}


def client(*versions: LoadedVersion) -> TestClient:
    return TestClient(application(Loaded(*versions), AccessControl()), raise_server_exceptions=False)


@pytest.fixture
def asked(token: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    serve_features(monkeypatch)
    made = client(version(7))
    made.headers.update(token)
    return made


def test_examples_are_predicted_in_order(asked: TestClient) -> None:
    examples = [{**METER, "meter": name, "read_at": "2024-01-05T12:00:00+00:00"} for name in ("a", "b")]
    answer = asked.post(PREDICT, json={"examples": examples})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["use_case"], body["model_version"]) == ("energy", 7)
    assert [each["key"]["meter"] for each in body["predictions"]] == ["a", "b"]
    assert [each["prediction"] for each in body["predictions"]] == [7.0, 7.0]
    assert set(body["predictions"][0]) == {"prediction_id", "prediction", "key"}


def test_features_are_returned_when_asked_for(asked: TestClient) -> None:
    (each,) = asked.post(PREDICT, json={"examples": [METER], "features": True}).json()["predictions"]
    assert each["features"] == {"hour_sin": 0.0, "hour_cos": 1.0, "meter_last": 1.5}
    assert each["event_timestamps"] == {"energy_meter_history": "2024-01-05T12:00:00Z"}


def test_the_stated_moment_is_passed_on(asked: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[datetime | None] = []
    read = features.read

    def noting(version: LoadedVersion, examples: Any, at: datetime | None) -> ModelInputs:
        moments.append(at)
        return read(version, examples, at)

    monkeypatch.setattr(features, "read", noting)
    for at in ("2024-01-05T13:00:00+01:00", None):
        assert asked.post(PREDICT, json={"examples": [METER], "at": at}).status_code == 200
    assert moments == [NOON, None]


@pytest.mark.parametrize(
    ("body", "status", "problems"),
    [
        ("{", 400, None),
        ("\xff", 400, None),
        ('{"examples": ' + "[" * 100_000, 400, None),
        ("[]", 422, {"request": "expected object, got array"}),
        ("{}", 422, {"request": "object missing required field examples"}),
        ('{"examples": 1}', 422, {"examples": "expected array, got int"}),
        ('{"examples": [], "model": 3}', 422, {"request": "object contains unknown field model"}),
        ('{"examples": [], "at": "noon"}', 422, {"at": "invalid RFC3339 encoded datetime"}),
        ('{"examples": []}', 422, {"examples": "expected 1 to 1000 examples, got 0"}),
        ('{"examples": [{"site": "s", "meter": null, "hour_sin": 0, "hour_cos": 1}]}', 422,
         {"examples[0].meter": "null is not allowed: it is part of a key"}),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_an_invalid_body_is_explained(asked: TestClient, body: str, status: int, problems: dict | None) -> None:
    answer = asked.post(PREDICT, content=body.encode("latin-1"))
    assert answer.status_code == status
    listed = {each["path"]: each["message"] for each in answer.json().get("problems", [])}
    assert listed == (problems or {})


def test_a_body_is_read_no_further_than_allowed(asked: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * (1 << 16)

    answer = asked.post(PREDICT, content=endless())
    assert (answer.status_code, answer.json()["error"]) == (413, "BodyTooLarge")


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json"])
def test_everything_but_health_needs_a_token(path: str, token: dict[str, str]) -> None:
    made = client(version())
    for answer in (made.get(path), made.post(PREDICT, json={"examples": [METER]})):
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json()["error"] == "AccessDenied"
    assert made.get(path, headers=token).status_code == 200
    assert made.get("/health").json() == {"status": "alive"}


def test_a_token_of_another_use_case_is_refused(asked: TestClient) -> None:
    other = {"Authorization": f"Bearer {tokens.create('other', ['flights'])[0]}"}
    assert asked.post(PREDICT, json={"examples": [METER]}, headers=other).status_code == 403
    assert asked.get("/openapi.json", headers=other).status_code == 403
    assert asked.get("/metrics", headers=other).status_code == 403
    assert asked.post("/v1/use_cases/flights/predict", json={"examples": []}, headers=other).status_code == 404


def test_ready_says_what_serves() -> None:
    ready = client(version(3)).get("/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "use_cases": {"energy": {"model_version": 3, "ledger_version": 3, "problem": None}},
    }
    nothing = TestClient(application(Champions([version().use_case]), AccessControl())).get("/ready")
    assert (nothing.status_code, nothing.json()["ready"]) == (503, False)


def test_a_use_case_without_a_champion_says_so(token: dict[str, str]) -> None:
    waiting = TestClient(application(Champions([version().use_case]), AccessControl()), headers=token)
    answer = waiting.post(PREDICT, json={"examples": [METER]})
    assert (answer.status_code, answer.json()["error"]) == (503, "UnknownVersion")
    assert waiting.get("/openapi.json").json()["paths"] == {}


def test_missing_features_are_answered_or_refused_by_policy(token: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_features(monkeypatch, missing="expired")
    answering = client(version()).post(PREDICT, json={"examples": [METER]}, headers=token)
    assert answering.json()["predictions"][0]["missing"] == {"meter_last": "expired"}
    refusing = client(version(on_missing="refuse")).post(PREDICT, json={"examples": [METER]}, headers=token)
    assert refusing.status_code == 503
    assert refusing.json()["problems"] == [{"path": "examples[0].meter_last", "message": "expired"}]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ServiceUnavailable("The online store does not answer."), 503, "ServiceUnavailable"),
        (PerennialError("Something else."), 500, "PerennialError"),
        (RuntimeError("secret detail"), 500, "InternalError"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_error_of_a_store_has_its_status(
    asked: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, kind: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(features, "read", fail)
    answer = asked.post(PREDICT, json={"examples": [METER]})
    assert (answer.status_code, answer.json()["error"]) == (status, kind)
    assert "secret detail" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_model_that_fails_on_a_null_names_the_field(token: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(frame: Any) -> Any:
        raise ValueError("Input contains NaN")

    serve_features(monkeypatch)
    failing = client(version(predict=predict))
    answer = failing.post(PREDICT, json={"examples": [{**METER, "hour_sin": None}]}, headers=token)
    assert answer.status_code == 422
    assert [each["path"] for each in answer.json()["problems"]] == ["examples[0].hour_sin"]
    answer = failing.post(PREDICT, json={"examples": [METER]}, headers=token)
    assert (answer.status_code, answer.json()["error"]) == (500, "PredictionFailed")


def test_another_version_answers_who_may_choose_it(
    asked: TestClient, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(PinnedVersions, "load", load_pinned)
    may = {"Authorization": f"Bearer {tokens.create('may', may_pin=True)[0]}"}
    body = {"examples": [METER], "model_version": 3}
    refused = asked.post(PREDICT, json=body)
    assert (refused.status_code, refused.json()["error"]) == (403, "AccessDenied")
    answer = asked.post(PREDICT, json=body, headers=may).json()
    assert (answer["model_version"], answer["predictions"][0]["prediction"]) == (3, 3.0)
    assert asked.post(PREDICT, json={"examples": [METER]}, headers=may).json()["model_version"] == 7
    assert asked.post(PREDICT, json={**body, "model_version": 7}).json()["model_version"] == 7
    gone = asked.post(PREDICT, json={**body, "model_version": 4}, headers=may)
    assert (gone.status_code, gone.json()["error"]) == (404, "VersionNotServed")
    tensors = {
        "inputs": [{"name": name, "shape": [1], "datatype": kind, "data": [METER[name]]} for name, kind in TYPES]
    }
    assert asked.post("/v2/models/energy/versions/3/infer", json=tensors, headers=may).json()["model_version"] == "3"
    assert asked.post("/v2/models/energy/versions/3/infer", json=tensors).status_code == 403


def load_pinned(self: PinnedVersions, use_case: Any, number: int) -> LoadedVersion:
    if number == 4:
        raise VersionNotServed("There is no v4.")
    return self._loaded.setdefault((use_case.name, number), version(number))


def test_a_token_that_asks_too_often_waits(asked: TestClient, folder: Path) -> None:
    seldom = {"Authorization": f"Bearer {tokens.create('seldom', rate=tokens.parse_rate('1/m'))[0]}"}
    for path, kind in ((PREDICT, "error"), ("/v2/models/energy/infer", "error"), ("/invocations", "error_code")):
        answer = asked.post(path, json={}, headers=seldom)
        if path != PREDICT:
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 50) == (429, True)
            assert kind in answer.json()
    assert asked.post(PREDICT, json={"examples": [METER]}).status_code == 200, "others do not wait"


def test_a_busy_server_says_so(asked: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_module, "MAX_WAITING", 0)
    answer = asked.post(PREDICT, json={"examples": [METER]})
    assert (answer.status_code, answer.json()["message"]) == (503, "The server is busy.")


def test_metrics_count_what_was_asked(asked: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked.post(PREDICT, json={"examples": [METER, METER]})
    serve_features(monkeypatch, missing="not-found")
    asked.post(PREDICT, json={"examples": [METER]})
    asked.post(PREDICT, json={"examples": []})
    asked.post("/v1/use_cases/nothing/predict", json={"examples": []})
    shown = asked.get("/metrics").text
    assert 'perennial_serving_requests_total{status="200",use_case="energy"} 2.0' in shown
    assert 'perennial_serving_requests_total{status="422",use_case="energy"} 1.0' in shown
    assert 'perennial_serving_predictions_total{use_case="energy"} 3.0' in shown
    assert 'perennial_serving_missing_features_total{reason="not-found",use_case="energy"} 1.0' in shown
    assert 'perennial_serving_model_version{use_case="energy"} 7.0' in shown
    assert "nothing" not in shown


def test_unknown_routes_and_methods_have_the_same_form(asked: TestClient) -> None:
    assert asked.get("/nothing").json() == {"error": "HTTPException", "message": "Not Found"}
    wrong = asked.get(PREDICT)
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")


def test_the_description_has_the_types_and_an_example_that_works(asked: TestClient) -> None:
    described = asked.get("/openapi.json").json()
    content = described["paths"][PREDICT]["post"]["requestBody"]["content"]["application/json"]
    example = content["schema"]["properties"]["examples"]["items"]
    assert example["required"] == ["site", "meter", "hour_sin", "hour_cos"]
    assert example["properties"]["site"] == {"type": "string"}
    assert asked.post(PREDICT, json=content["example"]).status_code == 200
    answer = described["paths"][PREDICT]["post"]["responses"]["200"]["content"]["application/json"]["schema"]["allOf"]
    assert answer[0] == {"$ref": "#/components/schemas/PredictionResponse"}
    assert answer[1]["properties"]["predictions"]["items"]["properties"] == {"prediction": {"type": "number"}}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_request_is_a_server_error(asked: TestClient, mode: schemathesis.GenerationMode, path: str) -> None:
    """schemathesis makes requests that the description allows, and others that it forbids."""
    raw = asked.get("/openapi.json").json()
    operations = [each.ok() for each in schemathesis.openapi.from_dict(raw).get_all_operations()]
    operation = next(each for each in operations if each.path == path)

    @hypothesis_settings(
        max_examples=30, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        kept = {key: case.as_transport_kwargs().get(key) for key in ("method", "json", "data")}
        headers = {"Content-Type": case.media_type} if case.media_type else {}
        answer = asked.request(kept["method"], path, json=kept["json"], content=kept["data"], headers=headers)
        assert answer.status_code < 500, answer.text
        assert mode is schemathesis.GenerationMode.POSITIVE or answer.status_code != 401

    send()


def test_every_protocol_is_described(asked: TestClient) -> None:
    assert set(asked.get("/openapi.json").json()["paths"]) == set(PATHS)
