"""The record of incidents: each is opened once, updated, acknowledged by a person, and closed with the evidence.

An incident is its events, which are appended to the lake and never changed. Whoever records any reads the events first,
decides on what to append, and does both again under a lock: two detectors that run at once record the same thing once.

Light to import.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

from perennial import discovery, lake_cache
from perennial.alert_routes import SEVERITIES as SEVERITIES
from perennial.alert_routes import Severity as Severity
from perennial.errors import InvalidParams, PerennialError, ServiceUnavailable
from perennial.use_case.table_names import OF_INSTALLATION, TableNames

log = logging.getLogger(__name__)
#: In place of a use case's name: incidents of the installation.
INSTALLATION = ""

Reason = Literal[
    "alarm",
    "quarantine",
    "overdue",
    "run-failed",
    "run-stuck",
    "approval",
    "serving",
    "rolled-back",
    "stale-features",
    "disk",
    "declaration",
    "delivery",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
EventName = Literal["opened", "updated", "acknowledged", "closed"]
OPENED, UPDATED, ACKNOWLEDGED, CLOSED = get_args(EventName)
#: No record tells that somebody has dealt with these: acknowledging them closes them.
CLOSED_BY_PEOPLE: frozenset[Reason] = frozenset({"rolled-back"})
#: The fewest characters of an id that name an incident.
SHORTEST = 4


@dataclass(frozen=True)
class IncidentEvent:
    """One event of an incident, with everything that is known of the incident then.

    Attributes:
        incident: The incident's id: a digest of use case, reason, subject and the number of its opening.
        use_case: Empty: it concerns the installation.
        subject: What it is about: a partition, run, version, view, disk or use case.
        sequence: Number of the event within the incident, from 0.
        title: What happened, in one line.
        meaning: What it means, in a sentence.
        action: What to do, in a sentence.
        link: The address of the page where that is done.
        evidence: JSON-ready; of a closed incident what closed it.
        owner: The use case's.
        by: The person who acknowledged or closed it; empty: nobody did.
        note: What that person wrote; of an incident that closed by itself, why.
        recorded_at: Processing time, UTC.
    """

    incident: str
    use_case: str
    reason: Reason
    subject: str
    event: EventName
    sequence: int
    severity: Severity
    title: str
    meaning: str
    action: str
    link: str
    evidence: dict[str, Any]
    owner: str
    by: str
    note: str
    recorded_at: datetime

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; times as ISO 8601."""
        return {**vars(self), "recorded_at": self.recorded_at.isoformat()}


class Subject(NamedTuple):
    """What an incident is about: of one there is at most one open incident at a time."""

    reason: Reason
    name: str


@dataclass(frozen=True)
class Incident:
    """An incident: its events, oldest first; there is at least one."""

    events: tuple[IncidentEvent, ...]

    @property
    def id(self) -> str:
        """Its id."""
        return self.first.incident

    @property
    def first(self) -> IncidentEvent:
        """The event by which it was opened."""
        return self.events[0]

    @property
    def latest(self) -> IncidentEvent:
        """Its newest event, which has its facts as they are known now."""
        return self.events[-1]

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(self.first.reason, self.first.subject)

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return self.latest.event != CLOSED

    @property
    def acknowledged(self) -> IncidentEvent | None:
        """The newest event by which a person acknowledged it; None: nobody did."""
        return next((each for each in reversed(self.events) if each.event == ACKNOWLEDGED), None)

    @property
    def state(self) -> str:
        """`open`, `acknowledged` or `closed`."""
        return CLOSED if not self.is_open else ACKNOWLEDGED if self.acknowledged else "open"

    def next(self, event: EventName, at: datetime, **changed: Any) -> IncidentEvent:
        """Its next event, with the facts of the newest one unless they are given.

        Args:
            event: Which.
            at: When it is recorded; processing time, UTC.
            changed: Fields of `IncidentEvent` that are others now.
        """
        following = {"event": event, "sequence": self.latest.sequence + 1, "by": "", "note": "", "recorded_at": at}
        return replace(self.latest, **following | changed)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready: its facts, and its events."""
        seen = self.acknowledged
        facts = ("use_case", "reason", "subject", "severity", "title", "meaning", "action", "link", "evidence", "owner")
        return {
            "incident": self.id,
            "state": self.state,
            **{name: getattr(self.latest, name) for name in facts},
            "opened_at": self.first.recorded_at.isoformat(),
            "acknowledged_by": seen.by if seen else None,
            "closed_at": None if self.is_open else self.latest.recorded_at.isoformat(),
            "closed_because": None if self.is_open else self.latest.note,
            "events": [each.as_json() for each in self.events],
        }


def incident_id(use_case: str, subject: Subject, number: int) -> str:
    """The id of an incident.

    Args:
        use_case: Its use case; empty: it is the installation's.
        subject: What it is about.
        number: How many incidents about the same there were before.
    """
    identity = json.dumps([use_case, *subject, number]).encode()
    return hashlib.blake2b(identity, digest_size=6).hexdigest()


def table(use_case: str) -> str:
    """The lake table of a use case's incidents, or of those of the installation, whose name is empty."""
    return TableNames(use_case or OF_INSTALLATION).incidents


def events(use_case: str) -> list[IncidentEvent]:
    """All events of a use case's incidents, or of those of the installation; oldest first.

    Args:
        use_case: Its name; empty: the installation.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    return [event for each in of([use_case])[use_case] for event in each.events]


def of(use_cases: Iterable[str]) -> dict[str, list[Incident]]:
    """The incidents of each use case, open and closed, in the order in which they were opened; all are read at once.

    Args:
        use_cases: Names; an empty one is the installation.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    names = {name: table(name) for name in use_cases}
    rows = lake_cache.records(list(names.values()))
    return {name: from_rows(name, rows[where]) for name, where in names.items()}


def readable(names: Sequence[str]) -> tuple[dict[str, list[Incident]], dict[str, str]]:
    """The incidents of each, and why those of others cannot be read: a damaged table of one hides no other.

    Args:
        names: Names of use cases; an empty one is the installation.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    try:
        return of(names), {}
    except ServiceUnavailable:
        raise
    except PerennialError as error:
        if len(names) == 1:
            why = f"{error.problem.splitlines()[0]} {error.fix}".strip()
            return {}, {f"incidents of {names[0] or 'the installation'}": why}
    parts = [readable([name]) for name in names]
    return {k: v for known, _ in parts for k, v in known.items()}, {k: v for _, why in parts for k, v in why.items()}


def every() -> dict[str, list[Incident]]:
    """The readable incidents of every use case, and of the installation; by name, the installation's is empty."""
    known, unread = readable([INSTALLATION, *discovery.names()])
    for what, why in unread.items():
        log.warning("The %s cannot be read: %s", what, why)
    return known


def open_incidents(use_case: str) -> list[Incident]:
    """The open incidents of a use case, or of the installation, in the order in which they were opened.

    Args:
        use_case: Its name; empty: the installation.
    """
    return [each for each in of([use_case])[use_case] if each.is_open]


def from_rows(use_case: str, rows: Iterable[Mapping[str, Any]]) -> list[Incident]:
    """The incidents that the rows of a table tell, in the order in which they were opened.

    Args:
        use_case: Whose table; empty: the installation's.
        rows: Its rows, in any order.
    """
    names = {field.name for field in fields(IncidentEvent)} - {"use_case", "evidence"}
    found: dict[str, list[IncidentEvent]] = {}
    for row in sorted(rows, key=lambda row: row["sequence"]):
        known = {name: row[name] for name in names}
        event = IncidentEvent(use_case=use_case, evidence=json.loads(row["evidence"]), **known)
        found.setdefault(event.incident, []).append(event)
    return sorted((Incident(tuple(each)) for each in found.values()), key=lambda each: each.first.recorded_at)


def record(
    use_case: str, decide: Callable[[Sequence[Incident]], Sequence[IncidentEvent]], known: Sequence[Incident]
) -> list[IncidentEvent]:
    """Append the events that follow from the incidents as they are, in one commit; return what was appended.

    Args:
        use_case: Whose; empty: the installation's.
        decide: What to append, given all its incidents. Called again under a lock, and never while nothing changes.
        known: The incidents as they were read before. Where they tell that there is nothing to append, nothing is read.

    Raises:
        ServiceUnavailable: the lake cannot be written.
    """
    if not decide(known):
        return []
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import INCIDENTS
    from perennial.services import postgres

    where = table(use_case)
    with postgres.advisory_lock("incidents", use_case):
        current = of([use_case])[use_case]
        new = list(decide(current))
        opened = {each.id: each.first.recorded_at for each in current}
        opened |= {each.incident: each.recorded_at for each in new if each.event == OPENED}
        rows = [_row(each, opened[each.incident]) for each in new]
        if rows:
            lake.append_missing(where, pa.Table.from_pylist(rows, schema=INCIDENTS), key=("incident", "sequence"))
    return new


def _row(event: IncidentEvent, opened: datetime) -> dict[str, Any]:
    row = {name: value for name, value in vars(event).items() if name != "use_case"}
    row["evidence"] = json.dumps(event.evidence, sort_keys=True, default=str)
    return row | {"partition": f"{opened.astimezone(UTC):%Y-%m}"}


def find(incident: str, among: Iterable[Incident]) -> Incident:
    """The incident that an id, or its beginning, names.

    Args:
        incident: At least `SHORTEST` characters of it.
        among: Which there are.

    Raises:
        InvalidParams: there is none, or there are several.
    """
    found = [each for each in among if len(incident) >= SHORTEST and each.id.startswith(incident)]
    if len(found) == 1:
        return found[0]
    fix = "`perennial incidents --all` lists them with their ids."
    if found:
        raise InvalidParams(f"{incident!r} is the beginning of {len(found)} incidents.", f"Write more of it: {fix}")
    short = f" An id is named by at least {SHORTEST} characters of it." if len(incident) < SHORTEST else ""
    raise InvalidParams(f"There is no incident {incident!r}.{short}", fix)


def acknowledge(incident: str, by: str, note: str, use_case: str | None = None) -> Incident:
    """Record that a person has seen an open incident; one that no record would ever close is closed by that.

    The same person's same note is recorded once.

    Args:
        incident: Its id, or the beginning of it.
        by: Who.
        note: What they say about it.
        use_case: Where to look; None: in all use cases and the installation.

    Returns:
        The incident, after that.

    Raises:
        InvalidParams: there is no such incident, it is closed, or the note is empty.
    """
    if not note.strip():
        raise InvalidParams("A note is missing.", "Say what you know of it, or do about it: it is kept.")
    known = every() if use_case is None else of([use_case])
    found = find(incident, (each for of_one in known.values() for each in of_one))
    name, now = found.first.use_case, datetime.now(UTC)

    def decide(current: Sequence[Incident]) -> list[IncidentEvent]:
        target = next(each for each in current if each.id == found.id)
        return _acknowledged(target, by, " ".join(note.split()), now)

    record(name, decide, known[name])
    return next(each for each in of([name])[name] if each.id == found.id)


def _acknowledged(target: Incident, by: str, note: str, now: datetime) -> list[IncidentEvent]:
    """The events of an acknowledgement; none: it is recorded already."""
    seen = target.acknowledged
    if seen is not None and (seen.by, seen.note) == (by, note):
        return []
    if not target.is_open:
        raise InvalidParams(
            f"Incident {target.id} is closed: {target.latest.note}", "There is nothing to acknowledge any more."
        )
    first = target.next(ACKNOWLEDGED, now, by=by, note=note)
    if target.first.reason not in CLOSED_BY_PEOPLE:
        return [first]
    after = Incident((*target.events, first))
    return [first, after.next(CLOSED, now, by=by, note=f"closed by {by}: {note}")]
