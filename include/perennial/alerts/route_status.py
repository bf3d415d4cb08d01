"""What each route has done lately, what it is still to tell, and what keeps it from that: for people and the doctor.

Light to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from perennial import discovery
from perennial._common.suggestions import did_you_mean
from perennial.alert_routes import EXTRA, PROVIDERS, AlertRoute
from perennial.alerts import deliveries, incidents, pending
from perennial.alerts.deliveries import History, pause
from perennial.settings import settings

#: A route that has failed for so long is not just interrupted.
DEAD = timedelta(hours=1)


@dataclass(frozen=True)
class RouteStatus:
    """A route, and how it does.

    Attributes:
        last_sent: When it last sent something (UTC); None: never.
        failing_since: When the first of the attempts failed since then; None: the last attempt did not fail.
        failures: How many have failed since then.
        error: Why the last one failed, without secrets; empty: it did not.
        next_attempt: When a failed route is tried again, at the earliest (UTC).
        pending: How many events it is still to tell.
        quiet_until: When its quiet hours end (UTC), if it has some now.
        wrong: What is wrong with its declaration here, each with the fix.
    """

    route: AlertRoute
    last_sent: datetime | None
    failing_since: datetime | None
    failures: int
    error: str
    next_attempt: datetime | None
    pending: int
    quiet_until: datetime | None
    wrong: tuple[tuple[str, str], ...]

    def is_dead(self, now: datetime) -> bool:
        """Whether it has failed for so long that a person should look."""
        return self.failing_since is not None and now - self.failing_since >= DEAD

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; times as ISO 8601."""
        times = ("last_sent", "failing_since", "next_attempt", "quiet_until")
        return {
            "route": self.route.name,
            **self.route.model_dump(exclude={"name"}),
            **{name: at.isoformat() if (at := getattr(self, name)) else None for name in times},
            "failures": self.failures,
            "error": self.error,
            "pending": self.pending,
            "wrong": [problem for problem, _ in self.wrong],
        }


def statuses(now: datetime | None = None) -> list[RouteStatus]:
    """How each route of the settings does, in their order.

    Args:
        now: UTC; None: the present.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    routes = settings().alert_routes
    if not routes:
        return []
    known = [each for of_one in incidents.every().values() for each in of_one]
    histories = deliveries.histories([route.name for route in routes])
    return [_status(route, histories[route.name], known, now or datetime.now(UTC)) for route in routes]


def _status(route: AlertRoute, history: History, known: list[incidents.Incident], now: datetime) -> RouteStatus:
    failures = history.failures
    waiting = pending.of_route(route, history, known) if history.begun else []
    last = failures[-1] if failures else None
    sent = history.last_sent
    is_quiet = route.quiet is not None and route.quiet.include(now)
    return RouteStatus(
        route=route,
        last_sent=sent.recorded_at if sent else None,
        failing_since=failures[0].recorded_at if failures else None,
        failures=len(failures),
        error=last.error if last else "",
        next_attempt=last.recorded_at + pause(len(failures)) if last else None,
        pending=sum(len(each.events) for each in waiting),
        quiet_until=route.quiet.over_at(now) if is_quiet and route.quiet else None,
        wrong=tuple(_wrong(route)),
    )


def _wrong(route: AlertRoute) -> Iterator[tuple[str, str]]:
    package = PROVIDERS[route.notifier]
    try:
        distribution(package)
    except PackageNotFoundError:
        yield f"{package} is not installed", f'pip install "perennial[{EXTRA}]", also where Airflow\'s workers run'
    names = discovery.names()
    for name in route.use_cases:
        if name not in names:
            yield f"there is no use case {name!r}", f"{did_you_mean(name, names)}Correct PERENNIAL_ALERT_ROUTES."
