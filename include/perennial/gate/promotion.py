"""Carries a gate's decision out: asks for approval where needed, writes the ledger's row and moves the alias.

Where the use case declares a rollout, a challenger that has passed is tried on live requests before it is promoted.
"""

from __future__ import annotations

from perennial.errors import PerennialError
from perennial.gate import model_card, rollout_start
from perennial.gate.decision import GateDecision, in_words
from perennial.registry import deployments, ledger, rollouts, tracking
from perennial.registry.ledger import GATE
from perennial.services import postgres
from perennial.use_case import Approval, UseCase


def needs_approval(use_case: UseCase, decision: GateDecision, requested: Approval | None = None) -> bool:
    """Whether a person is to decide.

    Args:
        use_case: Whose policy applies.
        decision: The gate's.
        requested: The run's own policy; None: the use case's. While automatic promotion is paused, no policy lets a
            promotion through without a person.
    """
    policy = requested or use_case.gate.approval
    if decision.borderline and policy in ("always", "borderline"):
        return True
    if decision.promote or rollout_start.may_begin(use_case, decision):
        return policy == "always" or ledger.pause(use_case) is not None
    return False


def may_be_promoted(use_case: UseCase, decision: GateDecision, requested: Approval | None = None) -> bool:
    """Whether the challenger may come to serve: by itself, after a rollout, or because a person approves.

    Args:
        use_case: Whose policies apply.
        decision: The gate's.
        requested: As in `needs_approval`.
    """
    if decision.promote or rollout_start.may_begin(use_case, decision):
        return True
    return needs_approval(use_case, decision, requested)


def approval_question(use_case: UseCase, decision: GateDecision) -> str:
    """What the person who is asked reads, as Markdown: the evidence, and why they are asked.

    Args:
        use_case: Whose champion it would be.
        decision: The gate's.
    """
    pause = ledger.pause(use_case)
    why = []
    if pause is not None:
        why.append(f"You are asked because of a pause: {deployments.pause_text(pause)}.")
    if decision.borderline:
        why.append("The gate alone would not promote this challenger: its improvement may be chance.")
    if use_case.rollout is not None and decision.champion is not None:
        why.append("If you approve, it is tried on live requests first; how that ends is decided by the rules.")
    return "\n\n".join([decision.markdown(), *why])


def finalize(
    use_case: UseCase, decision: GateDecision, approved: bool = True, actor: str = GATE, why: str = ""
) -> GateDecision:
    """Carry a decision out: the ledger's row, and on a promotion the alias, in one step each.

    Where the use case declares a rollout and there is a champion, the first stage of a rollout begins instead.

    A version is decided on once: run again, also with another decision, the first one counts. The ledger is written
    first: it is what scoring reads, and the alias follows it. A promoted version predicts, in event time, from the
    first partition on that it has not seen and nobody has scored.

    Args:
        use_case: Whose champion.
        decision: The gate's.
        approved: False where a person was asked and rejected it.
        actor: Who decided: the gate, or that person. A person's approval promotes a borderline challenger too.
        why: The reason that the person gave; it is kept with the gate's in the ledger.

    Returns:
        The decision as it was carried out; a challenger whose rollout begins is not promoted yet.

    Raises:
        PerennialError: the champion is no longer the one that the challenger was compared with; automatic promotion
            is paused and no person was asked; or the gate has rejected what the person approved.
    """
    if actor != GATE or not approved:
        _check_can_be_approved(use_case, decision, approved)
        decision = decision.with_approval(approved, actor, why)
    with postgres.advisory_lock("promotion", use_case.name):
        earlier = final_decision(use_case, decision.challenger)
        if earlier is not None:
            decision = earlier
        elif _is_to_be_tried(use_case, decision, actor):
            decision = _try_on_live_requests(use_case, decision, actor)
        else:
            decision = _decide(use_case, decision, actor)
        tracking.follow_ledger(use_case)
    for version in filter(None, (decision.challenger, decision.evaluated)):
        model_card.attach(use_case, version)
    return decision


def _decide(use_case: UseCase, decision: GateDecision, actor: str) -> GateDecision:
    """Record a promotion or a rejection."""
    if decision.promote:
        _check_same_champion(use_case, decision)
        _check_not_paused(use_case, decision, actor)
        start = max(decision.effective_from, ledger.unscored_from(use_case))
        decision = decision.model_copy(update={"effective_from": start})
    ledger.record(
        use_case,
        partition=decision.partition,
        action=ledger.PROMOTED if decision.promote else ledger.REJECTED,
        model_version=decision.challenger,
        previous_version=decision.champion,
        model_run=tracking.run_of(use_case, decision.challenger),
        effective_from=decision.effective_from,
        actor=actor,
        reason=decision.reason,
        evidence=decision.model_dump(mode="json"),
    )
    return decision


def _is_to_be_tried(use_case: UseCase, decision: GateDecision, actor: str) -> bool:
    """Whether a challenger is tried on live requests: one that was approved, or that needs no person."""
    if use_case.rollout is None or decision.champion is None:
        return False
    return decision.promote or (actor == GATE and rollout_start.may_begin(use_case, decision))


def _try_on_live_requests(use_case: UseCase, decision: GateDecision, actor: str) -> GateDecision:
    """Begin the challenger's rollout; while another one is under way, reject the challenger."""
    entries = ledger.entries(use_case)
    begun = rollouts.of_version(entries, decision.challenger)
    if not begun:
        _check_same_champion(use_case, decision)
        _check_not_paused(use_case, decision, actor)
        other = rollouts.under_way(use_case, entries)
        if other is not None and not other.is_by_hand:  # What a person only looks at makes room.
            why = f"{decision.reason}; not tried, because the rollout of v{other.version} is under way"
            return _decide(use_case, decision.model_copy(update={"promote": False, "reason": why}), actor)
        begun = [rollout_start.begin(use_case, decision, actor)]
    return decision.model_copy(update={"promote": False, "reason": begun[-1].reason})


def final_decision(use_case: UseCase, challenger: int) -> GateDecision | None:
    """The decision on a version as it was carried out; None before that.

    Args:
        use_case: Whose ledger.
        challenger: The version.
    """
    entry = ledger.decision_on(ledger.entries(use_case), challenger)
    return GateDecision(**entry.evidence) if entry is not None else None


def _check_can_be_approved(use_case: UseCase, decision: GateDecision, approved: bool) -> None:
    if approved and not (decision.promote or decision.borderline or rollout_start.may_begin(use_case, decision)):
        raise PerennialError(
            f"Use case {use_case.name!r}: v{decision.challenger} cannot be approved; the gate decided"
            f" {in_words(decision.outcome)}: {decision.reason}.",
            "A person may promote what the gate would promote or calls borderline. Retrain, or change the gate in"
            f" include/use_cases/{use_case.name}/use_case.py.",
        )


def _check_same_champion(use_case: UseCase, decision: GateDecision) -> None:
    champion = ledger.champion(use_case)
    if (champion.model_version if champion else None) != decision.champion:
        raise PerennialError(
            f"Use case {use_case.name!r}: v{decision.challenger} was compared with"
            f" {f'v{decision.champion}' if decision.champion else 'the baseline model'}, but the champion is now"
            f" {f'v{champion.model_version}' if champion else 'none'}.",
            "Clear the task `evaluate` of this run: it then compares with the current champion.",
        )


def _check_not_paused(use_case: UseCase, decision: GateDecision, actor: str) -> None:
    pause = ledger.pause(use_case) if actor == GATE else None
    if pause is not None:
        raise PerennialError(
            f"Use case {use_case.name!r}: v{decision.challenger} is not promoted, because {pause.by} paused automatic"
            f" promotion after the gate had decided: {pause.reason}.",
            "Clear the task `needs_approval` of this run: a person is then asked.",
        )
