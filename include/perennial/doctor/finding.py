"""What a check found, and what a check is. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

State = Literal["passed", "warning", "failed", "not applicable"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        said: What was found, in one line.
        mend: How to mend it, in one line; empty where there is nothing to mend.
    """

    name: str
    state: State
    said: str
    mend: str = ""


def passed(name: str, said: str) -> Finding:
    return Finding(name, "passed", said)


def warning(name: str, said: str, mend: str) -> Finding:
    return Finding(name, "warning", said, mend)


def failed(name: str, said: str, mend: str) -> Finding:
    return Finding(name, "failed", said, mend)


def not_applicable(name: str, said: str, mend: str = "") -> Finding:
    return Finding(name, "not applicable", said, mend)


@dataclass(frozen=True)
class Check:
    """A question about one subject. `ask` may take its time, and may fail: `perennial.doctor.examine` sees to that."""

    subject: str
    name: str
    ask: Callable[[], Iterable[Finding]]


@dataclass(frozen=True)
class Examination:
    """All findings by subject, in the order in which the checks are listed."""

    findings: dict[str, list[Finding]]
    seconds: float

    def count(self, state: State) -> int:
        return sum(finding.state == state for found in self.findings.values() for finding in found)

    @property
    def healthy(self) -> bool:
        """Whether nothing failed; warnings do not count."""
        return not self.count("failed")

    def as_json(self) -> dict[str, Any]:
        return {
            "healthy": self.healthy,
            "seconds": round(self.seconds, 1),
            "findings": [
                {"subject": subject, **asdict(finding)} for subject, found in self.findings.items() for finding in found
            ],
        }
