"""Champion and challenger side by side, as the gate saw them: each rule with its number, and the metrics of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.gate.decision import CHALLENGER, CHAMPION, GateDecision, from_evidence
from perennial.registry.ledger import DECISIONS, Entry
from perennial.use_case import UseCase
from perennial.use_case.metric_names import WITHOUT_DIRECTION, gain


@dataclass(frozen=True)
class ComparedMetric:
    """One metric of both on the same rows; `improvement` is positive if the challenger is better."""

    metric: str
    challenger: float | None
    reference: float | None

    @property
    def improvement(self) -> float | None:
        """By how much the challenger is better; None: one of the two was not measured, or none can be better."""
        if self.challenger is None or self.reference is None or self.metric in WITHOUT_DIRECTION:
            return None
        return gain(self.metric, self.challenger, self.reference)


@dataclass(frozen=True)
class Comparison:
    """The challenger that is pending review, or the one that was decided on last.

    Attributes:
        entry: The ledger's; None: it is pending review.
        metrics: The gate's metric first.
    """

    decision: GateDecision
    entry: Entry | None
    metrics: tuple[ComparedMetric, ...]

    @property
    def decided_at(self) -> datetime | None:
        """When it was decided on, processing time; None: it is pending review."""
        return self.entry.recorded_at if self.entry else None


def compare(use_case: UseCase, entries: Sequence[Entry], waiting: Mapping[str, Any] | None = None) -> Comparison | None:
    """The newest challenger beside the model that it was evaluated against; None: there is none yet.

    Args:
        use_case: Whose gate.
        entries: The ledger's, oldest first.
        waiting: The gate's decision that a person is asked about, as the task `refit` returned it.
    """
    decided = next((entry for entry in reversed(entries) if entry.action in DECISIONS), None)
    decision = from_evidence(waiting) if waiting else None
    entry = None if decision else decided
    decision = decision or (from_evidence(entry.evidence) if entry else None)
    if decision is None:
        return None
    mine, its = (decision.metrics.get(who, {}) for who in (CHALLENGER, CHAMPION))
    names = sorted({*mine, *its}, key=lambda name: (name != use_case.gate.metric, name))
    return Comparison(decision, entry, tuple(ComparedMetric(name, mine.get(name), its.get(name)) for name in names))
