"""Puts a version in shadow because a person wants to look at it, and ends that.

It predicts beside the champion like the challenger of a rollout, but no rule looks at it and nothing is decided by it:
a version that the gate has rejected, or one that has served before, may be looked at again. Written under the lock that
promotions hold; killed anywhere and run again, each act is recorded once.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from perennial.errors import InvalidParams
from perennial.gate import rollback_plan, servable
from perennial.gate.rollout_request import RolloutRequest
from perennial.gate.rollout_step import RolloutStep
from perennial.registry import deployments, ledger, rollouts, tracking
from perennial.registry.ledger import Action, Entry
from perennial.registry.rollouts import RolloutState, Stage
from perennial.services import postgres
from perennial.use_case import UseCase

log = logging.getLogger(__name__)


def begin(use_case: UseCase, request: RolloutRequest, *, made_by: str, actor: str) -> RolloutStep:
    """Put a version in shadow; where it is there already, nothing changes.

    Args:
        use_case: Whose champion it is to be seen beside.
        request: Which version, and why.
        made_by: Id of the Airflow run: one run does it once.
        actor: The person who asked for it.

    Raises:
        InvalidParams: nothing serves yet, the version serves itself, none is named and none served before, or another
            one is tried.
        UnknownVersion: the registry has no such version.
        PerennialError: it cannot be loaded, or its features are no longer served.
    """
    event_id = f"shadow:{made_by}"
    with postgres.advisory_lock("promotion", use_case.name):
        entries = ledger.entries(use_case)
        is_new = all(entry.event_id != event_id for entry in entries)
        if is_new:
            serving = ledger.champion_among(entries)
            version = _chosen(use_case, entries, serving, request.version)
            state = rollouts.under_way(use_case, entries)
            if state is not None and state.is_by_hand and state.version == version:
                return under_way(state)
            _check_is_free(use_case, state)
            servable.check(use_case, version)
            longest = use_case.rollout.longest if use_case.rollout is not None else rollouts.LONGEST
            evidence = {rollouts.STAGE: Stage(0.0, longest).as_json(), rollouts.MADE_BY: made_by}
            _record(use_case, ledger.SHADOW, version, serving, request, actor, event_id, evidence)
        state = rollouts.by_hand(ledger.entries(use_case), datetime.now(UTC))
    if state is None:  # Run again after it was ended.
        return RolloutStep()
    step = under_way(state).model_copy(update={"changed": True})
    log.info("%s: %s", use_case.name, step.reason)
    return step


def end(use_case: UseCase, request: RolloutRequest, *, made_by: str, actor: str) -> RolloutStep | None:
    """End that a version is in shadow at a person's request; None: none is.

    Args:
        use_case: Whose.
        request: Why.
        made_by: Id of the Airflow run: one run does it once.
        actor: The person who asked for it.
    """
    event_id = f"shadow-ended:{made_by}"
    with postgres.advisory_lock("promotion", use_case.name):
        entries = ledger.entries(use_case)
        entry = next((each for each in entries if each.event_id == event_id), None)
        if entry is None:
            state = rollouts.by_hand(entries, datetime.now(UTC))
            if state is None:
                return None
            serving, evidence = ledger.champion_among(entries), {rollouts.MADE_BY: made_by}
            entry = _record(use_case, ledger.SHADOW_ENDED, state.version, serving, request, actor, event_id, evidence)
    reason = f"v{entry.model_version} is no longer in shadow: {entry.reason}"
    log.info("%s: %s", use_case.name, reason)
    return RolloutStep(model_version=entry.model_version, changed=True, reason=reason)


def under_way(state: RolloutState) -> RolloutStep:
    """The step of a run that changes nothing about a version that a person put in shadow."""
    return RolloutStep(model_version=state.version, stage=state.stage.name, reason=f"{described(state)}.")


def described(state: RolloutState) -> str:
    """Who put which version in shadow, and until when, in words."""
    until = deployments.format_utc(state.stage_ends)
    who = state.entry.actor
    return f"v{state.version} is in shadow beside v{state.champion} until {until} UTC at the latest, put there by {who}"


def _chosen(use_case: UseCase, entries: list[Entry], serving: Entry | None, asked: int | None) -> int:
    """The version that is to be in shadow."""
    if serving is None:
        raise InvalidParams(
            f"Use case {use_case.name!r} has no champion yet, beside which a version could predict in shadow.",
            f"Train one: `perennial trigger {use_case.name} training --wait`.",
        )
    version = asked if asked is not None else rollback_plan.served_before(entries)
    if version is None:
        raise InvalidParams(
            f"Use case {use_case.name!r}: no version served before v{serving.model_version}.",
            "Name the one that is to predict in shadow, for instance version=2.",
        )
    if version == serving.model_version:
        raise InvalidParams(f"Use case {use_case.name!r}: v{version} serves itself.", "Name another version.")
    return version


def _check_is_free(use_case: UseCase, state: RolloutState | None) -> None:
    """Refuse while another version is tried: there is room for one beside the champion."""
    if state is None:
        return
    what = described(state) if state.is_by_hand else f"the rollout of v{state.version} is under way"
    end_it = f"perennial trigger {use_case.name} rollout --param action=abort --param reason=..."
    raise InvalidParams(f"Use case {use_case.name!r}: {what}.", f"Wait for its end, or end it: `{end_it}`.")


def _record(
    use_case: UseCase,
    action: Action,
    version: int,
    serving: Entry | None,
    request: RolloutRequest,
    actor: str,
    event_id: str,
    evidence: dict[str, Any],
) -> Entry:
    unscored = ledger.unscored_from(use_case)
    return ledger.record(
        use_case,
        event_id=event_id,
        partition=use_case.cadence.at(unscored).previous.key,
        action=action,
        model_version=version,
        previous_version=serving.model_version if serving is not None else None,
        model_run=tracking.run_of(use_case, version),
        effective_from=unscored,
        actor=actor,
        reason=request.reason.strip(),
        evidence=evidence,
    )
