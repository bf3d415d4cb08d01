"""Which events a route is still to tell, and which of them now: pure functions of records, settings and the time.

Light to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from perennial.alert_routes import SEVERITIES, AlertRoute, Severity
from perennial.alerts import messages
from perennial.alerts.deliveries import Delivery, History, is_pausing
from perennial.alerts.incidents import ACKNOWLEDGED, CLOSED, UPDATED, Incident, IncidentEvent

_CRITICAL: Severity = "critical"


@dataclass(frozen=True)
class Pending:
    """The events of one incident that a route has not told yet, oldest first: one message tells of all of them."""

    events: tuple[IncidentEvent, ...]
    #: The message with others in which they are to be told; empty: a message of their own.
    group: str = ""

    @property
    def latest(self) -> IncidentEvent:
        """The one that the message is about."""
        return self.events[-1]

    @property
    def severity(self) -> Severity:
        """The highest of the events."""
        return min((each.severity for each in self.events), key=SEVERITIES.index)


def of_route(route: AlertRoute, history: History, known: Iterable[Incident]) -> list[Pending]:
    """What a route is still to tell, the most serious first, then the oldest.

    Args:
        route: The route.
        history: What it has done. Of what happened before it began it tells only what was open then.
        known: All incidents.
    """
    found = [pending for incident in known for pending in _of_incident(route, history, incident)]
    return sorted(found, key=lambda each: (SEVERITIES.index(each.severity), each.latest.recorded_at))


def _of_incident(route: AlertRoute, history: History, incident: Incident) -> Iterator[Pending]:
    groups: dict[str, list[IncidentEvent]] = {}
    for event in _to_tell(route, history.begun, incident):
        key = messages.key_of(event, route.name)
        if history.is_sent(key):
            continue
        rows = [row for row in history.of(key) if row.state == "summed-up"]
        groups.setdefault(rows[0].message if rows else "", []).append(event)
    for group, events in groups.items():
        yield Pending(tuple(events), group)


def _to_tell(route: AlertRoute, begun: datetime | None, incident: Incident) -> list[IncidentEvent]:
    """The events of an incident that the route is for, told or not."""
    told: list[IncidentEvent] = []
    before: IncidentEvent | None = None
    for event in _since(begun, incident):
        rises = before is None or SEVERITIES.index(event.severity) < SEVERITIES.index(before.severity)
        is_change = event.event != UPDATED or rises
        # Whoever heard of an incident hears how it went on, also if it has become less serious.
        if is_change and (_takes(route, event) or (event.event in (ACKNOWLEDGED, CLOSED) and told)):
            told.append(event)
        before = event
    return told


def _since(begun: datetime | None, incident: Incident) -> list[IncidentEvent]:
    """The events since a route began, and the newest one before that if the incident was open."""
    earlier = [each for each in incident.events if begun is None or each.recorded_at <= begun]
    state = [] if not earlier or earlier[-1].event == CLOSED else earlier[-1:]
    return [*state, *incident.events[len(earlier) :]]


def _takes(route: AlertRoute, event: IncidentEvent) -> bool:
    return (
        SEVERITIES.index(event.severity) <= SEVERITIES.index(route.severity)
        and (not route.use_cases or event.use_case in route.use_cases)
        and (not route.owners or event.owner in route.owners)
    )


def due(route: AlertRoute, history: History, pending: Sequence[Pending], now: datetime) -> list[list[Pending]]:
    """The messages to send now, each with what it tells of; what was tried least comes first.

    Args:
        route: The route.
        history: What it has done.
        pending: What it is to tell, the most serious first.
        now: UTC.
    """
    failures = history.failures
    is_paused = bool(failures) and is_pausing(failures[-1].recorded_at, len(failures), now)
    is_quiet = route.quiet is not None and route.quiet.include(now)
    ready = []
    for each in _messages(pending):
        severity = _severity(each)
        attempts = attempts_of(route, history, each)
        is_new_and_critical = severity == _CRITICAL and not attempts
        own = [row for part in each for row in _failed(route, history, part)]
        waits = bool(own) and is_pausing(max(row.recorded_at for row in own), attempts, now)
        if not waits and (not is_quiet or severity == _CRITICAL) and (not is_paused or is_new_and_critical):
            ready.append((attempts, each))
    ready.sort(key=lambda each: each[0])
    allowed = max(route.per_hour - history.sent_within_an_hour(now), 0)
    told, held_back = _within_limit([each for _, each in ready], allowed)
    # The limit keeps floods away. What is critical does not wait for it: at each look, all of it is one message more.
    return [*_at_once([each for each in held_back if _severity(each) == _CRITICAL]), *told]


def _severity(message: Sequence[Pending]) -> Severity:
    return min((part.severity for part in message), key=SEVERITIES.index)


def _messages(pending: Sequence[Pending]) -> list[list[Pending]]:
    """What belongs into one message: each incident by itself, unless a summary of several was begun."""
    grouped: dict[str, list[Pending]] = {}
    for number, each in enumerate(pending):
        grouped.setdefault(each.group or f"{number}", []).append(each)
    return list(grouped.values())


def _within_limit(ready: list[list[Pending]], allowed: int) -> tuple[list[list[Pending]], list[list[Pending]]]:
    """As many messages as are allowed, the last one sums up what exceeds them; and those that have to wait."""
    if len(ready) <= allowed:
        return ready, []
    begun, single = _begun(ready)
    alone = allowed - len(begun) - 1
    if alone < 0:
        return begun[:allowed], [*begun[allowed:], *single]
    return [*begun, *single[:alone], [part for each in single[alone:] for part in each]], []


def _at_once(messages: list[list[Pending]]) -> list[list[Pending]]:
    """All of them in as few messages as there can be."""
    begun, single = _begun(messages)
    return [*begun, *([[part for each in single for part in each]] if single else [])]


def _begun(messages: list[list[Pending]]) -> tuple[list[list[Pending]], list[list[Pending]]]:
    """Summaries that were begun, and the others. Those stay: another would tell the same again under another key."""
    return [each for each in messages if each[0].group], [each for each in messages if not each[0].group]


def _failed(route: AlertRoute, history: History, pending: Pending) -> list[Delivery]:
    rows = history.of(messages.key_of(pending.latest, route.name))
    return [row for row in rows if row.state == "failed"]


def attempts_of(route: AlertRoute, history: History, message: Sequence[Pending]) -> int:
    """How often a message was tried already.

    Args:
        route: The route.
        history: What it has done.
        message: What the message tells of.
    """
    return max(len(_failed(route, history, each)) for each in message)
