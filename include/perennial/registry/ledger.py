"""The ledger: the append-only record of which version served when, and of every decision about it.

Two clocks, never mixed. `recorded_at` is processing time: a version serves from the moment its entry is recorded until
the next such entry is. `effective_from` is event time: a version may predict partitions that start there or later, that
is, after everything it or its gate saw; no deployment begins before the one it ends. So the champion of a partition is
a look-up, and a rollback does not change it for partitions that are already scored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from perennial.use_case import UseCase

Action = Literal["promoted", "rejected", "rolled-back", "resumed", "rollout", "shadow", "shadow-ended", "confirmed"]
PROMOTED: Action = "promoted"
REJECTED: Action = "rejected"
ROLLED_BACK: Action = "rolled-back"
RESUMED: Action = "resumed"
#: A stage of a challenger's rollout begins; `perennial.registry.rollouts` reads them.
ROLLOUT: Action = "rollout"
#: A person puts a version in shadow to look at it, and ends that; neither is a decision on the version.
SHADOW: Action = "shadow"
SHADOW_ENDED: Action = "shadow-ended"
#: A refit that serves was not worse than the champion that it replaced.
CONFIRMED: Action = "confirmed"
#: A version serves from such an entry on.
DEPLOYING = (PROMOTED, ROLLED_BACK)
#: The actor of decisions that no person was asked about.
GATE = "gate"
#: What the gate, or a person whom it asked, decides on a challenger.
DECISIONS = (PROMOTED, REJECTED)
#: What handles a request for retraining: a decision, or that the challenger is tried on live requests.
HANDLING = (*DECISIONS, ROLLOUT)
#: Where a decision's evidence names the version that was evaluated, if its refit is what was decided on.
EVALUATED = "evaluated"
#: Where a rollback's evidence says until when (ISO 8601) automatic promotion pauses; null: until a person resumes it.
PAUSE_UNTIL = "pause_until"


@dataclass(frozen=True)
class Entry:
    """One row of the ledger.

    Attributes:
        event_id: Unique per act: `gate:<version>`, `rollout:<version>:<stage>`, `rollback:<run>`, `resume:<run>`,
            `shadow:<run>`, `shadow-ended:<run>` or `probation:<version>`.
        model_version: The version decided on; of a rollback the one that serves again, of `resumed` the one serving.
        previous_version: The version that served until then; None before the first.
        effective_from: Event time from which the version may predict.
        actor: `gate`, or a person's name.
        recorded_at: Processing time, later than that of every entry before it.
    """

    event_id: str
    partition: str
    action: Action
    model_version: int
    previous_version: int | None
    model_run: str
    effective_from: datetime
    actor: str
    reason: str
    evidence: dict[str, Any]
    recorded_at: datetime

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; times as ISO 8601."""
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(self).items()}


class Deployment(NamedTuple):
    """A version's time as champion: the entry it began with, and the event time from which it predicts."""

    start: datetime
    entry: Entry


@dataclass(frozen=True)
class Pause:
    """Automatic promotion is paused: every promotion needs a person.

    Attributes:
        since: When it was declared, processing time.
        until: When it ends by itself; None: when a person resumes it.
        by: Who declared it.
    """

    since: datetime
    until: datetime | None
    by: str
    reason: str


def record(
    use_case: UseCase,
    *,
    partition: str,
    action: Action,
    model_version: int,
    previous_version: int | None,
    model_run: str,
    effective_from: datetime,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
    event_id: str | None = None,
) -> Entry:
    """Append one entry, while holding the lock `promotion` of the use case; one act is recorded once.

    Args:
        use_case: The use case.
        partition: The last partition of the training window; of a rollback or a resumption, the last one scored.
        action: What was decided.
        model_version: The version decided on; see `Entry`.
        previous_version: The version that served until then; None before the first.
        model_run: The MLflow run of `model_version`.
        effective_from: Event time (UTC) from which the version may predict.
        actor: `gate`, or a person's name.
        reason: Why, in one sentence.
        evidence: What the decision is based on, JSON-ready.
        event_id: Names the act; None: the gate's decision on `model_version`.

    Returns:
        The entry of this act: if an earlier attempt has recorded it, that one.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import LEDGER
    from perennial.services import notifications

    event_id = event_id or _decided_on(model_version)
    earlier = entries(use_case)
    for entry in earlier:
        if entry.event_id == event_id:
            return entry
    row = {
        "partition": partition,
        "event_id": event_id,
        "action": action,
        "model_version": model_version,
        "previous_version": previous_version,
        "model_run": model_run,
        "effective_from": effective_from,
        "actor": actor,
        "reason": reason,
        "evidence": json.dumps(evidence, sort_keys=True, default=str),
        "recorded_at": _after(earlier),
    }
    lake.append_missing(use_case.tables.ledger, pa.Table.from_pylist([row], schema=LEDGER), key=("event_id",))
    notifications.notify(notifications.LEDGER, use_case.name)
    return from_rows([row])[0]


def _after(earlier: list[Entry]) -> datetime:
    """Now; where a clock was set back, right after the last entry: the order of entries is the order of acts."""
    now = datetime.now(UTC)
    return max(now, earlier[-1].recorded_at + timedelta(microseconds=1)) if earlier else now


def unscored_from(use_case: UseCase) -> datetime:
    """Where the partitions begin of which none is scored yet (event time): no new deployment begins before.

    What is scored keeps its version, also for rows of it that come late.
    """
    from perennial import lake

    scored = lake.partitions(use_case.tables.predictions)
    return use_case.cadence.partition(max(scored)).end if scored else use_case.first.start


def entries(use_case: UseCase) -> list[Entry]:
    """All entries, oldest first."""
    from perennial import lake

    return from_rows(lake.records(use_case.tables.ledger))


def from_rows(rows: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Rows of the table `ledger` as entries, oldest first."""
    parsed = [Entry(**{**row, "evidence": json.loads(row["evidence"])}) for row in rows]
    return sorted(parsed, key=lambda entry: entry.recorded_at)


def promotions(use_case: UseCase) -> list[Entry]:
    """All promotions, oldest first; the first is the first model that ever served."""
    return [entry for entry in entries(use_case) if entry.action == PROMOTED]


def decisions(use_case: UseCase) -> list[Entry]:
    """All decisions of the gate, promotions and rejections, oldest first."""
    return [entry for entry in entries(use_case) if entry.action in DECISIONS]


def decision_on(entries: Iterable[Entry], version: int | None) -> Entry | None:
    """The decision of the gate, or of the person it asked, on a version; None before that.

    Args:
        entries: Of the use case's ledger.
        version: The version in the registry; where its refit was promoted or rejected, the decision is on that.
    """
    decided = (entry for entry in entries if entry.action in DECISIONS)
    if version is None:
        return None
    return next((entry for entry in decided if version in (entry.model_version, entry.evidence.get(EVALUATED))), None)


def evaluated_for(entries: Iterable[Entry], version: int) -> int | None:
    """The version that was evaluated in the place of a refit; None: the version was evaluated itself, or not yet.

    Args:
        entries: Of the use case's ledger.
        version: The version in the registry.
    """
    decided = decision_on(entries, version)
    return decided.evidence.get(EVALUATED) if decided is not None else None


def versions_of(entry: Entry) -> tuple[int | None, ...]:
    """The versions that an entry is about: decided on, evaluated in its place, and serving until then.

    Args:
        entry: Of the ledger.
    """
    return entry.model_version, entry.evidence.get(EVALUATED), entry.previous_version


def _decided_on(version: int | None) -> str:
    """How a decision on a version is named: each is decided on once."""
    return f"gate:{version}"


def probation_of(version: int) -> str:
    """How the end of a version's probation is named: it ends once.

    Args:
        version: The version in the registry.
    """
    return f"probation:{version}"


def champion_at(use_case: UseCase, moment: datetime) -> Entry | None:
    """The entry of the version that predicts a partition; None before the first model.

    Args:
        use_case: Whose ledger is read.
        moment: The start of the partition, event time.
    """
    latest_first = reversed(deployments(entries(use_case)))
    return next((deployment.entry for deployment in latest_first if deployment.start <= moment), None)


def champion(use_case: UseCase) -> Entry | None:
    """The entry by which the present champion serves; None before the first one."""
    return champion_among(entries(use_case))


def champion_among(entries: Iterable[Entry]) -> Entry | None:
    """The newest promotion or rollback among `entries`; None if there is none."""
    deployed = deployments(entries)
    return deployed[-1].entry if deployed else None


def deployments(entries: Iterable[Entry]) -> list[Deployment]:
    """Who served, oldest first: each deployment ends, in both times, where the next begins."""
    deployed: list[Deployment] = []
    for entry in sorted(entries, key=lambda entry: entry.recorded_at):
        if entry.action in DEPLOYING:
            start = max(deployed[-1].start, entry.effective_from) if deployed else entry.effective_from
            deployed.append(Deployment(start, entry))
    return deployed


def pause(use_case: UseCase) -> Pause | None:
    """The pause of automatic promotion that holds now (processing time); None: it goes on by itself."""
    return pause_among(entries(use_case), datetime.now(UTC))


def pause_among(entries: Iterable[Entry], moment: datetime) -> Pause | None:
    """The pause of automatic promotion that is in force; of several the one that ends last.

    Args:
        entries: Of the use case's ledger.
        moment: Processing time.
    """
    pauses: list[Pause] = []
    for entry in sorted(entries, key=lambda entry: entry.recorded_at):
        if entry.action == RESUMED:
            pauses.clear()
        elif entry.action == ROLLED_BACK:
            until = entry.evidence.get(PAUSE_UNTIL)
            ends = datetime.fromisoformat(until) if until else None
            pauses.append(Pause(entry.recorded_at, ends, entry.actor, entry.reason))
    holding = [pause for pause in pauses if pause.until is None or moment < pause.until]
    # A later rollback never shortens a pause that somebody declared before.
    return max(holding, key=lambda pause: (pause.until is None, pause.until or pause.since), default=None)
