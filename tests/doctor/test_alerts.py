"""What the doctor says of alert routes: whether they deliver, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError

import pytest
from alert_cases import route

from perennial.alerts import route_status
from perennial.alerts.deliveries import Delivery, History
from perennial.doctor import alerts, examine
from perennial.doctor.examination import CHECKS

NOW = datetime.now(UTC)


def status(*rows: tuple[str, timedelta], **more: object) -> route_status.RouteStatus:
    begun = Delivery("hook", "", 0, "", "", "", 0, "begun", "", NOW - timedelta(days=1))
    made = [
        Delivery("hook", "i", 0, "", "k", "k", n, state, "away", NOW - ago) for n, (state, ago) in enumerate(rows, 1)
    ]  # type: ignore[arg-type]
    return route_status._status(route(**more), History([begun, *made]), [], NOW)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([], "passed"),
        ([("sent", timedelta(hours=3))], "passed"),
        ([("sent", timedelta(hours=3)), ("failed", timedelta(minutes=9))], "warning"),
        ([("failed", timedelta(hours=2)), ("failed", timedelta(minutes=9))], "failed"),
        ([("failed", timedelta(hours=2)), ("sent", timedelta(minutes=9))], "passed"),
    ],
)
def test_a_route_that_fails_for_an_hour_is_an_error(rows: list[tuple[str, timedelta]], state: str) -> None:
    [finding] = alerts._of(status(*rows), NOW)
    assert finding.state == state


def test_what_is_wrong_with_a_route_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(route_status, "distribution", missing)
    package, name = alerts._of(status(use_cases=["flihgts"]), NOW)
    assert (package.state, package.message) == ("failed", "apache-airflow-providers-http is not installed")
    assert (name.state, name.message) == ("failed", "there is no use case 'flihgts'")
    assert name.fix.startswith("Did you mean 'flights'?")


def test_without_routes_there_is_nothing_to_check() -> None:
    [check] = [each for each in CHECKS if each.name == "Alert routes"]
    [finding] = examine((check,)).findings["Servers"]
    assert finding.state == "not applicable"
