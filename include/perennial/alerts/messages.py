"""What people are told: one incident, several summed up, or a test; as text, HTML and JSON.

Titles and notes are what people wrote, so nothing of them is markup: control characters are removed here, and whoever
sends a message escapes the rest, or says that it is plain text. A message holds no evidence, which may contain data.

Light to import.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from perennial.alert_routes import SEVERITIES, Severity
from perennial.alerts.incidents import ACKNOWLEDGED, CLOSED, IncidentEvent

#: Version of the JSON that `as_json` makes: it becomes another number if a field changes its name or meaning.
VERSION = 1
#: A message that sums up names so many incidents.
_NAMED = 20
_LONGEST = 500


@dataclass(frozen=True)
class Message:
    """One message of one route.

    Attributes:
        kind: `incident`; `summary` of several; or `test`.
        key: By which a receiver knows a message that comes twice: a digest.
        thread: The same for all messages of an incident on a route.
        status: `open`, `acknowledged` or `closed`; of what is no incident `open`.
        title: In one line, with state and use case.
        meaning: In a sentence.
        action: What to do, in a sentence.
        link: An address of the web; empty: none.
        events: The events that it tells of, at most one of each incident.
        at: Processing time (UTC): of the newest of these.
    """

    kind: Literal["incident", "summary", "test"]
    route: str
    key: str
    thread: str
    status: Literal["open", "acknowledged", "closed"]
    severity: Severity
    title: str
    meaning: str
    action: str
    link: str
    events: tuple[IncidentEvent, ...]
    at: datetime

    @property
    def lines(self) -> list[str]:
        """The incidents of a summary, one in a line; of another message none."""
        if self.kind != "summary":
            return []
        named = [_title(each) for each in self.events[:_NAMED]]
        rest = len(self.events) - len(named)
        return [*named, f"and {rest} more: perennial incidents"] if rest else named

    @property
    def note(self) -> str:
        """Who acknowledged or closed an incident, or why it closed, in one line; empty: nobody has."""
        event = self.events[0] if self.kind == "incident" else None
        if event is None or not (event.by or event.note):
            return ""
        return plain(": ".join(filter(None, (event.by, event.note))))

    def as_text(self) -> str:
        """The message as lines of plain text."""
        parts = [self.title, self.meaning, *(f"- {line}" for line in self.lines)]
        parts += [f"Note: {self.note}"] if self.note else []
        parts += [f"What to do: {self.action}"] if self.action else []
        return "\n".join([*filter(None, parts), *([self.link] if self.link else [])]) + "\n"

    def as_html(self) -> str:
        """The message as a page of HTML without any script, style sheet or picture from elsewhere."""
        text = html.escape
        lines = "".join(f"<li>{text(line)}</li>" for line in self.lines)
        parts = [f"<h2>{text(self.title)}</h2>", f"<p>{text(self.meaning)}</p>", f"<ul>{lines}</ul>" if lines else ""]
        parts += [f"<p>Note: {text(self.note)}</p>"] if self.note else []
        parts += [f"<p><b>What to do:</b> {text(self.action)}</p>"] if self.action else []
        parts += [f'<p><a href="{text(self.link)}">{text(self.link)}</a></p>'] if self.link else []
        return f'<!DOCTYPE html>\n<html lang="en"><body>\n{chr(10).join(filter(None, parts))}\n</body></html>\n'

    def as_json(self) -> dict[str, Any]:
        """What a webhook is sent: docs/alerts.md names each field. Times are ISO 8601."""
        told = ("kind", "key", "route", "status", "severity", "title", "meaning", "action", "link", "note")
        return {
            "version": VERSION,
            **{name: getattr(self, name) for name in told},
            "at": self.at.isoformat(),
            "incidents": [_event(each) for each in self.events],
        }


def _event(event: IncidentEvent) -> dict[str, Any]:
    names = ("incident", "sequence", "event", "use_case", "reason", "subject", "severity", "title", "owner", "by")
    told = {name: getattr(event, name) for name in names}
    return {name: plain(value) if isinstance(value, str) else value for name, value in told.items()}


def digest(*parts: object) -> str:
    """A short name for what these parts identify."""
    return hashlib.blake2b(json.dumps([str(each) for each in parts]).encode(), digest_size=12).hexdigest()


def plain(text: str) -> str:
    """A text in one line that no header, terminal or page takes for anything but text; cut if it is very long."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def _link(address: str) -> str:
    """An address if it is one of the web; else nothing."""
    try:
        is_web = urlsplit(address).scheme in ("http", "https")
    except ValueError:
        return ""
    return address if is_web and plain(address) == address and " " not in address else ""


def _title(event: IncidentEvent) -> str:
    state = event.event if event.event in (ACKNOWLEDGED, CLOSED) else event.severity
    return plain(f"[{state}] {event.use_case or 'installation'}: {event.title}")


def about(event: IncidentEvent, route: str) -> Message:
    """The message that tells of one incident, as of an event.

    Args:
        event: The newest event to tell of.
        route: The name of the route.
    """
    closed = event.event == CLOSED
    return Message(
        kind="incident",
        route=route,
        key=key_of(event, route),
        thread=digest("incident", event.incident, route),
        status="closed" if closed else "acknowledged" if event.event == ACKNOWLEDGED else "open",
        severity=event.severity,
        title=_title(event),
        meaning=plain(event.meaning),
        action="Nothing: it is over." if closed else plain(event.action),
        link=_link(event.link),
        events=(event,),
        at=event.recorded_at,
    )


def summary(key: str, events: Sequence[IncidentEvent], route: str, link: str) -> Message:
    """One message about several incidents, for what exceeds a route's messages in an hour.

    Args:
        key: The message's.
        events: The newest event of each incident; at least one.
        route: The name of the route.
        link: Where all incidents are.
    """
    ordered = sorted(events, key=lambda each: (SEVERITIES.index(each.severity), each.recorded_at))
    counts = {name: sum(each.severity == name for each in events) for name in SEVERITIES}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return Message(
        kind="summary",
        route=route,
        key=key,
        thread=key,
        status="open",
        severity=ordered[0].severity,
        title=f"[{ordered[0].severity}] {len(events)} changes of incidents ({told})",
        meaning="There were more than this route may tell one by one in an hour, so they are summed up.",
        action="Run `perennial incidents`.",
        link=_link(link),
        events=tuple(ordered),
        at=max(each.recorded_at for each in events),
    )


def test(route: str, key: str, at: datetime, link: str) -> Message:
    """A message that is clearly a test.

    Args:
        route: The name of the route.
        key: The message's.
        at: Now, UTC.
        link: Where Perennial is.
    """
    return Message(
        kind="test",
        route=route,
        key=key,
        thread=key,
        status="open",
        severity="info",
        title=f"[test] Perennial: a test of the alert route {route}",
        meaning="Somebody ran `perennial alerts test`; nothing is wrong.",
        action="Nothing: if you read this, the route works.",
        link=_link(link),
        events=(),
        at=at,
    )


def key_of(event: IncidentEvent, route: str) -> str:
    """By which a receiver knows the message about an event that comes twice.

    Args:
        event: The event.
        route: The name of the route.
    """
    return digest(event.incident, event.sequence, route)
