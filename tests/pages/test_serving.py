"""The page of predictions on request, over Airflow's real application and a prediction server on a port of its own."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import airflow_world
import msgspec
import pyarrow as pa
import pytest
import uvicorn
from fastapi.testclient import TestClient
from machines import free_port
from served import METER, NOON, serve_features, version

from perennial.lake.schemas import SERVED_PREDICTION
from perennial.pages.prediction_server import RequestForm
from perennial.pages.serving import Attempt, example_of, fields_of
from perennial.served_predictions import table
from perennial.serving import openapi
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.champions import Champions, ServingState
from perennial.settings import settings
from perennial.use_case import UseCase

PAGE = "/perennial/use_cases/energy/serving"
TYPED = {f"example:{name}": str(value) for name, value in METER.items()}
FORM = RequestForm(
    {
        "meter": {"type": "string"},
        "hour": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "label": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "read_at": {"type": "string", "format": "date-time"},
    },
    frozenset(["meter", "hour", "label"]),
    {"examples": [{"meter": "m", "hour": 3, "label": None, "read_at": "2024-01-05T12:00:00Z"}], "at": "2024-01-05"},
)


class Everybody(AccessControl):
    """Lets everybody pass who shows some token, and notes the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def check(self, authorization: str, use_case: str | None) -> None:
        if not authorization:
            super().check(authorization, use_case)
        self.shown.append(authorization)


class Serving(Champions):
    """Version 7 of `energy`."""

    def __init__(self) -> None:
        super().__init__([version(7).use_case])
        self._served["energy"].loaded = version(7)
        self._served["energy"].ledger_version = 7


@pytest.fixture(scope="module")
def energy(project, energy: UseCase, http: TestClient) -> UseCase:
    airflow_world.register_dags()
    return energy


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where a prediction server is looked for."""
    number = free_port()
    monkeypatch.setenv("PERENNIAL_SERVING_PORT", str(number))
    settings.cache_clear()
    yield number
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def server(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Everybody]:
    serve_features(monkeypatch)
    example = {"examples": [METER | {"read_at": NOON}], "at": NOON}
    monkeypatch.setattr(openapi, "_example", lambda version: example)
    access = Everybody()
    running = uvicorn.Server(uvicorn.Config(application(Serving(), access), port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield access
    running.should_exit = True
    thread.join(10)


def text(response) -> str:
    return " ".join(unescape(response.text).split())


def test_without_a_server_the_page_says_how_to_start_one(energy, http, viewing, port: int) -> None:
    answer = http.get(PAGE, headers=viewing)
    assert answer.status_code == 200
    assert f"No prediction server answers at http://127.0.0.1:{port}" in text(answer)
    assert "perennial serve" in answer.text


def test_without_a_login_nothing_is_asked(energy, http, server: Everybody) -> None:
    http.cookies.clear()
    assert http.get(PAGE).status_code == 401
    assert not server.shown


def test_the_page_says_what_serves(energy, http, viewing, server: Everybody) -> None:
    answer = http.get(PAGE, headers=viewing)
    assert "/use_cases/energy/versions/7" in answer.text
    assert 'name="example:meter" value="m"' in answer.text
    assert 'name="example:read_at" value=""' in answer.text


def test_a_request_is_answered_in_the_persons_name(energy, http, viewing, server: Everybody) -> None:
    answer = http.post(PAGE, headers=viewing, data=TYPED)
    assert answer.status_code == 200
    assert "predicts <strong>7.0000</strong>" in answer.text
    assert "meter_last" in answer.text
    assert set(server.shown) == {viewing["Authorization"]}


def test_a_browsers_cookie_is_shown_as_a_token(energy, http, viewing, server: Everybody) -> None:
    secret = viewing["Authorization"].removeprefix("Bearer ")
    http.get(PAGE, headers={"Cookie": f"_token={secret}"})
    assert server.shown == [f"Bearer {secret}"]


def test_what_is_wrong_stands_beside_its_field(energy, http, viewing, server: Everybody) -> None:
    answer = http.post(PAGE, headers=viewing, data=TYPED | {"example:hour_sin": "north", ":at": "noon"})
    assert answer.status_code == 422
    answer = http.post(PAGE, headers=viewing, data=TYPED | {"example:hour_sin": "north"})
    assert answer.status_code == 422
    assert 'value="north"' in answer.text
    assert "expected float | null, got str" in text(answer)


def test_an_emptied_field_is_missing(energy, http, viewing, server: Everybody) -> None:
    answer = http.post(PAGE, headers=viewing, data=TYPED | {"example:meter": ""})
    assert answer.status_code == 422
    assert '<p class="bad">null is not allowed: it is part of a key</p>' in answer.text


def test_features_are_shown_with_a_readable_number_of_digits(energy, http, viewing, server: Everybody) -> None:
    answer = http.post(PAGE, headers=viewing, data=TYPED | {"example:hour_sin": "0.48648199999999998"})
    assert "<code>hour_sin</code></th><td>0.4865</td>" in answer.text


def test_the_page_says_what_is_tried_beside_it(energy, http, viewing, server: Everybody, monkeypatch) -> None:
    assert "Beside it" not in http.get(PAGE, headers=viewing).text
    state = ServingState(7, 7, None, challenger=9, stage="shadow")
    monkeypatch.setattr(Serving, "state", lambda self: {"energy": state})
    answer = text(http.get(PAGE, headers=viewing))
    assert re.search(r"Beside it: <a [^>]*/versions/9.>v9</a>, shadow<", answer)
    failing = msgspec.structs.replace(state, challenger_problem="UnsafeModel")
    monkeypatch.setattr(Serving, "state", lambda self: {"energy": failing})
    assert "UnsafeModel</span>: it could not be loaded" in text(http.get(PAGE, headers=viewing))


def test_another_site_cannot_send_the_form(energy, http, viewing, server: Everybody) -> None:
    secret = viewing["Authorization"].removeprefix("Bearer ")
    headers = {"Cookie": f"_token={secret}", "Sec-Fetch-Site": "cross-site"}
    assert http.post(PAGE, headers=headers, data=TYPED).status_code == 403
    assert not server.shown


@pytest.mark.parametrize(
    ("typed", "example"),
    [
        ({"meter": "7", "hour": "8"}, {"meter": "7", "hour": 8, "label": None}),
        ({"meter": "", "hour": "eight"}, {"meter": None, "hour": "eight", "label": None}),
        (
            {"meter": "m", "hour": " ", "read_at": "2024"},
            {"meter": "m", "hour": None, "label": None, "read_at": "2024"},
        ),
    ],
)
def test_what_was_typed_is_sent_in_the_fields_types(typed: dict[str, str], example: dict) -> None:
    assert example_of(FORM, {f"example:{name}": value for name, value in typed.items()}) == example


def test_the_form_is_filled_without_the_examples_key() -> None:
    assert [field.value for field in fields_of(FORM, Attempt())] == ["m", "3", "", ""]


def test_what_was_answered_is_counted_by_version(energy, http, viewing, port: int) -> None:
    now = datetime.now(UTC)
    row = {"prediction": 1.0, "served_as": "shadow", "model_version": 9, "model_run": "r", "latency_ms": 12.5}
    moments = (now, now - timedelta(hours=30))
    rows = [row | {"prediction_id": str(uuid4()), "answered_at": each, "event_timestamp": NOON} for each in moments]
    table.append(energy, pa.Table.from_pylist(rows, schema=SERVED_PREDICTION))
    answer = http.get(PAGE, headers=viewing)
    assert re.search(r"shadow</th><td>.*?>v9</a></td><td class=.number.>1</td>", answer.text)
    assert ">12.5</td>" in answer.text
    answer = http.get(f"{PAGE}?hours=168", headers=viewing)
    assert re.search(r"shadow</th><td>.*?>v9</a></td><td class=.number.>2</td>", answer.text)
