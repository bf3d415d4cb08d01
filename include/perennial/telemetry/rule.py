"""One alerting rule, and the PromQL that rules are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from perennial.telemetry import catalogue as known
from perennial.telemetry.catalogue import Metric

Severity = Literal["critical", "warning"]
_OWNER = f"max by (use_case, owner) ({known.INFO.name})"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        alert: The alert's name.
        condition: PromQL: the series that it returns are alerts.
        lasting: For how long that must hold, as Prometheus writes it.
        severity: None: each series has its own.
        summary: A line, with Prometheus' templates.
        action: What to do.
        use_case: The only one that it is about; None: it is about all.
    """

    alert: str
    condition: str
    lasting: str
    severity: Severity | None
    summary: str
    action: str
    use_case: str | None = None

    def as_yaml(self, pages: str) -> dict[str, Any]:
        """The rule as Prometheus reads it.

        Args:
            pages: The address of Perennial's first page.
        """
        page = "use_cases/{{ $labels.use_case }}" if "$labels.use_case" in self.summary else ""
        labels = {"severity": self.severity, "use_case": self.use_case}
        return {
            "alert": self.alert,
            "expr": self.condition,
            "for": self.lasting,
            "labels": {name: value for name, value in labels.items() if value is not None},
            "annotations": {"summary": self.summary, "action": self.action, "page": f"{pages}/{page}"},
        }


def highest(metric: Metric, *labels: str, only: str = "") -> str:
    """PromQL: the highest value of all API servers, by use case and further labels.

    Args:
        metric: Which.
        labels: Which further ones.
        only: Of which series.
    """
    return f"max by ({', '.join(('use_case', *labels))}) ({metric.name}{f'{{{only}}}' if only else ''})"


def owned(condition: str) -> str:
    """PromQL: the series of a condition, with their use case's owner as a label."""
    return f"({condition}) * on (use_case) group_left (owner) {_OWNER}"
