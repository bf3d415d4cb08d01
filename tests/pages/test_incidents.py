"""Incidents on the pages: who may acknowledge them, in whose name, and what is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import airflow_world
import pytest
from fastapi.testclient import TestClient
from use_case_world import EVIL, World, doing

from perennial.alerts import incidents
from perennial.alerts.incidents import Incident, IncidentEvent, Subject
from perennial.pages import fleet, layout, use_case
from perennial.use_case import UseCase

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACE = "/perennial/use_cases/energy"


def incident(subject: str = "features 2024-01-03", title: str = "features failed") -> Incident:
    about = Subject("run-failed", subject)
    told = ("critical", title, "Nothing is predicted.", "Clear it.", "http://airflow", {}, "ann", "", "")
    event = IncidentEvent(incidents.incident_id("energy", about, 0), "energy", *about, "opened", 0, *told, NOW)  # type: ignore[arg-type]
    return Incident((event,))


@pytest.fixture(scope="module")
def opened(project, http: TestClient) -> str:  # type: ignore[no-untyped-def]
    """The id of an open incident."""
    airflow_world.register_dags()
    incidents.record("energy", lambda known: [] if known else [*incident().events], [])
    return incident().id


def test_a_viewer_reads_and_does_not_acknowledge(opened: str, http: TestClient, viewing: dict[str, str]) -> None:
    listed = http.get(f"{PLACE}/incidents", headers=viewing).json()["incidents"]
    assert [(each["incident"], each["state"]) for each in listed] == [(opened, "open")]
    shown = http.get(PLACE, headers=viewing).text
    assert "features failed" in shown
    assert "/acknowledge" not in shown
    response = http.post(f"{PLACE}/incidents/{opened}/acknowledge", headers=viewing, data={"note": "mine"})
    assert response.status_code == 403
    assert "permission to start runs of the DAG energy.features" in response.text


def test_without_a_login_nothing_is_told(opened: str, http: TestClient) -> None:
    http.cookies.clear()
    assert http.get(f"{PLACE}/incidents").status_code == 401
    assert http.post(f"{PLACE}/incidents/{opened}/acknowledge", data={"note": "x"}).status_code == 401


def test_another_site_acknowledges_nothing(opened: str, http: TestClient, access: dict[str, str]) -> None:
    cookie = {"cookie": f"_token={access['Authorization'].removeprefix('Bearer ')}", "sec-fetch-site": "cross-site"}
    assert http.post(f"{PLACE}/incidents/{opened}/acknowledge", headers=cookie, data={"note": "x"}).status_code == 403
    assert incidents.open_incidents("energy")[0].acknowledged is None


def test_it_is_acknowledged_in_the_persons_name(opened: str, http: TestClient, access: dict[str, str]) -> None:
    assert f"{PLACE}/incidents/{opened}/acknowledge" in http.get(PLACE, headers=access).text
    assert "look at an incident" in http.get("/perennial/", headers=access).text
    send = f"{PLACE}/incidents/{opened}/acknowledge"
    for note, status in ((" ", 422), ("x" * 501, 422), ("I call the provider", 303)):
        response = http.post(send, headers=access, data={"note": note}, follow_redirects=False)
        assert response.status_code == status
    assert response.headers["location"] == f"{PLACE}#incidents"
    seen = incidents.open_incidents("energy")[0].acknowledged
    assert seen is not None
    assert (seen.by, seen.note) == ("ada", "I call the provider")
    assert "ada" in http.get(PLACE, headers=access).text
    assert "look at an incident" not in http.get("/perennial/", headers=access).text


def test_what_is_closed_or_unknown_cannot_be_acknowledged(
    opened: str, http: TestClient, access: dict[str, str]
) -> None:
    unknown = http.post(f"{PLACE}/incidents/0123456789ab/acknowledge", headers=access, data={"note": "x"})
    assert unknown.status_code == 404
    known = incidents.of(["energy"])["energy"]
    incidents.record("energy", lambda current: [current[0].next("closed", NOW, note="it succeeded")], known)
    closed = http.post(f"{PLACE}/incidents/{opened}/acknowledge", headers=access, data={"note": "late"})
    assert closed.status_code == 409
    assert "it succeeded" in http.get(PLACE, headers=access).text
    assert http.get(f"{PLACE}/incidents", headers=access).json() == {"incidents": []}
    listed = http.get(f"{PLACE}/incidents", headers=access, params={"closed": True}).json()["incidents"]
    assert listed[0]["closed_because"] == "it succeeded"


def test_what_came_from_data_is_escaped(energy: UseCase) -> None:
    (event,) = incident(title=EVIL).events
    row = {name: value for name, value in vars(event).items() if name != "use_case"} | {"evidence": "{}"}
    content = use_case.view(energy, World(energy).add("incidents", partition="2026-01", **row).rows, doing(energy))
    assert EVIL not in layout.render("use_case", **content | {"may_acknowledge": True}, may=(), done=None)


def test_a_retired_use_case_asks_for_nothing(energy: UseCase) -> None:
    (row,) = fleet.view([fleet.Fact("energy", None, incidents=3)], 1)["rows"]
    assert row.tasks == ()
