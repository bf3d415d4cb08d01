"""Carries a rollout on or ends it: the next stage begins, or the challenger is promoted or rejected.

A person may also put a version in shadow here, and end that: see `perennial.gate.shadow`.

The ledger is written first, under the lock that promotions hold; servers and the alias follow it. Killed anywhere and
run again, each step is made once.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import mlflow

from perennial.errors import InvalidParams
from perennial.gate import model_card, rollout_evidence, rollout_report, rollout_rules, rollout_start, shadow
from perennial.gate.decision import PROMOTE, REJECT, GateDecision, Outcome, from_evidence
from perennial.gate.promotion import GATE
from perennial.gate.rollout_request import RolloutRequest
from perennial.gate.rollout_rules import Assessment
from perennial.gate.rollout_step import RolloutStep
from perennial.registry import ledger, mlflow_artifacts, rollouts, tracking
from perennial.registry.ledger import Entry
from perennial.registry.rollouts import RolloutState, Stage
from perennial.services import postgres
from perennial.use_case import Rollout, UseCase

log = logging.getLogger(__name__)


def advance(use_case: UseCase, request: RolloutRequest, *, made_by: str, actor: str = GATE) -> RolloutStep:
    """Do with the rollout under way what the rules say, or what a person wants; or put a version in shadow.

    Args:
        use_case: Whose.
        request: What to do.
        made_by: Id of the Airflow run: one run makes one step, however often this runs.
        actor: The person who asked for it; of `check` the gate acts.

    Raises:
        InvalidParams: a person wants to advance or abort, and no rollout is under way; or see `shadow.begin`.
        ServiceUnavailable: the lake or MLflow does not answer.
    """
    if request.action == "begin":
        return shadow.begin(use_case, request, made_by=made_by, actor=actor)
    entries = ledger.entries(use_case)
    made = _made_by(entries, made_by)
    # Not by a run that has ended a rollout, and runs again: somebody may have put another version in shadow since.
    if made is None and request.action == "abort":
        ended = shadow.end(use_case, request, made_by=made_by, actor=actor)
        if ended is not None:
            return ended
    state = rollouts.undecided(entries)
    if made is None and (state is None or use_case.rollout is None):
        looked_at = rollouts.by_hand(entries, datetime.now(UTC))
        if request.action != "check":
            raise InvalidParams(
                f"Use case {use_case.name!r}: no rollout is under way, there is nothing to {request.action}.",
                f"{shadow.described(looked_at)}; it has no next stage. To end it: abort."
                if looked_at is not None
                else f"See `perennial status {use_case.name}`.",
            )
        return shadow.under_way(looked_at) if looked_at is not None else RolloutStep()
    if made is None and state is not None and use_case.rollout is not None:
        assessment = _requested(use_case.rollout, state, request) or _by_rules(use_case, use_case.rollout, state)
        if assessment.step == "wait":
            return RolloutStep(model_version=state.version, stage=state.stage.name, reason=assessment.reason)
        who = GATE if request.action == "check" else actor
        with postgres.advisory_lock("promotion", use_case.name):
            if ledger.entries(use_case)[-1].event_id == entries[-1].event_id:
                made = _carry_out(use_case, state, assessment, who, made_by)
        if made is None:  # Somebody else acted meanwhile.
            return advance(use_case, request, made_by=made_by, actor=actor)
    assert made is not None  # noqa: S101
    _follow(use_case, made.model_version)
    log.info("%s: %s", use_case.name, made.reason)
    stage = Stage.of(made.evidence[rollouts.STAGE]).name if made.action == ledger.ROLLOUT else None
    is_promoted = made.action == ledger.PROMOTED
    version = made.model_version
    return RolloutStep(model_version=version, stage=stage, promoted=is_promoted, changed=True, reason=made.reason)


def _by_rules(use_case: UseCase, policy: Rollout, state: RolloutState) -> Assessment:
    if state.superseded_by is not None:
        newer = state.superseded_by
        why = f"v{state.version} was compared with v{state.champion}, but v{newer.model_version} serves since"
        return Assessment("end", why, REJECT)
    evidence, now = rollout_evidence.read(use_case, state), datetime.now(UTC)
    assessment = rollout_rules.assess(use_case, policy, state, evidence, now)
    report = rollout_report.make(use_case, state, evidence, assessment, now)
    with tracking.reachable(), mlflow.start_run(run_id=state.entry.model_run):
        mlflow.log_dict(report.model_dump(mode="json"), mlflow_artifacts.ROLLOUT)
    return assessment


def _requested(policy: Rollout, state: RolloutState, request: RolloutRequest) -> Assessment | None:
    """What a person wants; None: that the rules decide."""
    if request.action == "check" or state.superseded_by is not None:
        return None
    name = f"v{state.version} in stage {state.stage.name}"
    if request.action == "abort":
        return Assessment("end", f"{name}: aborted: {request.reason.strip()}", REJECT)
    following = rollouts.following(policy, state.stage.share)
    if following is None:
        return Assessment("end", f"{name}: promoted by a person: {request.reason.strip()}", PROMOTE)
    return Assessment("next", f"{name}: {following.name} begins: {request.reason.strip()}", next_stage=following)


def _carry_out(use_case: UseCase, state: RolloutState, assessment: Assessment, actor: str, made_by: str) -> Entry:
    """Record the step; the caller holds the lock of promotions."""
    decision = GateDecision(**state.decision)
    if assessment.next_stage is not None:
        rules = [rule.model_dump(mode="json") for rule in assessment.all_rules]
        stage, number = assessment.next_stage, state.number + 1
        return rollout_start.record_stage(use_case, decision, stage, number, actor, assessment.reason, made_by, rules)
    final = _final(decision, assessment, made_by)
    if final.promote:
        start = max(final.effective_from, ledger.unscored_from(use_case))
        final = final.model_copy(update={"effective_from": start})
    return ledger.record(
        use_case,
        partition=final.partition,
        action=ledger.PROMOTED if final.promote else ledger.REJECTED,
        model_version=final.challenger,
        previous_version=final.champion,
        model_run=state.entry.model_run,
        effective_from=final.effective_from,
        actor=actor,
        reason=final.reason,
        evidence=final.model_dump(mode="json"),
    )


def _final(decision: GateDecision, assessment: Assessment, made_by: str) -> GateDecision:
    """The gate's decision with what live requests told.

    Its own numbers stay where it promotes. Where holdout and live requests decide together, the improvement is that of
    both, and all else stays the holdout's: what is in the ledger is then what was decided by.
    """
    outcome: Outcome = assessment.outcome or REJECT
    changes: dict[str, Any] = {
        "promote": outcome == PROMOTE,
        "outcome": outcome,
        "borderline": False,
        "reason": assessment.reason,
        "rules": [*decision.rules, *assessment.all_rules],
        "made_by": made_by,
    }
    results, together = assessment.results, assessment.with_holdout
    if together is not None:
        changes |= {"improvement": together.estimate, "interval": (together.low, together.high)}
    elif results is not None and results.improvement is not None and decision.outcome != PROMOTE:
        gained = results.improvement
        changes |= {"improvement": gained.estimate, "interval": (gained.low, gained.high), "metrics": results.metrics}
        changes |= {"rows": int(results.sufficiency[0].value), "slices": results.slices}
    return decision.model_copy(update=changes)


def _made_by(entries: list[Entry], run: str) -> Entry | None:
    """The entry that an earlier attempt of this run made."""
    for entry in reversed(entries):
        if entry.action == ledger.ROLLOUT and entry.evidence.get(rollouts.MADE_BY) == run:
            return entry
        decision = from_evidence(entry.evidence) if entry.action in ledger.DECISIONS else None
        if decision is not None and decision.made_by == run:
            return entry
    return None


def _follow(use_case: UseCase, version: int) -> None:
    """Let the alias and the model card follow the ledger."""
    tracking.follow_ledger(use_case)
    model_card.attach(use_case, version)
