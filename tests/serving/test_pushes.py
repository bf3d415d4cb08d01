"""Rows pushed over HTTP: who may, what is answered, and that nothing a caller sends is the server's error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pipelines import run_features_until
from served import Loaded, version
from starlette.testclient import TestClient

from perennial import lake
from perennial.serving import tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.use_case import UseCase

pytestmark = [pytest.mark.usefixtures("project"), pytest.mark.timeout(600)]
PATH = "/v1/use_cases/energy/features/meter_history"
ROW = {"site": "s", "meter": "pushed", "event_timestamp": "2024-01-02T05:30:00Z", "meter_last": 7.0}
ROW |= {"meter_mean_24h": None}
Post = Callable[..., Any]


@pytest.fixture(scope="module")
def post(energy: UseCase, project) -> Post:
    """Posts a body with a token that may push, or another one, after one day of features."""
    run_features_until(energy, "2024-01-01")
    client = TestClient(application(Loaded(version(7)), AccessControl()), raise_server_exceptions=False)
    secrets = {name: tokens.create(name, may_push=name == "pusher")[0] for name in ("pusher", "reader")}

    def send(body: Any, path: str = PATH, who: str = "pusher") -> Any:
        headers = {"Authorization": f"Bearer {secrets[who]}"} if who else {}
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return client.post(path, headers=headers, **content)

    return send


def test_pushed_rows_are_in_the_lake_and_online(post: Post) -> None:
    answer = post({"rows": [ROW]})
    assert answer.status_code == 200
    assert answer.json() == {"new": 1, "known": 0, "online": {"energy_meter_history": 1}}
    assert post({"rows": [ROW]}).json()["known"] == 1
    assert lake.read("energy.meter_history", where=lake.equals("meter", "pushed")).num_rows == 1


def test_who_may_only_ask_may_not_push(post: Post) -> None:
    answer = post({"rows": [ROW]}, who="reader")
    assert answer.status_code == 403
    assert "--may-push" in answer.json()["message"]
    assert post({"rows": [ROW]}, who="").status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"{", 400, "JSON"),
        ({"rows": 1}, 400, "rows"),
        ({"rows": [ROW | {"meter_last": "seven"}]}, 422, "rows[0].meter_last"),
        ({"rows": [7]}, 422, "rows[0]"),
        ({"rows": [ROW | {"event_timestamp": 7}]}, 422, "rows[0].event_timestamp"),
        ({"rows": [ROW | {"event_timestamp": "0001-01-01T00:00:00+23:59"}]}, 422, ""),
    ],
)
def test_what_is_wrong_is_the_callers_error(post: Post, body: Any, status: int, named: str) -> None:
    answer = post(body)
    assert answer.status_code == status, answer.text
    assert named in answer.text


def test_an_unknown_table_or_use_case_is_not_found(post: Post) -> None:
    assert post({"rows": []}, path=PATH.replace("meter_history", "readings")).status_code == 404
    assert post({"rows": []}, path=PATH.replace("energy", "flights")).status_code == 404
