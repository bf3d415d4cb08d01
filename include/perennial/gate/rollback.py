"""Rolls back: an earlier version serves again, in one step, and automatic promotion pauses.

The ledger is written first, the alias follows it, under the lock that promotions hold: killed in between and run again,
or two at once, it ends as if it had run once. In event time the version predicts from the first partition on that is
not scored yet; a scored partition keeps its version, also for late rows, so that each is measured against one model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from perennial.gate import model_card, rollback_plan, servable
from perennial.gate.promotion import GATE
from perennial.gate.rollback_plan import RollbackRequest
from perennial.registry import ledger, tracking
from perennial.registry.ledger import Entry
from perennial.services import postgres
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

#: Where the evidence of the end of a probation names the DAG run that made it.
MADE_BY = "made_by"


def roll_back(use_case: UseCase, request: RollbackRequest, *, made_by: str, actor: str) -> Entry:
    """Let an earlier version serve again and pause automatic promotion.

    Args:
        use_case: Whose champion.
        request: Which version, why, and for how long promotion pauses.
        made_by: Id of the Airflow run: one run rolls back once, however often this runs.
        actor: The person who asked for it.

    Returns:
        The ledger's entry of the rollback.

    Raises:
        InvalidParams: see `rollback_plan.plan`.
        PerennialError: that version cannot be loaded, or its features are no longer served.
    """
    event_id = f"rollback:{made_by}"
    with postgres.advisory_lock("promotion", use_case.name):
        entries = ledger.entries(use_case)
        entry = next((entry for entry in entries if entry.event_id == event_id), None)
        if entry is None:
            planned = rollback_plan.plan_from_entries(use_case, entries, request.to)
            servable.check(use_case, planned.version)
            until = None if request.pause_for is None else datetime.now(UTC) + request.pause_for
            entry = ledger.record(
                use_case,
                event_id=event_id,
                partition=use_case.cadence.at(planned.effective_from).previous.key,
                action=ledger.ROLLED_BACK,
                model_version=planned.version,
                previous_version=planned.previous,
                model_run=planned.model_run,
                effective_from=planned.effective_from,
                actor=actor,
                reason=request.reason.strip(),
                evidence={"asked_for": request.to, ledger.PAUSE_UNTIL: until.isoformat() if until else None},
            )
        # The current champion: run again much later, this must not undo what was promoted since.
        tracking.follow_ledger(use_case)
    log.info("%s: v%s serves again: %s", use_case.name, entry.model_version, entry.reason)
    return entry


def end_probation(
    use_case: UseCase, version: int, is_worse: bool, reason: str, evidence: Mapping[str, object]
) -> Entry | None:
    """Record how the probation of a refit ended; if it is worse, the champion before it serves again.

    No pause of automatic promotion comes with it: nobody has to look before the next challenger is evaluated.

    Args:
        use_case: Whose champion.
        version: The refit.
        is_worse: Whether it is worse than the champion before it.
        reason: Why, in one sentence.
        evidence: The comparison, JSON-ready.

    Returns:
        The ledger's entry; None: another version serves by now.

    Raises:
        PerennialError: the champion before it cannot be loaded, or its features are no longer served.
    """
    with postgres.advisory_lock("promotion", use_case.name):
        entries = ledger.entries(use_case)
        start, serving = ledger.deployments(entries)[-1]
        if serving.model_version != version:
            return None
        now = max(start, ledger.unscored_from(use_case))
        target, run, action, pause = version, serving.model_run, ledger.CONFIRMED, {}
        if is_worse:
            planned = rollback_plan.plan_from_entries(use_case, entries, serving.previous_version)
            servable.check(use_case, planned.version)
            target, run, action = planned.version, planned.model_run, ledger.ROLLED_BACK
            pause = {ledger.PAUSE_UNTIL: datetime.now(UTC).isoformat()}
        entry = ledger.record(
            use_case,
            event_id=ledger.probation_of(version),
            partition=use_case.cadence.at(now).previous.key,
            action=action,
            model_version=target,
            previous_version=version,
            model_run=run,
            effective_from=now,
            actor=GATE,
            reason=reason,
            evidence={**evidence, **pause},
        )
    complete_probation(use_case, entry)
    return entry


def complete_probation(use_case: UseCase, entry: Entry) -> None:
    """Let alias and model cards follow the end of a probation; again, if an attempt was killed before.

    Args:
        use_case: Whose champion.
        entry: Of the ledger, by which it ended.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    with postgres.advisory_lock("promotion", use_case.name):
        tracking.follow_ledger(use_case)
    for number in filter(None, {entry.model_version, entry.previous_version}):
        model_card.attach(use_case, number)


def resume(use_case: UseCase, request: RollbackRequest, *, made_by: str, actor: str) -> Entry:
    """Resume automatic promotion.

    Args:
        use_case: Whose gate.
        request: Why.
        made_by: Id of the Airflow run: one run resumes once, however often this runs.
        actor: The person who asked for it.

    Returns:
        The ledger's entry of it.

    Raises:
        InvalidParams: automatic promotion is not paused.
    """
    event_id = f"resume:{made_by}"
    with postgres.advisory_lock("promotion", use_case.name):
        entries = ledger.entries(use_case)
        earlier = next((entry for entry in entries if entry.event_id == event_id), None)
        if earlier is not None:
            return earlier
        pause = rollback_plan.active_pause(use_case, entries)
        start, serving = ledger.deployments(entries)[-1]
        now = max(start, ledger.unscored_from(use_case))
        return ledger.record(
            use_case,
            event_id=event_id,
            partition=use_case.cadence.at(now).previous.key,
            action=ledger.RESUMED,
            model_version=serving.model_version,
            previous_version=serving.model_version,
            model_run=serving.model_run,
            effective_from=now,
            actor=actor,
            reason=request.reason.strip(),
            evidence={"paused_since": pause.since.isoformat(), "paused_by": pause.by},
        )
