"""What a check is, and what checks report: findings, and all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

State = Literal["passed", "warning", "failed", "not applicable"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Finding:
    """The result of one check of one thing.

    Attributes:
        name: What was checked.
        message: What was found, in one line.
        fix: How to fix it, in one line; empty where there is nothing to fix.
    """

    name: str
    state: State
    message: str
    fix: str = ""


def passed(name: str, message: str) -> Finding:
    """A finding that all is well.

    Args:
        name: What was checked.
        message: What was found.
    """
    return Finding(name, "passed", message)


def warning(name: str, message: str, fix: str) -> Finding:
    """A finding that something may go wrong.

    Args:
        name: What was checked.
        message: What was found.
        fix: How to fix it.
    """
    return Finding(name, "warning", message, fix)


def failed(name: str, message: str, fix: str) -> Finding:
    """A finding that something is wrong.

    Args:
        name: What was checked.
        message: What was found.
        fix: How to fix it.
    """
    return Finding(name, "failed", message, fix)


def not_applicable(name: str, message: str, fix: str = "") -> Finding:
    """A finding that there is nothing to check yet, or here.

    Args:
        name: What was to be checked.
        message: Why it was not.
        fix: What to do if it should be there.
    """
    return Finding(name, "not applicable", message, fix)


@dataclass(frozen=True)
class Check:
    """A check of one subject; `run` may take long, or raise: `perennial.doctor.examine` handles both."""

    subject: str
    name: str
    run: Callable[[], Iterable[Finding]]


@dataclass(frozen=True)
class Examination:
    """All findings by subject, in the order in which the checks are listed."""

    findings: dict[str, list[Finding]]
    seconds: float

    def count(self, state: State) -> int:
        """How many findings are in this state."""
        return sum(finding.state == state for findings in self.findings.values() for finding in findings)

    @property
    def healthy(self) -> bool:
        """Whether nothing failed; warnings do not count."""
        return not self.count("failed")

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, as `perennial doctor --json` prints it."""
        return {
            "healthy": self.healthy,
            "seconds": round(self.seconds, 1),
            "findings": [
                {
                    "subject": subject,
                    "name": finding.name,
                    "state": finding.state,
                    "said": finding.message,
                    "mend": finding.fix,
                }
                for subject, findings in self.findings.items()
                for finding in findings
            ],
        }
