"""Rolls back: an earlier version serves again, in one step, and automatic promotion pauses.

The ledger is written first, the alias follows it, under the lock that promotions hold: killed in between and run again,
or two at once, it ends as if it had run once. In event time the version predicts from the first partition on that is
not scored yet; a scored partition keeps its version, also for late rows, so that each is measured against one model.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from perennial.gate import rollback_plan, servable
from perennial.gate.rollback_plan import RollbackRequest
from perennial.registry import ledger, tracking
from perennial.registry.ledger import Entry
from perennial.services import postgres
from perennial.use_case import UseCase

log = logging.getLogger(__name__)


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
        serving = ledger.champion(use_case) or entry
        tracking.promote(use_case, serving.model_version)
    log.info("%s: v%s serves again: %s", use_case.name, entry.model_version, entry.reason)
    return entry


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
