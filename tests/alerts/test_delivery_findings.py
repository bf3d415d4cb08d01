"""Routes that do not deliver are incidents, which other routes tell."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alert_cases import NOW, route

from perennial.alerts import delivery_findings, incidents, route_status
from perennial.alerts.changes import changes
from perennial.alerts.deliveries import Delivery, History


def status(failing_for: timedelta | None) -> route_status.RouteStatus:
    rows = [Delivery("hook", "", 0, "", "", "", 0, "begun", "", NOW - timedelta(days=1))]
    if failing_for:
        rows.append(Delivery("hook", "i", 0, "", "k", "k", 1, "failed", "away", NOW - failing_for))
    return route_status._status(route(), History(rows), [], NOW)


def test_a_dead_route_opens_an_incident_that_closes_when_it_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[route_status.RouteStatus] = []
    monkeypatch.setattr(route_status, "statuses", lambda now: told)

    def events(known: list[incidents.Incident]) -> list[incidents.IncidentEvent]:
        return changes("", "", known, delivery_findings.read(known, NOW), NOW)

    told[:] = [status(timedelta(minutes=30))]
    assert events([]) == []
    told[:] = [status(timedelta(hours=1))]
    [opened] = events([])
    assert (opened.reason, opened.subject, opened.severity) == ("delivery", "hook", "critical")
    assert opened.evidence["error"] == "away"
    known = [incidents.Incident((opened,))]
    assert events(known) == []
    told[:] = [status(None)]
    assert [each.note for each in events(known)] == ["it delivers again"]
    told[:] = []
    assert [each.note for each in events(known)] == ["the settings name no such route any more"]
