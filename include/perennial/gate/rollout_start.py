"""Begins a rollout: a challenger that has passed the gate is tried on live requests before it replaces the champion."""

from __future__ import annotations

import logging

from perennial.gate.decision import INCONCLUSIVE, GateDecision
from perennial.registry import ledger, rollouts, tracking
from perennial.registry.ledger import Entry
from perennial.registry.rollouts import Stage
from perennial.use_case import UseCase

log = logging.getLogger(__name__)


def may_begin(use_case: UseCase, decision: GateDecision) -> bool:
    """Whether a challenger that the gate does not promote by itself may still be tried on live requests.

    Args:
        use_case: Its policy has to say so.
        decision: The gate's; there has to be a champion, and nothing may speak against the challenger.
    """
    policy = use_case.rollout
    is_open = decision.outcome == INCONCLUSIVE and decision.champion is not None
    return policy is not None and policy.after != "holdout" and is_open


def begin(use_case: UseCase, decision: GateDecision, actor: str) -> Entry:
    """Record that the first stage begins; the caller holds the lock of promotions.

    Args:
        use_case: It declares a rollout.
        decision: The gate's, about a challenger that was compared with the champion.
        actor: The gate, or the person who approved.
    """
    assert use_case.rollout is not None, "only who declares one begins one"  # noqa: S101
    first = next(rollouts.stages(use_case.rollout))
    entry = record_stage(use_case, decision, first, 0, actor, f"{decision.reason}; {first.name} begins", None, [])
    log.info("%s: %s", use_case.name, entry.reason)
    return entry


def record_stage(
    use_case: UseCase,
    decision: GateDecision,
    stage: Stage,
    number: int,
    actor: str,
    reason: str,
    made_by: str | None,
    ended: list[dict[str, object]],
) -> Entry:
    """Record that a stage begins; the caller holds the lock of promotions.

    Args:
        use_case: Whose ledger.
        decision: The gate's, with which the rollout began.
        stage: The stage.
        number: How many stages came before it.
        actor: The gate, or a person.
        reason: Why, in one sentence.
        made_by: The DAG run that does it; None: training.
        ended: The rules by which the stage before it ended.
    """
    return ledger.record(
        use_case,
        event_id=f"rollout:{decision.challenger}:{number}",
        partition=decision.partition,
        action=ledger.ROLLOUT,
        model_version=decision.challenger,
        previous_version=decision.champion,
        model_run=tracking.run_of(use_case, decision.challenger),
        effective_from=decision.effective_from,
        actor=actor,
        reason=reason,
        evidence={
            rollouts.DECISION: decision.model_dump(mode="json"),
            rollouts.STAGE: stage.as_json(),
            rollouts.ENDED: ended,
            rollouts.MADE_BY: made_by,
        },
    )
