"""Carrying a decision out: whether a person is asked, what they read, and the one row and one step that it ends in."""

from __future__ import annotations

from perennial.errors import PerennialError
from perennial.gate import model_card
from perennial.gate.decision import GateDecision
from perennial.registry import deployments, ledger, tracking
from perennial.services import postgres
from perennial.use_case import Approval, UseCase

#: The actor of decisions that no person was asked about.
GATE = "gate"


def needs_approval(use_case: UseCase, decision: GateDecision, wanted: Approval | None = None) -> bool:
    """Whether a person is to decide.

    Args:
        wanted: The run's own policy; None: the use case's. While automatic promotion is paused, no policy lets a
            promotion through without a person.
    """
    policy = wanted or use_case.gate.approval
    if decision.promote:
        return policy == "always" or ledger.pause(use_case) is not None
    return decision.borderline and policy in ("always", "borderline")


def approval_question(use_case: UseCase, decision: GateDecision) -> str:
    """What the person who is asked reads: the evidence, and why they are asked. Markdown."""
    pause = ledger.pause(use_case)
    why = []
    if pause is not None:
        why.append(f"You are asked because of a pause: {deployments.pause_text(pause)}.")
    if decision.borderline:
        why.append("The gate by itself would not promote this challenger: its gain may be luck.")
    return "\n\n".join([decision.markdown(), *why])


def finalize(
    use_case: UseCase, decision: GateDecision, approved: bool = True, actor: str = GATE, why: str = ""
) -> GateDecision:
    """Carry a decision out: the ledger's row, and on a promotion the alias, in one step each.

    A version is decided on once: run again, also with another decision, the first one stands. The ledger is written
    first: it is what scoring asks, and the alias follows it. A deployment begins, in event time, with the first
    partition that the version has not seen and nobody has scored.

    Args:
        approved: False where a person was asked and said no.
        actor: Who decided: the gate, or that person. A person's yes promotes a borderline challenger too.
        why: What that person gave as the reason; it is kept with the gate's in the ledger.

    Returns:
        The decision as it was carried out.

    Raises:
        PerennialError: the champion is no longer the one that the challenger was judged against; automatic promotion
            is paused and no person was asked; or the gate has rejected what the person approved.
    """
    if actor != GATE or not approved:
        _insist_on_a_choice(use_case, decision, approved)
        decision = decision.answered(approved, actor, why)
    with postgres.advisory_lock("promotion", use_case.name):
        earlier = final_decision(use_case, decision.challenger)
        if earlier is not None:
            decision = earlier
        else:
            if decision.promote:
                _insist_on_the_same_rival(use_case, decision)
                _insist_on_no_pause(use_case, decision, actor)
                start = max(decision.effective_from, ledger.unscored_from(use_case))
                decision = decision.model_copy(update={"effective_from": start})
            ledger.record(
                use_case,
                partition=decision.partition,
                action="promoted" if decision.promote else "rejected",
                model_version=decision.challenger,
                previous_version=decision.champion,
                model_run=tracking.run_of(use_case, decision.challenger),
                effective_from=decision.effective_from,
                actor=actor,
                reason=decision.reason,
                evidence=decision.model_dump(mode="json"),
            )
        champion = ledger.champion(use_case)
        if champion is not None:
            tracking.promote(use_case, champion.model_version)
    model_card.attach(use_case, decision.challenger)
    return decision


def final_decision(use_case: UseCase, challenger: int) -> GateDecision | None:
    """The decision on a version as it was carried out; None before that."""
    entries = (entry for entry in ledger.decisions(use_case) if entry.model_version == challenger)
    return next((GateDecision(**entry.evidence) for entry in entries), None)


def _insist_on_a_choice(use_case: UseCase, decision: GateDecision, approved: bool) -> None:
    if approved and not (decision.promote or decision.borderline):
        raise PerennialError(
            f"Use case {use_case.name!r}: v{decision.challenger} cannot be approved; the gate says"
            f" {decision.outcome}: {decision.reason}.",
            "A person may promote what the gate would promote or finds borderline. Retrain, or change the gate in"
            f" include/use_cases/{use_case.name}/use_case.py.",
        )


def _insist_on_the_same_rival(use_case: UseCase, decision: GateDecision) -> None:
    holding = ledger.champion(use_case)
    if (holding.model_version if holding else None) != decision.champion:
        raise PerennialError(
            f"Use case {use_case.name!r}: v{decision.challenger} was judged against"
            f" {f'v{decision.champion}' if decision.champion else 'no champion'}, but the champion is now"
            f" {f'v{holding.model_version}' if holding else 'none'}.",
            "Clear the task `evaluate` of this run: it is then judged against the present champion.",
        )


def _insist_on_no_pause(use_case: UseCase, decision: GateDecision, actor: str) -> None:
    pause = ledger.pause(use_case) if actor == GATE else None
    if pause is not None:
        raise PerennialError(
            f"Use case {use_case.name!r}: v{decision.challenger} is not promoted, because {pause.by} paused automatic"
            f" promotion after the gate had decided: {pause.reason}.",
            "Clear the task `needs_approval` of this run: a person is then asked.",
        )
