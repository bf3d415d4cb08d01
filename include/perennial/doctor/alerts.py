"""Checks of the routes on which people are told of incidents: whether they deliver."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from perennial.alerts import route_status
from perennial.alerts.route_status import RouteStatus
from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning

_TEST = "`perennial alerts test {}` tries it."


def routes() -> Iterator[Finding]:
    """Each route: when it last delivered, and why it does not now."""
    statuses = route_status.statuses()
    if not statuses:
        yield not_applicable(
            "alert routes", "nobody is told of incidents", "Set PERENNIAL_ALERT_ROUTES: docs/alerts.md."
        )
    for each in statuses:
        yield from _of(each, datetime.now(UTC))


def _of(status: RouteStatus, now: datetime) -> Iterator[Finding]:
    name = f"route {status.route.name}"
    for problem, fix in status.wrong:
        yield failed(name, problem, fix)
    if status.failing_since is not None:
        message = (
            f"{status.failures} attempts have failed since {status.failing_since:%Y-%m-%d %H:%M} UTC: {status.error}"
        )
        report = failed if status.is_dead(now) else warning
        yield report(name, message, _TEST.format(status.route.name))
    elif not status.wrong:
        last = (
            f"last delivered at {status.last_sent:%Y-%m-%d %H:%M} UTC" if status.last_sent else "has sent nothing yet"
        )
        yield passed(name, f"{last}; {status.pending} events to tell")
