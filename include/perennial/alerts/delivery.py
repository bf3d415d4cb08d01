"""Tells people of incidents, by each route: what it is to tell, once, and again later where that failed.

Each route works by itself, in a thread and under a lock of its own: a dead one delays no other, and two deliverers
at once tell nothing twice. What was sent is recorded right after. A deliverer that is killed between the two sends the
same message again, with the same key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from perennial import discovery
from perennial._common import background_threads
from perennial._common.suggestions import did_you_mean
from perennial.alert_routes import AlertRoute
from perennial.alerts import deliveries, incidents, messages, pending
from perennial.alerts.deliveries import Delivery, History, State
from perennial.alerts.incidents import INSTALLATION, Incident, IncidentEvent
from perennial.alerts.messages import Message
from perennial.alerts.pending import Pending
from perennial.errors import InvalidParams, PerennialError, ServiceUnavailable
from perennial.services import postgres
from perennial.settings import settings

log = logging.getLogger(__name__)
#: Sends one message on a route; returns what is to be known of one that was sent, mostly nothing. Raises if it failed.
Send = Callable[[AlertRoute, Message], str]
#: A message that was not sent after so many seconds has failed.
PATIENCE = 45.0
#: So many routes are at work at once.
_AT_ONCE = 6


def deliver(send: Send, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> dict[str, Any]:
    """Tell what each route is to tell now.

    Args:
        send: Sends one message on a route.
        now: The time, UTC.

    Returns:
        Route -> how many messages were `sent`, how many events are still `pending`, and the `error`, if one failed.

    Raises:
        ServiceUnavailable: the lake cannot be read.
    """
    routes = settings().alert_routes
    readable, unread = incidents.readable([INSTALLATION, *discovery.names()]) if routes else ({}, {})
    for what, why in unread.items():
        log.warning("Nobody is told of the %s: %s", what, why)
    known = [each for of_one in readable.values() for each in of_one]
    with ThreadPoolExecutor(_AT_ONCE, "alert-route") as threads:
        results = threads.map(lambda route: _on_route(route, known, send, now), routes)
        return {route.name: result for route, result in zip(routes, results, strict=True)}


def _on_route(route: AlertRoute, known: Sequence[Incident], send: Send, now: Callable[[], datetime]) -> dict[str, Any]:
    try:
        with postgres.advisory_lock("deliveries", route.name):
            return _under_lock(route, known, send, now)
    except PerennialError as error:  # The record cannot be written: the other routes are not to suffer from it.
        log.warning("Route %s: %s", route.name, error.problem)
        return {"sent": 0, "pending": None, "error": error.problem}
    except Exception as error:  # Raised from here, it would take the turn of routes that have not begun.
        log.exception("Route %s", route.name)
        return {"sent": 0, "pending": None, "error": type(error).__name__}


def _under_lock(
    route: AlertRoute, known: Sequence[Incident], send: Send, now: Callable[[], datetime]
) -> dict[str, Any]:
    history = deliveries.histories([route.name])[route.name]
    if history.begun is None:
        begun = Delivery(route.name, "", 0, "", "", "", 0, "begun", "", now())
        deliveries.append([begun])
        history = History([*history.rows, begun])
    waiting = pending.of_route(route, history, known)
    sent, error = 0, ""
    for parts in pending.due(route, history, waiting, now()):
        message = _message(route, parts, now)
        attempt = pending.attempts_of(route, history, parts) + 1
        state, error = _attempt(send, route, message)
        events = [event for each in parts for event in each.events]
        deliveries.append([_row(route, event, message.key, attempt, state, error, now()) for event in events])
        if state == "failed":
            log.warning("Route %s: %r was not sent: %s", route.name, message.title, error)
            break
        sent, error = sent + 1, ""
        waiting = [each for each in waiting if each not in parts]
    return {"sent": sent, "pending": sum(len(each.events) for each in waiting), "error": error}


def _message(route: AlertRoute, parts: Sequence[Pending], now: Callable[[], datetime]) -> Message:
    """The message about one incident or several; that these go together is recorded before it is sent."""
    if len(parts) == 1 and not parts[0].group:
        return messages.about(parts[0].latest, route.name)
    events = [event for each in parts for event in each.events]
    group = parts[0].group or messages.digest(*(messages.key_of(each, route.name) for each in events))
    if not parts[0].group:
        deliveries.append([_row(route, each, group, 0, "summed-up", "", now()) for each in events])
    return messages.summary(group, [each.latest for each in parts], route.name, page())


def _row(
    route: AlertRoute, event: IncidentEvent, message: str, attempt: int, state: State, error: str, at: datetime
) -> Delivery:
    key = messages.key_of(event, route.name)
    return Delivery(route.name, event.incident, event.sequence, event.use_case, key, message, attempt, state, error, at)


def _attempt(send: Send, route: AlertRoute, message: Message) -> tuple[State, str]:
    """Send a message, and wait for that a limited time: its new state, and what is to be known."""
    outcome: list[tuple[State, str]] = []

    def work() -> None:
        try:
            outcome.append(("sent", send(route, message)))
        except PerennialError as error:
            outcome.append(("failed", messages.plain(f"{error.problem} {error.fix}")))
        except Exception as error:  # Its words may hold a secret, such as the address of a webhook.
            log.debug("Route %s", route.name, exc_info=True)
            outcome.append(("failed", type(error).__name__))

    background_threads.start(work).join(PATIENCE)
    return outcome[0] if outcome else ("failed", f"no answer within {PATIENCE:.0f} s")


def test(route_name: str, send: Send) -> dict[str, Any]:
    """Send a message that is clearly a test on a route, whatever the time and however many it has sent.

    Args:
        route_name: The route's name.
        send: Sends one message on a route.

    Returns:
        `route`, `state` (`sent` or `failed`), and `error`.

    Raises:
        InvalidParams: there is no such route.
        ServiceUnavailable: the attempt could not be recorded.
    """
    route = find(route_name)
    at = datetime.now(UTC)
    key = messages.digest(deliveries.TEST, uuid4())
    state, error = _attempt(send, route, messages.test(route.name, key, at, page()))
    deliveries.append([Delivery(route.name, deliveries.TEST, 0, "", key, key, 1, state, error, datetime.now(UTC))])
    return {"route": route.name, "state": state, "error": error}


def find(route_name: str) -> AlertRoute:
    """The route with a name.

    Raises:
        InvalidParams: there is none.
    """
    routes = {each.name: each for each in settings().alert_routes}
    if route_name not in routes:
        known = ", ".join(routes) or "none"
        guess = did_you_mean(route_name, list(routes))
        raise InvalidParams(
            f"There is no alert route {route_name!r}.", f"{guess}PERENNIAL_ALERT_ROUTES names: {known}."
        )
    return routes[route_name]


def page() -> str:
    """The address of Perennial's pages."""
    return f"{settings().airflow_public_uri}/plugin/perennial/perennial"


def check(results: dict[str, Any]) -> None:
    """Fail if no route could record what it does.

    Args:
        results: What `deliver` returned.

    Raises:
        ServiceUnavailable: one could not; the next run continues.
    """
    if unrecorded := {name: each["error"] for name, each in results.items() if each["pending"] is None}:
        name, problem = next(iter(unrecorded.items()))
        raise ServiceUnavailable(f"Route {name!r}: {problem}", "The next run continues; `perennial doctor`.")
