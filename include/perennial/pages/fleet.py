"""The first page: a row for each use case that the person may see, those that need action first; or what to do next."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from threading import Thread
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from perennial import discovery
from perennial.alerts import incidents
from perennial.dag_names import FEATURES, LOOP
from perennial.errors import PerennialError
from perennial.pages import access, airflow_state, timeline
from perennial.pages._compat import GetUserDep
from perennial.pages.airflow_state import Approval, Pipeline
from perennial.pages.layout import page
from perennial.reporting import overview, partition_status, terminal
from perennial.reporting.overview import Overview
from perennial.use_case import UseCase

log = logging.getLogger(__name__)
router = APIRouter()

#: Rows in the order in which a person should look at them.
Kind = Literal["action", "alarm", "warning", "healthy", "new", "retired"]
_ORDER: tuple[Kind, ...] = ("action", "alarm", "warning", "healthy", "new", "retired")
_AT_ONCE = 8
#: Drifted columns that are named.
_NAMED = 3


@dataclass(frozen=True)
class Fact:
    """Everything about one use case that the page is made from; `seen` is None if its declaration cannot be read."""

    name: str
    seen: Overview | None
    broken: str = ""
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    approvals: Sequence[Approval] = ()
    #: Open incidents that nobody has acknowledged.
    incidents: int = 0

    @property
    def retired(self) -> str:
        """Since when, by whom and why it is retired; empty: it is active."""
        return self.seen.status.retired if self.seen is not None else ""


@dataclass(frozen=True)
class Task:
    """Something that needs a person's action.

    Attributes:
        text: In a few words.
        page: Where it is done, below Perennial's address.
        airflow: Where it is done, below Airflow's address; one of the two is empty.
        grave: Nothing continues before it is done.
    """

    text: str
    page: str = ""
    airflow: str = ""
    grave: bool = False


@dataclass(frozen=True)
class FleetRow:
    """One use case on the page.

    Attributes:
        kind: `action` if a person has something to do, else its last verdict, where a closed alarm is a `warning`;
            `new`: it was never monitored; `retired`: nothing of it runs any more.
        tasks: What a person has to do.
        chart: For `static/charts.js`; None: there is nothing to draw.
        next: When the schedule starts the next run; None: it does not.
        otherwise: What starts it instead.
        first_step: What to do with a use case of which nothing has run; empty otherwise.
    """

    name: str
    kind: Kind
    tasks: tuple[Task, ...]
    seen: Overview | None = None
    broken: str = ""
    chart: dict[str, Any] | None = None
    next: datetime | None = None
    otherwise: str = ""
    running: tuple[Pipeline, ...] = ()
    first_step: str = ""


@cache
def warm_up() -> Thread:
    """Read the records of all use cases in the background, once a process, so that its first fleet page is fast.

    The UI asks for the icon of its navigation long before somebody opens a page.
    """
    begun = Thread(target=_read_all, name="perennial-warm-up", daemon=True)
    begun.start()
    return begun


def _read_all() -> None:
    try:
        names = discovery.names()
        # A few at a time: a page that is asked for meanwhile waits for these, not for all.
        for first in range(0, len(names), _AT_ONCE):
            overview.overviews([declared for name in names[first : first + _AT_ONCE] if (declared := _declared(name))])
    except Exception:  # Whoever asks for a page sees what is wrong.
        log.debug("The records of use cases were not read ahead.", exc_info=True)


def _declared(name: str) -> UseCase | None:
    try:
        return discovery.load(name)
    except PerennialError:
        return None


@router.get("/")
def show(request: Request, user: GetUserDep) -> HTMLResponse:
    """All use cases that the person may see.

    Args:
        request: Tells who asks, and where Airflow is mounted.
        user: Who is logged in.
    """
    names = discovery.names()
    return page(request, "fleet", **view(facts(access.readable(names, user)), len(names)))


def facts(names: Sequence[str]) -> list[Fact]:
    """What is known of each of these use cases, from their declarations, the lake and Airflow."""
    declared, broken = {}, {}
    for name in names:
        try:
            declared[name] = discovery.load(name)
        except PerennialError as error:
            broken[name] = f"{error.problem} {error.fix}".strip()
    seen = {one.use_case.name: one for one in overview.overviews(list(declared.values()))}
    pipelines, approvals = airflow_state.pipelines(names), airflow_state.approvals(names)
    unseen = _unseen_incidents(names)
    return [
        Fact(name, seen.get(name), broken.get(name, ""), pipelines[name], approvals.get(name, ()), unseen[name])
        for name in names
    ]


def _unseen_incidents(names: Sequence[str]) -> Counter[str]:
    """How many open incidents of each use case nobody has acknowledged; none where the lake cannot be read."""
    try:
        known = incidents.of(names)
    except PerennialError:  # The overview says so.
        return Counter()
    return Counter({name: sum(each.state == "open" for each in its) for name, its in known.items()})


def view(facts: Sequence[Fact], total: int) -> dict[str, Any]:
    """What the page shows.

    Args:
        facts: Of each use case that the person may see.
        total: How many use cases there are.
    """
    rows = sorted(map(_row, facts), key=lambda row: (_ORDER.index(row.kind), row.name))
    begins = _begins(facts)
    problems = dict.fromkeys(
        (fact.seen.problem, fact.seen.fix) for fact in facts if fact.seen is not None and fact.seen.problem
    )
    return {
        "rows": rows,
        "kinds": {kind: sum(row.kind == kind for row in rows) for kind in _ORDER},
        "waiting": sum(len(row.tasks) for row in rows),
        "alarms": sum(_verdict(row.seen) == "alarm" for row in rows if row.kind != "retired"),
        "total": total,
        "problems": list(problems),
        "begins": begins,
        "begins_with": partition_status.first_command(begins.seen.use_case) if begins and begins.seen else "",
        "named": _NAMED,
        "many": overview.MAX_OVERDUE,
        "months": terminal.MONTHS,
    }


def _begins(facts: Sequence[Fact]) -> Fact | None:
    """The use case to start with, where none has run; None: one has run, or that is not known."""
    fresh = [fact for fact in facts if fact.seen is not None and not fact.seen.problem and not fact.retired]
    return fresh[0] if fresh and not any(fact.seen and fact.seen.status.partitions for fact in fresh) else None


def _row(fact: Fact) -> FleetRow:
    tasks = tuple(_tasks(fact))
    seen = fact.seen
    verdict = _verdict(seen)
    kind: Kind = "action" if tasks else verdict if verdict in ("alarm", "warning", "healthy") else "new"  # type: ignore[assignment]
    kind = "retired" if fact.retired else kind
    nexts = [one.next for one in fact.pipelines.values() if one.next and one.known and not one.paused]
    fresh = seen is not None and not seen.problem and not seen.status.partitions
    return FleetRow(
        fact.name,
        kind,
        tasks,
        seen,
        fact.broken,
        chart=_chart(seen) if seen else None,
        next=min(nexts, default=None),
        otherwise="" if nexts else _without_clock(fact),
        running=tuple(one for one in fact.pipelines.values() if one.active),
        first_step=partition_status.first_command(seen.use_case) if seen and fresh and not fact.retired else "",
    )


def _verdict(seen: Overview | None) -> str:
    """The last verdict; an alarm that is closed is something to look at, and nothing to act on: a warning."""
    latest = seen.latest_verdict if seen is not None else None
    if latest is None:
        return ""
    return "warning" if latest.alarm is not None and not latest.alarm.is_open else latest.verdict


def _without_clock(fact: Fact) -> str:
    """Why the schedule starts nothing."""
    if fact.retired:
        return fact.retired
    features = fact.pipelines.get(FEATURES)
    if features is None or not features.known:
        return ""
    if features.paused:
        return "paused"
    over = fact.seen is not None and fact.seen.latest_batch is not None and fact.seen.latest_batch.overdue is None
    return "none: all partitions are loaded" if over else "by hand"


def _tasks(fact: Fact) -> list[Task]:
    """What needs a person's action, the most serious first; of a retired use case nothing does."""
    if fact.retired:
        return []
    page = f"use_cases/{fact.name}"
    tasks = [
        Task("approve or reject a promotion", page=f"{page}/actions/answer?run={quote(one.run.id, safe='')}")
        for one in fact.approvals
    ]
    if fact.broken:
        tasks.append(Task("its declaration cannot be read", grave=True))
    tasks += [_failed(one, page) for one in fact.pipelines.values() if one.failed and one.known]
    if fact.seen is not None:
        pending = [(one.partition, one.waiting) for one in fact.seen.status.partitions if one.waiting]
        if pending:
            many = sum(waiting for _, waiting in pending)
            text = f"review {many:,} quarantined {'row or batch' if many == 1 else 'rows and batches'}"
            if len(pending) == 1:
                tasks.append(Task(text, page=f"{page}/partitions/{pending[0][0]}/quarantine"))
            else:
                tasks.append(Task(f"{text} in {len(pending)} partitions", page=page))
        if fact.incidents:
            some = "an incident" if fact.incidents == 1 else f"{fact.incidents} incidents"
            tasks.append(Task(f"look at {some}", page=f"{page}#incidents"))
        if fact.seen.status.pause:
            tasks.append(Task("promotion is paused", page=f"{page}/actions/resume"))
    missing = [name for name in LOOP if name in fact.pipelines and not fact.pipelines[name].known]
    paused = [one for one in fact.pipelines.values() if one.known and one.paused]
    if missing and not fact.broken:
        tasks.append(Task(f"Airflow does not know {_listed(missing, fact.name)}", airflow="/", grave=True))
    if paused:
        where = paused[0].path if len(paused) == 1 else f"/dags?name_pattern={fact.name}."
        tasks.append(Task(f"unpause {_listed([one.name for one in paused], fact.name)}", airflow=where, grave=True))
    return tasks


def _failed(pipeline: Pipeline, page: str) -> Task:
    """A failed run is shown in Airflow; where there are several, the use case's page lists all of them."""
    first = pipeline.failed[0]
    if len(pipeline.failed) > 1:
        return Task(f"{pipeline.name} failed for {len(pipeline.failed)} partitions", page=page, grave=True)
    of = f" for {first.partition}" if first.partition else ""
    return Task(f"{pipeline.name} failed{of}", airflow=first.path, grave=True)


def _listed(pipelines: Sequence[str], name: str) -> str:
    return f"all DAGs of {name}" if len(pipelines) >= len(LOOP) else ", ".join(pipelines)


def _chart(seen: Overview) -> dict[str, Any] | None:
    """The gate's metric over partitions: of the version that scored each, and of the first model."""
    partitions = seen.status.partitions
    first = next((place for place, one in enumerate(partitions) if one.metric is not None), len(partitions))
    shown = partitions[first:]
    if len(shown) < 2:
        return None
    return {
        "x": [one.partition for one in shown],
        "series": [
            {"label": "first model", "colour": "--soft", "dashed": True}
            | {"values": [one.first_model_metric for one in shown]},
            {"label": "champion", "colour": "--text", "values": [one.metric for one in shown]}
            | {"colours": [timeline.colour(one.champion) if one.champion else "--soft" for one in shown]},
        ],
    }
