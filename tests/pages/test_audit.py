"""The audit log of Airflow's API server: who changed something, from where, why, and what came of it."""

from __future__ import annotations

from typing import Any

import airflow_world
import pytest

from perennial.registry import audit_log
from perennial.registry.audit_log import Act

RUNS = "/api/v2/dags/energy.scoring/dagRuns"


@pytest.fixture
def acts(http) -> Any:
    """What was recorded during the test."""
    airflow_world.register_dags()
    before = len(audit_log.acts())

    def newest() -> list[Act]:
        return list(audit_log.acts())[before:]

    return newest


def test_a_call_by_rest_is_recorded_with_its_reason(http, access, acts) -> None:
    body = {"dag_run_id": "audited", "logical_date": None, "partition_key": "2024-01-01", "conf": {"reason": "a look"}}
    http.post(RUNS, headers=access, json=body).raise_for_status()
    (seen,) = acts()
    assert (seen.actor, seen.channel, seen.address) == ("ada", "rest", "testclient")
    assert (seen.act, seen.use_case, seen.reason) == (f"POST {RUNS}", "energy", "a look")
    assert (seen.outcome, seen.status) == ("done", 200)


def test_what_rights_refuse_is_recorded(http, viewing, acts) -> None:
    assert http.post(RUNS, headers=viewing, json={"logical_date": None}).status_code == 403
    assert http.post(RUNS, json={"logical_date": None}).status_code == 401
    assert [(each.actor, each.outcome, each.status) for each in acts()] == [
        ("vera", "refused", 403),
        ("", "refused", 401),
    ]


def test_an_act_on_a_page_is_one_act(http, access, acts) -> None:
    page = "/perennial/use_cases/energy/actions/retrain"
    headers = access | {"origin": "http://testserver"}
    answer = http.post(page, headers=headers, data={"reason": "it is stale"}, follow_redirects=False)
    (seen,) = acts()
    assert (seen.actor, seen.channel, seen.act, seen.use_case) == ("ada", "page", f"POST {page}", "energy")
    assert (seen.reason, seen.status) == ("it is stale", answer.status_code)


def test_a_login_is_recorded_without_its_password(http, acts) -> None:
    airflow_world.login(http, "ada", "lovelace")
    http.post("/auth/token", json={"username": "ada", "password": "wrong"})
    assert [(each.actor, each.outcome) for each in acts()] == [("ada", "done"), ("ada", "refused")]
    assert "lovelace" not in str(acts())


def test_who_only_looks_is_not_recorded(http, access, acts) -> None:
    assert http.get("/perennial/use_cases/energy", headers=access).status_code == 200
    assert http.post("/api/v2/dags/~/dagRuns/list", headers=access, json={}).status_code == 200
    assert acts() == []


def test_without_a_lake_the_answer_stays(http, access, acts, monkeypatch) -> None:
    def fail(_: Act) -> str:
        raise RuntimeError("no lake")

    with monkeypatch.context() as broken:
        broken.setattr(audit_log, "record", fail)
        answer = http.patch("/api/v2/dags/energy.scoring", headers=access, json={"is_paused": True})
    assert answer.status_code == 200
    assert acts() == []
