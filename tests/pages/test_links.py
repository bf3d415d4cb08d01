"""From Airflow to a page: of a DAG, a run, a task; and of what is not Perennial's."""

from __future__ import annotations

from urllib.parse import quote

import airflow_world
import pytest
from fastapi.testclient import TestClient

ENERGY = "/perennial/use_cases/energy"


@pytest.fixture(scope="module")
def runs(http: TestClient, access: dict[str, str]) -> dict[str, str]:
    """A run of each kind, by what it is about."""
    airflow_world.register_dags()
    made = {
        "partition": ("scoring", "2024-01-03"),
        "stranger": ("scoring", "2031-01-01"),
        "version": ("training", "2024-01-04"),
        "none-yet": ("training", "2024-01-05"),
        "rollback": ("champion", None),
    }
    for name, (pipeline, partition) in made.items():
        conf = {"reason": "r"} if pipeline == "champion" else {}
        body = {"dag_run_id": name, "logical_date": None, "partition_key": partition, "conf": conf}
        response = http.post(f"/api/v2/dags/energy.{pipeline}/dagRuns", headers=access, json=body)
        assert response.status_code == 200, response.text
    airflow_world.leave("energy.training", "version", "fit", 7)
    return {name: f"dag=energy.{pipeline}&run={quote(name)}" for name, (pipeline, _) in made.items()}


def target(http: TestClient, headers: dict[str, str], query: str) -> str:
    response = http.get(f"/perennial/of?{query}", headers=headers, follow_redirects=False)
    assert response.status_code == 303, response.text
    return response.headers["location"]


@pytest.mark.parametrize("pipeline", ["features", "scoring", "monitoring", "training", "champion"])
def test_a_dag_leads_to_its_use_case(http, access, pipeline: str) -> None:
    assert target(http, access, f"dag=energy.{pipeline}") == ENERGY


@pytest.mark.parametrize(
    ("of", "page"),
    [
        ("partition", "/partitions/2024-01-03"),
        ("stranger", ""),
        ("version", "/versions/7"),
        ("none-yet", "/partitions/2024-01-05"),
        ("rollback", ""),
    ],
)
@pytest.mark.parametrize("task", ["", "&task=fit"])
def test_a_run_links_to_its_version_partition_or_use_case(http, access, runs, of, page, task) -> None:
    assert target(http, access, runs[of] + task) == ENERGY + page


def test_a_run_that_is_gone_leads_to_the_use_case(http, access) -> None:
    assert target(http, access, "dag=energy.scoring&run=gone") == ENERGY


@pytest.mark.parametrize("dag", ["something", "energy", "energy.other", "other.features", "../features", ""])
def test_another_dag_is_reported_to_have_no_page(http, access, dag: str) -> None:
    response = http.get("/perennial/of", params={"dag": dag}, headers=access)
    assert response.status_code == 200
    assert "No page here" in response.text
    assert "/perennial/use_cases/energy" in response.text


def test_without_a_login_it_leads_nowhere(http, runs) -> None:
    http.cookies.clear()
    assert http.get(f"/perennial/of?{runs['version']}", follow_redirects=False).status_code == 401


def test_run_links_reveal_nothing_without_read_access(http, access, runs, monkeypatch) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", lambda **what: False)
    response = http.get(f"/perennial/of?{runs['version']}", headers=access, follow_redirects=False)
    assert response.status_code == 403
    assert "versions" not in response.text


def test_every_dag_names_its_page(http, access) -> None:
    airflow_world.register_dags()
    doc = http.get("/api/v2/dags/energy.training/details", headers=access).json()["doc_md"]
    assert "(plugin/perennial/perennial/use_cases/energy)" in doc
