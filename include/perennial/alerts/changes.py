"""Which events follow when what is wrong now is compared with the open incidents.

Of one subject there is at most one open incident: it is opened when it is found, updated when it is found with other
facts, and closed when it is not found any more by a source that was read. The same findings again change nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from perennial.alerts.findings import Ending, Finding, Reading
from perennial.alerts.incidents import CLOSED, OPENED, UPDATED, Incident, IncidentEvent, Subject, incident_id

#: What is compared to tell whether an open incident is to be updated.
_FACTS = ("severity", "title", "meaning", "action")


def changes(
    use_case: str, owner: str, incidents: Sequence[Incident], reading: Reading, now: datetime
) -> list[IncidentEvent]:
    """The events to append.

    Args:
        use_case: Its name; empty: the installation.
        owner: The use case's.
        incidents: All of its incidents, open and closed.
        reading: What is wrong now; of several findings about one subject the first counts.
        now: Processing time, UTC.
    """
    found: dict[Subject, Finding] = {}
    for finding in reading.findings:
        found.setdefault(finding.about, finding)
    earlier = Counter(each.subject for each in incidents)
    still_open = {each.subject: each for each in incidents if each.is_open}
    events: list[IncidentEvent] = []
    for about, finding in found.items():
        if about in still_open:
            events += _updated(still_open[about], finding, owner, now)
        elif about not in reading.undecided and not (finding.once and earlier[about]):
            events.append(_opened(use_case, owner, finding, earlier[about], now))
    for about, incident in still_open.items():
        if about not in found and about.reason in reading.read and about not in reading.undecided:
            over = reading.endings.get(about, Ending("it is not found any more"))
            events.append(incident.next(CLOSED, now, note=over.note, evidence=over.evidence))
    return events


def _opened(use_case: str, owner: str, finding: Finding, number: int, now: datetime) -> IncidentEvent:
    return IncidentEvent(
        incident=incident_id(use_case, finding.about, number),
        use_case=use_case,
        reason=finding.reason,
        subject=finding.subject,
        event=OPENED,
        sequence=0,
        severity=finding.severity,
        title=finding.title,
        meaning=finding.meaning,
        action=finding.action,
        link=finding.link,
        evidence=finding.evidence,
        owner=owner,
        by="",
        note="",
        recorded_at=now,
    )


def _updated(incident: Incident, finding: Finding, owner: str, now: datetime) -> list[IncidentEvent]:
    if all(getattr(incident.latest, name) == getattr(finding, name) for name in _FACTS):
        return []
    facts = {name: getattr(finding, name) for name in (*_FACTS, "link", "evidence")}
    return [incident.next(UPDATED, now, owner=owner, **facts)]
