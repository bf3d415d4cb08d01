"""What the sources tell: what is wrong now, what is over and why, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from perennial.alerts.incidents import Reason, Severity, Subject
from perennial.settings import settings


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong now.

    Attributes:
        reason, subject, severity, title, meaning, action, link, evidence: As in `incidents.IncidentEvent`. An open
            incident is updated when severity, title, meaning or action are others than before; so none of them holds a
            number that is another one at every look.
        once: It is read from a record that stays, so it opens one incident at most, ever.
    """

    reason: Reason
    subject: str
    severity: Severity
    title: str
    meaning: str
    action: str
    link: str
    evidence: dict[str, Any] = field(default_factory=dict)
    once: bool = False

    @property
    def about(self) -> Subject:
        """What it is about."""
        return Subject(self.reason, self.subject)


@dataclass(frozen=True)
class Ending:
    """Why something is not wrong any more.

    Attributes:
        note: In one sentence.
        evidence: JSON-ready.
    """

    note: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What sources told about one use case, or about the installation.

    Attributes:
        findings: What is wrong now.
        endings: Why what was wrong is not any more.
        read: The reasons of which all is known: an open incident of another reason is not closed.
        undecided: What can be called neither wrong nor right now: it stays as it is.
        unread: Source -> why it could not be read.
    """

    findings: tuple[Finding, ...] = ()
    endings: Mapping[Subject, Ending] = field(default_factory=dict)
    read: frozenset[Reason] = frozenset()
    undecided: frozenset[Subject] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: Reading) -> Reading:
        return Reading(
            (*self.findings, *other.findings),
            {**self.endings, **other.endings},
            self.read | other.read,
            self.undecided | other.undecided,
            {**self.unread, **other.unread},
        )


def page(use_case: str, *below: str) -> str:
    """The address of a use case's page in Airflow, or of one below it.

    Args:
        use_case: Its name; empty: the page of all use cases.
        below: Parts of the address after that page's.
    """
    parts = ["use_cases", use_case, *below] if use_case else []
    return "/".join([f"{settings().airflow_public_uri.rstrip('/')}/perennial", *(quote(each) for each in parts)])
