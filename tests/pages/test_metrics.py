"""The metrics of the pipelines as Prometheus scrapes them: who may, what is shown, and what Airflow's database adds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import airflow_world
import pytest
from sqlalchemy.exc import OperationalError

from perennial.alerts import incidents
from perennial.alerts.incidents import Incident, IncidentEvent, Subject
from perennial.pages import _compat, run_metrics
from perennial.serving import tokens

METRICS = "/perennial/metrics"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def prometheus(http) -> dict[str, str]:
    """The headers of a program that scrapes everything."""
    airflow_world.register_dags()
    return bearer(tokens.create("prometheus", only_metrics=True)[0])


def test_a_service_token_reads_the_metrics(http, prometheus) -> None:
    response = http.get(METRICS, headers=prometheus)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in ("energy", "flights"):
        assert f'perennial_use_case_problem{{use_case="{name}"}} 0.0' in response.text
        assert f'perennial_pipeline_missing{{pipeline="scoring",use_case="{name}"}} 0.0' in response.text


def test_a_token_of_one_use_case_reads_of_that_one(http, prometheus) -> None:
    secret, _ = tokens.create("one", ["energy"], only_metrics=True)
    text = http.get(METRICS, headers=bearer(secret)).text
    assert 'use_case="energy"' in text
    assert 'use_case="flights"' not in text


def test_others_read_nothing(http, prometheus) -> None:
    asking, _ = tokens.create("asking")
    over, _ = tokens.create("over", lifetime=timedelta(0), only_metrics=True)
    for headers, status in (
        ({}, 401),
        (bearer("no-token"), 403),
        (bearer(over), 401),
        (bearer(f"{tokens.PREFIX}guessed"), 401),
        (bearer(asking), 403),
        ({"Authorization": "Basic YWRhOmxvdmVsYWNl"}, 401),
    ):
        response = http.get(METRICS, headers=headers)
        assert response.status_code == status
        assert "energy" not in response.text


def test_a_token_for_metrics_opens_no_page(http, prometheus) -> None:
    for path in ("/perennial/", "/perennial/use_cases/energy", "/api/v2/dags"):
        assert http.get(path, headers=prometheus).status_code in (401, 403)


def test_a_person_may_look_too(http, viewing) -> None:
    assert 'perennial_use_case_info{cadence="daily"' in http.get(METRICS, headers=viewing).text


@pytest.fixture
def ran(http, access) -> Callable[..., None]:
    """Let a run of `energy.scoring` have begun at noon and ended so many seconds later."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import update

    def run(partition: str, state: str, queued: datetime, seconds: float | None = None) -> None:
        body = {"dag_run_id": partition, "logical_date": None, "partition_key": partition, "conf": {}}
        http.post("/api/v2/dags/energy.scoring/dagRuns", headers=access, json=body).raise_for_status()
        ended = None if seconds is None else NOON + timedelta(seconds=seconds)
        values = {"state": state, "queued_at": queued, "start_date": NOON, "end_date": ended}
        with airflow_world.session() as opened:
            opened.execute(update(DagRun).where(DagRun.run_id == partition).values(**values))

    return run


def test_runs_are_those_of_airflows_database(http, prometheus, ran: Callable[..., None]) -> None:
    ran("2024-01-01", "success", NOON, 30)
    ran("2024-01-02", "failed", NOON, 90)
    ran("2024-01-03", "running", NOON + timedelta(hours=1))
    text = http.get(METRICS, headers=prometheus).text
    of = '{pipeline="scoring",use_case="energy"}'
    assert f"perennial_run_duration_seconds{of} 90.0" in text
    assert f"perennial_failed_runs{of} 1.0" in text
    assert f"perennial_active_runs{of} 1.0" in text
    ended = (NOON + timedelta(seconds=30)).timestamp()
    assert float(text.split(f"perennial_run_success_timestamp_seconds{of} ")[1].split()[0]) == ended
    queued = (NOON + timedelta(hours=1)).timestamp()
    assert float(text.split(f"perennial_oldest_active_run_timestamp_seconds{of} ")[1].split()[0]) == queued


def test_open_incidents_by_reason_and_severity(http, prometheus) -> None:
    def opening(use_case: str, reason: str, subject: str) -> IncidentEvent:
        about = Subject(reason, subject)  # type: ignore[arg-type]
        told = {
            "title": "t",
            "meaning": "m",
            "action": "a",
            "link": "",
            "evidence": {},
            "owner": "",
            "by": "",
            "note": "",
        }
        identity = incidents.incident_id(use_case, about, 0)
        return IncidentEvent(identity, use_case, *about, "opened", 0, "warning", **told, recorded_at=NOON)

    ended = opening("energy", "overdue", "2024-01-03")
    over = Incident((ended,)).next("closed", NOON)
    recorded = [opening("energy", "overdue", "2024-01-01"), opening("energy", "overdue", "2024-01-02"), ended, over]
    incidents.record("energy", lambda known: [] if known else recorded, [])
    incidents.record("", lambda known: [] if known else [opening("", "disk", "/")], [])
    one, _ = tokens.create("incidents", ["energy"], only_metrics=True)
    installation = 'perennial_incidents_open{reason="disk",severity="warning",use_case=""} 1.0'
    for headers, is_everything in ((prometheus, True), (bearer(one), False)):
        text = http.get(METRICS, headers=headers).text
        assert 'perennial_incidents_open{reason="overdue",severity="warning",use_case="energy"} 2.0' in text
        assert (installation in text) == is_everything


def test_without_airflows_database_the_records_are_shown(http, prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> None:
        raise OperationalError("select", {}, Exception("no connection"))

    monkeypatch.setattr(run_metrics, "create_session", unreachable)
    text = http.get(METRICS, headers=prometheus).text
    assert "perennial_airflow_problem 1.0" in text
    assert 'perennial_champion_version{use_case="energy"} 0.0' in text
    assert "perennial_active_runs" not in text


def test_the_person_is_found_with_the_parameters_that_we_pass() -> None:
    assert list(inspect.signature(_compat.get_user).parameters) == ["request", "_oauth_token", "bearer_credentials"]
