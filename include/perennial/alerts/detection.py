"""Detects incidents: reads every source once for all use cases, compares, and records what has changed.

A source that cannot be read is named and closes nothing; neither does it keep the others from being read. Killed at any
moment and run again, it records the same: the events of one use case are one commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from perennial import discovery, lake_cache
from perennial.alerts import (
    airflow_findings,
    delivery_findings,
    incidents,
    machine_findings,
    record_findings,
    serving_findings,
)
from perennial.alerts.changes import changes
from perennial.alerts.findings import Ending, Finding, Reading, page
from perennial.alerts.incidents import INSTALLATION, REASONS, Incident, IncidentEvent, Subject
from perennial.errors import PerennialError, UnknownUseCase
from perennial.registry import ledger
from perennial.reporting import overview
from perennial.services.airflow_api import AirflowClient
from perennial.use_case import UseCase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detected:
    """What one look at everything found.

    Attributes:
        events: What was recorded.
        unread: Source -> why it could not be read: what it would have told stays as it was.
    """

    events: tuple[IncidentEvent, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        told = [
            {name: getattr(each, name) for name in ("incident", "use_case", "event", "title")} for each in self.events
        ]
        return {"events": told, "unread": dict(self.unread)}


def update(use_case: str | None = None) -> Detected:
    """Compare what is wrong now with the open incidents, and record what has changed.

    Args:
        use_case: Only of this one, by name; None: of all, and of the installation.

    Raises:
        ServiceUnavailable: the lake, which holds the incidents themselves, cannot be reached.
    """
    names = discovery.names() if use_case is None else [use_case]
    known, unread = incidents.readable([INSTALLATION, *names])
    now = datetime.now(UTC)
    declared, readings = _read([name for name in names if name in known], known, now)
    events: list[IncidentEvent] = []
    for name, reading in readings.items():
        unread |= reading.unread
        if name not in known or (name == INSTALLATION and use_case is not None):
            continue
        owner = declared[name].owner if name in declared else ""
        try:
            events += incidents.record(name, _decide(name, owner, reading, now), known[name])
        except Exception as error:  # What went wrong with one use case's table does not hide the others.
            log.exception("The incidents of %s cannot be recorded.", name or "the installation")
            unread[f"incidents of {name or 'the installation'}"] = _in_words(error)
    for source, why in unread.items():
        log.warning("%s cannot be read, and closes no incident: %s", source, why)
    return Detected(tuple(events), unread)


def findings(use_case: str) -> list[Finding]:
    """What is wrong with a use case now; nothing is recorded.

    Args:
        use_case: Its name.
    """
    known = incidents.of([INSTALLATION, use_case])
    return list(_read([use_case], known, datetime.now(UTC), keep=False)[1][use_case].findings)


def _decide(
    name: str, owner: str, reading: Reading, now: datetime
) -> Callable[[Sequence[Incident]], list[IncidentEvent]]:
    return lambda current: changes(name, owner, current, reading, now)


def _read(
    names: Sequence[str], known: Mapping[str, Sequence[Incident]], now: datetime, *, keep: bool = True
) -> tuple[dict[str, UseCase], dict[str, Reading]]:
    """The use cases that are watched, and what all sources tell of each and of the installation."""
    declared, of_declarations = _declarations(names, known.get(INSTALLATION, ()))
    readings: dict[str, Reading] = {INSTALLATION: of_declarations}
    watched: dict[str, UseCase] = {}
    for name, use_case in declared.items():
        retired = discovery.retirement(name)
        if retired is None:
            watched[name] = use_case
            readings[name] = Reading()
        else:
            over = Ending(f"the use case is {retired}")
            ended = {each.subject: over for each in known[name] if each.is_open}
            readings[name] = Reading(endings=ended, read=frozenset(REASONS))
    sources: dict[str, Callable[[], Mapping[str, Reading]]] = {
        "records": lambda: _of_records(watched, now),
        "Airflow": lambda: _of_airflow(watched, known, now),
        "prediction server": lambda: serving_findings.read(watched, now, keep=keep),
        "deliveries": lambda: {INSTALLATION: delivery_findings.read(known.get(INSTALLATION, ()), now)},
        "disks": lambda: {INSTALLATION: machine_findings.read(known.get(INSTALLATION, ()))},
    }
    for source, read in sources.items():
        try:
            told = read()
        except Exception as error:  # Whatever is wrong with one source, the others tell what they know.
            if not isinstance(error, PerennialError):
                log.warning("%s: unexpected", source, exc_info=True)
            told = {INSTALLATION: Reading(unread={source: _in_words(error)})}
        for name, reading in told.items():
            readings[name] += reading
    return declared, readings


def _in_words(error: Exception) -> str:
    if isinstance(error, PerennialError):
        return f"{error.problem.splitlines()[0]} {error.fix}".strip()
    return f"{type(error).__name__}: {error}"


def _declarations(names: Iterable[str], known: Sequence[Incident]) -> tuple[dict[str, UseCase], Reading]:
    """The use cases whose declaration can be read, and the findings about the others."""
    declared, found = {}, []
    endings = {each.subject: Ending("its folder is gone") for each in known if each.first.reason == "declaration"}
    for name in names:
        try:
            use_case = discovery.load(name)
            discovery.retirement(name)  # A damaged file that says it is retired leaves open whether it is.
            declared[name] = use_case
            endings[Subject("declaration", name)] = Ending("it can be read")
        except UnknownUseCase:
            raise
        except PerennialError as error:
            found.append(
                Finding(
                    "declaration",
                    name,
                    "critical",
                    f"the use case {name} cannot be read",
                    f"It has no DAGs, and nothing of it runs. {error.problem.splitlines()[0]}",
                    error.fix or f"Correct include/use_cases/{name}/use_case.py.",
                    page(INSTALLATION),
                )
            )
    return declared, Reading(tuple(found), endings, read=frozenset({"declaration"}))


def _of_records(watched: Mapping[str, UseCase], now: datetime) -> dict[str, Reading]:
    seen = overview.overviews(list(watched.values()))
    tables = {name: use_case.tables.ledger for name, use_case in watched.items()}
    readable = [each.use_case.name for each in seen if not each.problem]
    rows = lake_cache.records([tables[name] for name in readable])
    readings = {}
    for each in seen:
        name = each.use_case.name
        try:
            readings[name] = record_findings.read(each, ledger.from_rows(rows.get(tables[name], [])), now)
        except Exception as error:  # A record that one use case's older release wrote does not hide the others.
            log.warning("%s: its records cannot be read", name, exc_info=True)
            readings[name] = Reading(unread={f"records of {name}": _in_words(error)})
    return readings


def _of_airflow(
    watched: Mapping[str, UseCase], known: Mapping[str, Sequence[Incident]], now: datetime
) -> dict[str, Reading]:
    with AirflowClient(patience=airflow_findings.PATIENCE) as client:
        return airflow_findings.read(client, watched, known, now)
