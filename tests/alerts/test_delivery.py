"""Deliveries in a real lake: once, also of two deliverers; again with the same key after a kill or a failure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from alert_cases import NOW, opened

from perennial import discovery
from perennial.alerts import deliveries, delivery, incidents, route_status
from perennial.alerts.messages import Message
from perennial.errors import DamagedFile, PerennialError, ServiceUnavailable
from perennial.settings import settings

pytestmark = pytest.mark.usefixtures("home")
_names = count()


class World:
    """A use case with incidents, routes, and a sender that remembers."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.monkeypatch, self.now = name, monkeypatch, NOW
        self.sent: list[Message] = []
        self.broken: set[str] = set()

    def routes(self, *more: dict[str, Any]) -> list[str]:
        routes = [
            {
                "notifier": "webhook",
                "connection": "x",
                "use_cases": [self.name],
                "name": f"{self.name}-{number}",
                **each,
            }
            for number, each in enumerate(more)
        ]
        self.monkeypatch.setenv("PERENNIAL_ALERT_ROUTES", json.dumps(routes))
        settings.cache_clear()
        return [each["name"] for each in routes]

    def open(self, subject: str = "2013-03", **more: Any) -> None:
        event = opened(self.name, subject, **more)
        incidents.record(
            self.name, lambda known: [] if any(e.subject == event_key(event) for e in known) else [event], []
        )

    def send(self, route: Any, message: Message) -> str:
        if route.name in self.broken:
            raise PerennialError("the receiver is away.")
        self.sent.append(message)
        return ""

    def deliver(self, send: Any = None) -> dict[str, Any]:
        return delivery.deliver(send or self.send, now=lambda: self.now)


def event_key(event: incidents.IncidentEvent) -> incidents.Subject:
    return incidents.Subject(event.reason, event.subject)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    name = f"case{next(_names)}"
    monkeypatch.setattr(discovery, "names", lambda: [name])
    yield World(name, monkeypatch)
    monkeypatch.undo()
    settings.cache_clear()


def test_an_event_is_told_once_by_each_route(world: World) -> None:
    names = world.routes({}, {})
    world.open()
    first = world.deliver()
    assert first == {name: {"sent": 1, "pending": 0, "error": ""} for name in names}
    assert world.deliver() == {name: {"sent": 0, "pending": 0, "error": ""} for name in names}
    assert sorted(each.route for each in world.sent) == names


def test_two_deliverers_at_once_tell_it_once(world: World) -> None:
    world.routes({})
    world.open()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: world.deliver(), range(3)))
    assert len(world.sent) == 1


def test_killed_before_the_record_it_tells_again_with_the_same_key(world: World) -> None:
    world.routes({"per_hour": 2})
    for number in range(4):
        world.open(f"{number}")
    append = deliveries.append

    def killed(rows: Any) -> None:
        if any(row.state == "sent" for row in rows):
            raise KeyboardInterrupt
        append(rows)

    world.monkeypatch.setattr(deliveries, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        world.deliver()
    world.monkeypatch.setattr(deliveries, "append", append)
    world.deliver()
    assert [each.kind for each in world.sent] == ["incident", "incident", "summary"]
    assert world.sent[0].key == world.sent[1].key


def test_a_summary_keeps_its_key_after_a_failure_and_new_incidents(world: World) -> None:
    (name,) = world.routes({"per_hour": 1})
    for number in range(3):
        world.open(f"{number}")
    keys = []

    def refuse(route: Any, message: Message) -> str:
        keys.append(message.key)
        raise PerennialError("away")

    assert world.deliver(refuse)[name] == {"sent": 0, "pending": 3, "error": "away"}
    world.open("later")
    world.now += timedelta(minutes=2)
    assert world.deliver()[name] == {"sent": 1, "pending": 1, "error": ""}
    assert [world.sent[0].key, len(world.sent[0].events)] == [keys[0], 3]


def test_a_dead_route_delays_no_other_and_is_seen(world: World) -> None:
    dead, works = world.routes({}, {})
    world.open()
    world.monkeypatch.setattr(delivery, "PATIENCE", 0.3)
    hangs = threading.Event()

    def send(route: Any, message: Message) -> str:
        if route.name == dead:
            hangs.wait(20)
        return world.send(route, message)

    result = world.deliver(send)
    assert (result[dead]["error"], result[works]["error"]) == ("no answer within 0 s", "")
    assert [each.route for each in world.sent] == [works]
    status = route_status.statuses(world.now + timedelta(hours=1))
    assert [(each.failures, each.pending, each.is_dead(world.now + timedelta(hours=1))) for each in status] == [
        (1, 1, True),
        (0, 0, False),
    ]
    hangs.set()


def test_a_failed_route_is_tried_again_later(world: World) -> None:
    (name,) = world.routes({})
    world.open()
    world.broken = {name}
    assert world.deliver()[name] == {"sent": 0, "pending": 1, "error": "the receiver is away."}
    world.broken = set()
    assert world.deliver()[name]["sent"] == 0
    world.now += timedelta(minutes=1)
    assert world.deliver()[name] == {"sent": 1, "pending": 0, "error": ""}
    rows = [row for row in deliveries.histories([name])[name].rows if row.incident]
    assert [(row.state, row.attempt, row.error) for row in rows] == [
        ("failed", 1, "the receiver is away."),
        ("sent", 2, ""),
    ]
    assert len({row.key for row in rows}) == 1


def test_what_happened_meanwhile_is_told_with_the_newest(world: World) -> None:
    world.routes({})
    world.open()
    [one] = incidents.open_incidents(world.name)
    closed = one.next("closed", NOW + timedelta(minutes=1), note="loaded")
    incidents.record(world.name, lambda known: [closed] if known[0].is_open else [], [one])
    world.now += timedelta(minutes=5)
    world.deliver()
    assert [each.status for each in world.sent] == []  # It was over before the route began.
    world.open("other", recorded_at=world.now + timedelta(minutes=1))
    other = incidents.open_incidents(world.name)[0]
    later: datetime = world.now + timedelta(minutes=2)
    incidents.record(world.name, lambda known: [other.next("closed", later)] if known[-1].is_open else [], [other])
    world.deliver()
    world.deliver()
    assert [each.status for each in world.sent] == ["closed"]


def test_an_unexpected_error_is_recorded_without_its_words(world: World) -> None:
    (name,) = world.routes({})
    world.open()

    def send(route: Any, message: Message) -> str:
        raise RuntimeError("https://example.com/secret")

    assert world.deliver(send)[name]["error"] == "RuntimeError"


def test_an_unexpected_error_of_a_route_leaves_no_other_out(world: World) -> None:
    first, *others = world.routes(*[{}] * 8)
    world.open()
    read = deliveries.histories

    def histories(routes: Any) -> Any:
        if first in routes:
            raise KeyError("secret")
        return read(routes)

    world.monkeypatch.setattr(deliveries, "histories", histories)
    results = world.deliver()
    assert results[first] == {"sent": 0, "pending": None, "error": "KeyError"}
    assert [results[name]["sent"] for name in others] == [1] * 7
    with pytest.raises(ServiceUnavailable, match=first):
        delivery.check(results)


def test_a_damaged_table_of_another_use_case_keeps_nobody_from_being_told(world: World) -> None:
    (name,) = world.routes({})
    world.open()
    world.monkeypatch.setattr(discovery, "names", lambda: ["damaged", world.name])
    read = incidents.of

    def of(names: Any) -> Any:
        if "damaged" in names:
            raise DamagedFile("A file of damaged.incidents cannot be read.", "Restore it.")
        return read(names)

    world.monkeypatch.setattr(incidents, "of", of)
    assert [each.pending for each in route_status.statuses(NOW)] == [0]
    assert world.deliver()[name] == {"sent": 1, "pending": 0, "error": ""}
