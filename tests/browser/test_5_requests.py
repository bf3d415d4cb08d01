"""Whatever is sent to a route of ours, by whoever: never an error of the server, and nothing without a login.

schemathesis makes the requests from the routes' OpenAPI schema; the names in them are real ones in most.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from people import Machine

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

ROLES = ("admin", "otto", "uma", "vera", "anonymous")
_SCHEMA = (
    "import json, os; from perennial.embedded.environment import environment; os.environ.update(environment());"
    "from perennial.pages.app import app; print('\\n' + json.dumps(app.openapi()))"
)
#: What exists, by the name of the parameter.
REAL = {
    "use_case": ["energy"],
    "partition": ["2024-01-01", "2024-01-02", "2024-01-03"],
    "version": ["1", "2"],
    "action": ["retrain", "answer", "roll-back", "resume"],
    "until": ["2024-01-01"],
    "dag": ["energy.training"],
    "name": ["perennial.css"],
}
_ODD = st.sampled_from(["\x00", "\ufffd", "[" * 3000, "9" * 500, "NaN", "-1", "../..", "%00", "'", "energy "])
#: No reason is among the fields: a form that is right starts a run.
_FIELDS = st.dictionaries(st.sampled_from(["seed", "alpha", "to", "pause", "choice", "run", "as", "serving"]), _ODD)
_BODIES = st.one_of(st.binary(max_size=50), _FIELDS.map(lambda fields: str(httpx.QueryParams(fields)).encode()))
_KINDS = ["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", "text/plain", ""]


@pytest.fixture(scope="module")
def schema(machine: Machine) -> Any:
    raw = json.loads(machine.python(_SCHEMA).splitlines()[-1])
    loaded = schemathesis.openapi.from_dict(raw)
    loaded.config.update(base_url=f"{machine.airflow}/perennial")
    return loaded


def sign_in(machine: Machine, user: str) -> dict[str, str]:
    """The headers of a user; none of somebody who has not logged in."""
    if user == "anonymous":
        return {}
    login = {"username": user, "password": machine.passwords[user]}
    answer = httpx.post(f"{machine.airflow}/auth/token", json=login, timeout=60)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("user", ROLES)
def test_no_request_is_a_server_error(machine: Machine, schema: Any, user: str) -> None:
    headers = sign_in(machine, user)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 14

    with httpx.Client(base_url=machine.airflow, timeout=60) as http:
        for operation in operations:
            _try(http, operation, headers)


def _try(http: httpx.Client, operation: Any, headers: dict[str, str]) -> None:
    """Some requests of one route: the same in every run of the test."""

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(), st.data())
    def ask(case: Any, data: Any) -> None:
        for name in case.path_parameters:
            case.path_parameters[name] = data.draw(_value(name, case.path_parameters[name]))
        query = {name: data.draw(_value(name, value)) for name, value in (case.query or {}).items()}
        path = case.path.format(**{name: _quoted(value) for name, value in case.path_parameters.items()})
        sent = headers | {"Content-Type": data.draw(st.sampled_from(_KINDS))} if case.method == "POST" else headers
        body = data.draw(_BODIES) if case.method == "POST" else None
        query = {name: str(value) for name, value in query.items()}
        answer = http.request(case.method, f"/perennial{path}", params=query, headers=sent, content=body)
        asked = f"{case.method} {path[:200]} {str(query)[:200]} {str(body)[:200]}: {answer.status_code}"
        # 503: a page may need MLflow, which says so.
        assert answer.status_code < 500, f"{asked}\n{answer.text[:500]}"
        if not headers:
            assert answer.status_code in (401, 403) or "/login" in answer.headers.get("location", ""), asked
            assert "energy" not in answer.text

    ask()


def _value(name: str, made: Any) -> st.SearchStrategy[Any]:
    real = REAL.get(name, [])
    return st.sampled_from([*real, *real, *real, made, "odd"]).flatmap(
        lambda chosen: _ODD if chosen == "odd" else st.just(chosen)
    )


def _quoted(value: Any) -> str:
    from urllib.parse import quote

    return quote(str(value).encode("utf-8", "replace"), safe="")
