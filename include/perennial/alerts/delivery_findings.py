"""What is wrong with telling people: routes that have failed for an hour. The other routes tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from perennial.alerts import route_status
from perennial.alerts.findings import Ending, Finding, Reading, page
from perennial.alerts.incidents import INSTALLATION, Incident, Reason, Subject
from perennial.alerts.route_status import RouteStatus

REASONS: frozenset[Reason] = frozenset({"delivery"})


def read(known: Sequence[Incident], now: datetime) -> Reading:
    """The routes of the settings, as far as their deliveries are recorded.

    Args:
        known: The installation's incidents.
        now: UTC.
    """
    statuses = route_status.statuses(now)
    gone = Ending("the settings name no such route any more")
    endings: dict[Subject, Ending] = {each.subject: gone for each in known if each.subject.reason in REASONS}
    endings |= {Subject("delivery", each.route.name): Ending("it delivers again") for each in statuses}
    return Reading(tuple(_finding(each) for each in statuses if each.is_dead(now)), endings, read=REASONS)


def _finding(status: RouteStatus) -> Finding:
    name = status.route.name
    since = status.failing_since
    return Finding(
        "delivery",
        name,
        "critical",
        f"the alert route {name} does not deliver",
        "Whoever reads it is not told of incidents; what it was to tell waits, and other routes are not concerned.",
        f"Correct what `perennial alerts routes` says, then try it: perennial alerts test {name}",
        page(INSTALLATION),
        {"since": since.isoformat() if since else None, "failures": status.failures, "error": status.error},
    )
