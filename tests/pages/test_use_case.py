"""The page of a use case that went through its loop, as Airflow serves it: to whom, and with which numbers."""

from __future__ import annotations

import airflow_world
import pytest
from fastapi.testclient import TestClient
from pipelines import run_loop_until

from perennial import lake
from perennial.feature_store import repository
from perennial.registry import ledger
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
PAGE = "/perennial/use_cases/energy"
LAST = "2024-01-04"


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase, http: TestClient) -> UseCase:
    """Three days without a model, one that the first model scored; Airflow knows the DAGs."""
    airflow_world.register_dags()
    run_loop_until(energy, LAST)
    return energy


@pytest.fixture(scope="module")
def shown(energy, http: TestClient, viewing: dict[str, str]) -> str:
    response = http.get(PAGE, headers=viewing)
    assert response.status_code == 200, response.text
    return response.text


def value(table: str, **columns: object) -> dict:
    rows = lake.records(f"energy.{table}")
    return next(row for row in rows if all(row[name] == item for name, item in columns.items()))


def test_what_the_loop_recorded_is_on_the_page(energy, shown) -> None:
    metric = value("metrics", partition=LAST, role="champion", metric="rmse")["value"]
    assert shown.count(f"{metric:.4f}") >= 2, "on top and in the table"
    assert value("verdicts", partition=LAST)["explanation"] in shown
    (entry,) = ledger.entries(energy)
    assert entry.reason in shown
    for rule in entry.evidence["rules"]:
        assert rule["name"] in shown


def test_every_column_that_was_watched_is_in_the_map_of_drift(energy, shown) -> None:
    rows = [row for row in lake.records("energy.drift") if row["partition"] == LAST]
    assert rows
    for row in rows:
        assert f'<th scope="row">{row["column"]}</th>' in shown
        assert f"{row['column']}, {LAST}: " in shown
    assert shown.count(f'/partitions/{LAST}#drift"') == len(rows)
    assert {*repository.feature_names("energy")} <= {row["column"] for row in rows}


@pytest.mark.parametrize(
    ("user", "password", "may"), [("ada", "lovelace", True), ("uma", "rani", True), ("vera", "rubin", False)]
)
def test_who_may_act_is_offered_it(energy, http, user: str, password: str, may: bool) -> None:
    text = http.get(PAGE, headers=airflow_world.login(http, user, password)).text
    assert (f'href="{PAGE}/actions/retrain"' in text) is may
    assert ("need a permission in Airflow" in text) is not may


def test_an_open_approval_is_first_and_names_its_challenger(energy, http, access) -> None:
    (entry,) = ledger.entries(energy)
    started = http.post(
        "/api/v2/dags/energy.training/dagRuns", headers=access, json={"logical_date": None, "dag_run_id": "asking"}
    )
    assert started.status_code == 200, started.text
    airflow_world.leave("energy.training", "asking", "refit", entry.evidence | {"challenger": 7, "champion": 1})
    airflow_world.ask("energy.training", "asking")
    text = http.get(PAGE, headers=access).text
    assert text.index("Promote a new champion of energy?") < text.index("Production rmse")
    assert f'href="{PAGE}/actions/answer?run=asking"' in text
    assert "pending review" in text
    assert f'href="{PAGE}/versions/7"' in text
    assert "<script>no</script>" not in text


def test_a_use_case_in_which_nothing_ran_has_a_page(energy, http, viewing) -> None:
    response = http.get("/perennial/use_cases/flights", headers=viewing)
    assert response.status_code == 200
    assert "perennial replay flights --from 2013-01" in response.text


def test_a_partition_that_cannot_be_is_not_found(energy, http, viewing) -> None:
    for key in ("nonsense", "2030-01-01", "2024-1-1"):
        assert http.get(PAGE, headers=viewing, params={"until": key}).status_code == 404
    assert http.get(PAGE, headers=viewing, params={"until": "2024-01-02"}).status_code == 200


def test_nobody_reads_it_without_a_login(energy, http, viewing) -> None:
    assert http.get(PAGE).status_code == 401
    assert http.get("/perennial/use_cases/nothing", headers=viewing).status_code == 404


def test_the_page_reads_the_lake_once(energy, http, viewing, monkeypatch) -> None:
    from perennial import lake_cache

    reads = []
    original = lake_cache.records
    monkeypatch.setattr(lake_cache, "records", lambda *given: reads.append(given) or original(*given))
    assert http.get(PAGE, headers=viewing).status_code == 200
    assert len(reads) == 1
