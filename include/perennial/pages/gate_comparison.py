"""Champion and challenger side by side, as the gate saw them: each rule with its number, and the metrics of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from perennial.gate.decision import GateDecision
from perennial.registry.ledger import DECISIONS, Entry
from perennial.use_case import UseCase, gain


@dataclass(frozen=True)
class Compared:
    """One metric of both on the same rows; `gained`, where both have it, is positive if the challenger is better."""

    metric: str
    challenger: float | None
    rival: float | None

    @property
    def gained(self) -> float | None:
        if self.challenger is None or self.rival is None:
            return None
        return gain(self.metric, self.challenger, self.rival)


@dataclass(frozen=True)
class Comparison:
    """A challenger that waits for a person, or the one that was decided on last.

    Attributes:
        entry: The ledger's; None: it waits.
        compared: The gate's metric first.
    """

    decision: GateDecision
    entry: Entry | None
    compared: tuple[Compared, ...]

    @property
    def decided_at(self) -> datetime | None:
        return self.entry.recorded_at if self.entry else None


def comparison(
    use_case: UseCase, entries: Sequence[Entry], waiting: Mapping[str, Any] | None = None
) -> Comparison | None:
    """The newest challenger beside what it was judged against; None: none was judged yet.

    Args:
        entries: The ledger's, oldest first.
        waiting: The gate's decision that a person is asked about, as the task `evaluate` returned it.
    """
    decided = next((entry for entry in reversed(entries) if entry.action in DECISIONS), None)
    found = _decision(waiting) if waiting else None
    entry = None if found else decided
    found = found or (_decision(entry.evidence) if entry else None)
    if found is None:
        return None
    mine, its = (found.metrics.get(who, {}) for who in ("challenger", "rival"))
    names = sorted({*mine, *its}, key=lambda name: (name != use_case.gate.metric, name))
    return Comparison(found, entry, tuple(Compared(name, mine.get(name), its.get(name)) for name in names))


def _decision(evidence: Mapping[str, Any]) -> GateDecision | None:
    """The decision that was kept; None where another release of the library wrote it in a form that this one cannot
    read: the ledger's row still says it in a sentence."""
    try:
        return GateDecision(**evidence)
    except (ValidationError, TypeError):
        return None
