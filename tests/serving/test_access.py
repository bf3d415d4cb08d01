"""Who may ask the server: tokens of its own, and what Airflow says of a login's token."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import httpx
import pytest

from perennial.errors import ServiceUnavailable
from perennial.serving import access, tokens
from perennial.serving.access import AccessControl, AccessDenied

pytestmark = pytest.mark.usefixtures("folder")


def denied(control: AccessControl, authorization: str, use_case: str | None) -> int:
    with pytest.raises(AccessDenied) as error:
        control.check(authorization, use_case)
    return error.value.status


def with_airflow(answer: Callable[[httpx.Request], httpx.Response]) -> AccessControl:
    control = AccessControl()
    control._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(answer))
    return control


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "perennial_x"])
def test_without_a_token_nobody_passes(header: str) -> None:
    assert denied(AccessControl(), header, "energy") == 401


def test_a_service_token_passes_within_its_scope() -> None:
    control = AccessControl()
    one, _ = tokens.create("one", ["energy"])
    every, _ = tokens.create("every")
    control.check(f"Bearer {one}", "energy")
    control.check(f"bearer  {every}", "energy")
    control.check(f"Bearer {every}", None)
    assert denied(control, f"Bearer {one}", "flights") == 403
    assert denied(control, f"Bearer {one}", None) == 403
    assert denied(control, f"Bearer {tokens.PREFIX}guessed", "energy") == 401
    tokens.revoke("one")
    assert denied(control, f"Bearer {one}", "energy") == 401


def test_a_token_for_metrics_asks_nothing() -> None:
    control = AccessControl()
    secret, _ = tokens.create("prometheus", only_metrics=True)
    assert control.check(f"Bearer {secret}", None) == "token:prometheus"
    with pytest.raises(AccessDenied, match="reads /metrics only") as error:
        control.check(f"Bearer {secret}", "energy")
    assert error.value.status == 403


def test_a_token_with_a_rate_is_told_when_it_may_ask() -> None:
    control = AccessControl()
    secret, _ = tokens.create("one", rate=tokens.parse_rate("2/h"))
    for _ in range(2):
        control.check_rate(f"Bearer {secret}")
    with pytest.raises(AccessDenied, match="Token 'one' may ask 2/h only") as error:
        control.check_rate(f"Bearer {secret}")
    assert error.value.status == 429
    assert error.value.retry_after == pytest.approx(1800, abs=60)
    control.check_rate("Bearer jwt")
    control.check_rate("")


def test_only_a_token_that_may_chooses_the_version() -> None:
    control = AccessControl()
    pinning, _ = tokens.create("pinning", may_pin=True)
    plain, _ = tokens.create("plain")
    control.check_may_pin(f"Bearer {pinning}", "energy")
    for secret in (plain, f"{tokens.PREFIX}guessed"):
        with pytest.raises(AccessDenied, match="--may-pin"):
            control.check_may_pin(f"Bearer {secret}", "energy")


@pytest.mark.parametrize(("answer", "may"), [(422, True), (409, True), (200, True), (403, False), (404, False)])
def test_who_may_start_the_pipeline_chooses_the_version(answer: int, may: bool) -> None:
    asked = []

    def airflow(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, json.loads(request.content or b"{}").get("dag_id")))
        return httpx.Response(answer)

    control = with_airflow(airflow)
    for _ in range(2):
        if may:
            control.check_may_pin("Bearer jwt", "energy")
        else:
            with pytest.raises(AccessDenied, match="may not choose") as error:
                control.check_may_pin("Bearer jwt", "energy")
            assert error.value.status == 403
    assert asked == [("POST", "/api/v2/backfills/dry_run", "energy.scoring")]


def test_a_service_token_may_be_a_password() -> None:
    control = AccessControl()
    secret, _ = tokens.create("one", ["energy"])
    control.check(f"Basic {base64.b64encode(f'anybody:{secret}'.encode()).decode()}", "energy")
    for password in (secret[:-1], "jwt", ""):
        header = f"Basic {base64.b64encode(f'anybody:{password}'.encode()).decode()}"
        assert denied(control, header, "energy") == 401
    assert denied(control, "Basic \xff", "energy") == 401


@pytest.mark.parametrize(("answer", "status"), [(401, 401), (422, 401), (403, 403), (404, 403)])
def test_airflow_decides_on_its_own_tokens(answer: int, status: int) -> None:
    assert denied(with_airflow(lambda request: httpx.Response(answer)), "Bearer jwt", "energy") == status


def test_a_token_that_airflow_does_not_know_is_nobodys() -> None:
    control = with_airflow(lambda request: httpx.Response(403, json={"detail": "Invalid JWT token"}))
    assert denied(control, "Bearer jwt", "energy") == 401


def test_airflow_is_asked_about_the_use_cases_scoring_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, request.headers["authorization"]))
        return httpx.Response(200)

    control = with_airflow(answer)
    for _ in range(3):
        control.check("Bearer jwt", "energy")
    control.check("Bearer other", None)
    assert asked == [("/api/v2/dags/energy.scoring", "Bearer jwt"), ("/api/v2/dags", "Bearer other")]
    monkeypatch.setattr(access, "_REMEMBERED", -1.0)
    control = with_airflow(answer)
    control.check("Bearer jwt", "energy")
    control.check("Bearer jwt", "energy")
    assert len(asked) == 4


@pytest.mark.parametrize("status", [500, 302])
def test_an_airflow_that_is_ill_lets_nobody_in(status: int) -> None:
    with pytest.raises(ServiceUnavailable, match=f"answered {status}"):
        with_airflow(lambda request: httpx.Response(status)).check("Bearer jwt", "energy")


def test_an_airflow_out_of_reach_is_named() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ServiceUnavailable, match="Airflow does not answer about the token"):
        with_airflow(fail).check("Bearer jwt", "energy")


def test_a_name_that_is_no_path_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(404)

    assert denied(with_airflow(answer), "Bearer jwt", "../../x?y") == 403
    assert asked == [b"/api/v2/dags/..%2F..%2Fx%3Fy.scoring"]
