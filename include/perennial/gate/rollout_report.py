"""What is known of a rollout so far, for people: logged to the challenger's MLflow run at each look."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from perennial.gate.decision import Rule
from perennial.use_case.declarations import Declaration

if TYPE_CHECKING:
    from perennial.gate.rollout_evidence import LiveEvidence
    from perennial.gate.rollout_rules import Assessment
    from perennial.registry.rollouts import RolloutState
    from perennial.use_case import UseCase


class RolloutReport(Declaration):
    """What was known of a rollout at its newest look.

    Attributes:
        at: When, processing time.
        stage: The stage that was under way.
        champion: The version that the challenger is tried beside.
        labelled, unlabelled: Requests that both predicted, by whether their label is known.
        predicted, failed: The challenger's predictions in the stage that count for its end, and those that failed.
        metrics: Of `challenger` and `rival` on the labelled requests; empty: too few, or all labels are alike.
        rules: The rules that decided, if any did.
        reason: What followed, in a sentence.
    """

    at: datetime
    stage: str
    champion: int
    labelled: int
    unlabelled: int
    predicted: int
    failed: int
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    reason: str


def make(
    use_case: UseCase, state: RolloutState, evidence: LiveEvidence, assessment: Assessment, now: datetime
) -> RolloutReport:
    """The report on a look.

    Args:
        use_case: Whose metrics are measured.
        state: The rollout.
        evidence: What was known of it.
        assessment: What followed.
        now: Processing time.
    """
    from perennial.gate.rollout_rules import pair_of

    pair, _ = pair_of(use_case, evidence)
    return RolloutReport(
        at=now,
        stage=state.stage.name,
        champion=state.champion,
        labelled=len(evidence.pairs),
        unlabelled=evidence.unlabelled,
        predicted=evidence.predicted,
        failed=evidence.errors,
        metrics=pair.metrics() if pair.rows and pair.varies else {},
        rules=tuple(assessment.all_rules),
        reason=assessment.reason,
    )


def from_document(document: Mapping[str, Any] | None) -> RolloutReport | None:
    """The report that MLflow keeps; None where there is none, or it is of an unknown form.

    Args:
        document: As it was logged.
    """
    try:
        return RolloutReport(**document) if document else None
    except (ValidationError, TypeError):
        return None
