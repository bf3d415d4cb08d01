"""Routes, incidents and receivers for the tests of alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from perennial.alert_routes import AlertRoute
from perennial.alerts.incidents import Incident, IncidentEvent, Subject, incident_id

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def route(name: str = "hook", **more: Any) -> AlertRoute:
    """A route of a webhook that is told of everything."""
    return AlertRoute(**{"name": name, "notifier": "webhook", "connection": name, "severity": "info"} | more)


def opened(use_case: str = "flights", subject: str = "2013-03", **more: Any) -> IncidentEvent:
    """The first event of an incident."""
    about = Subject("overdue", subject)
    told: dict[str, Any] = {"title": "a partition is overdue", "meaning": "Nothing is scored.", "action": "Look."}
    told |= {"link": "https://example.com/p", "evidence": {"row": "private"}, "owner": "ann", "by": "", "note": ""}
    told |= {"severity": "warning", "recorded_at": NOW, "event": "opened", "sequence": 0}
    identity = incident_id(use_case, about, 0)
    return IncidentEvent(
        **{"incident": identity, "use_case": use_case, "reason": about.reason, "subject": about.name, **told, **more}
    )


def incident(*changes: tuple[str, dict[str, Any]], **more: Any) -> Incident:
    """An incident with further events, a minute apart."""
    made = Incident((opened(**more),))
    for number, (event, changed) in enumerate(changes, 1):
        at = made.first.recorded_at + timedelta(minutes=number)
        made = Incident((*made.events, made.next(event, at, **changed)))  # type: ignore[arg-type]
    return made


class Receiver(ThreadingHTTPServer):
    """A web server that keeps what is posted to it, and answers with `status` and `answer`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.answer = 200, b"ok"
        self.got: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, json.loads(body)))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that runs."""
    with Receiver() as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
