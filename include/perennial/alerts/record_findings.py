"""What is wrong by a use case's own records: open alarms, quarantine, overdue partitions, old features, rollbacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import NamedTuple

from perennial.alerts.findings import Ending, Finding, Reading, page
from perennial.alerts.incidents import Reason, Subject
from perennial.gate.decision import from_evidence
from perennial.monitoring.verdict import PERFORMANCE, SLICE
from perennial.partitions import Partition
from perennial.registry import ledger, rollouts
from perennial.registry.ledger import Entry
from perennial.reporting import overview
from perennial.reporting.overview import Overview
from perennial.reporting.partition_status import PartitionStatus

#: A partition is overdue when it has ended for so long, or for its own length if that is shorter: bringing it in takes
#: its time.
PATIENCE = timedelta(hours=1)
REASONS: frozenset[Reason] = frozenset({"alarm", "quarantine", "overdue", "stale-features", "rolled-back"})


def read(seen: Overview, entries: Sequence[Entry], now: datetime) -> Reading:
    """What a use case's records tell.

    Args:
        seen: Its overview.
        entries: Its ledger, oldest first.
        now: Processing time, UTC.
    """
    if seen.problem:
        return Reading(
            unread={f"records of {seen.use_case.name}": f"{seen.problem.splitlines()[0]} {seen.fix}".strip()}
        )
    parts = [_of_partition(seen, each) for each in seen.status.partitions]
    parts += [_overdue(seen, now), _stale(seen), _rolled_back(seen, entries), Reading(read=REASONS)]
    return sum(parts, Reading())


def _of_partition(seen: Overview, status: PartitionStatus) -> Reading:
    return _alarm(seen, status) + _quarantine(seen, status)


def _alarm(seen: Overview, status: PartitionStatus) -> Reading:
    key, alarm = status.partition, status.alarm
    about = Subject("alarm", key)
    if alarm is None:
        return Reading(endings={about: Ending(f"the newest verdict on {key} is {status.verdict or 'none'}")})
    if not alarm.is_open:
        evidence = {"cause": alarm.cause, "decision": alarm.decision}
        return Reading(endings={about: Ending(f"{alarm.cause_in_words}: {alarm.explanation}", evidence)})
    kinds = " and ".join(alarm.kinds) or "a rule of an older release"
    grave = bool({PERFORMANCE, SLICE} & set(alarm.kinds))
    finding = Finding(
        *about,
        "critical" if grave else "warning",
        f"alarm on {key}: {kinds}",
        f"{alarm.cause_in_words}: {alarm.explanation}",
        alarm.act,
        page(seen.use_case.name, "partitions", key),
        {"version": alarm.version, "kinds": list(alarm.kinds), "cause": alarm.cause, "metric": status.metric},
    )
    return Reading((finding,))


def _quarantine(seen: Overview, status: PartitionStatus) -> Reading:
    key, pending = status.partition, status.waiting
    about, name = Subject("quarantine", key), seen.use_case.name
    if not pending:
        over = f"nothing of {key} is pending review: it was released, discarded or superseded"
        return Reading(endings={about: Ending(over)})
    is_missing = status.rows is None
    many = f"{pending:,} quarantined {'row or batch' if pending == 1 else 'rows and batches'}"
    meaning = (
        "A batch was rejected as a whole: the partition is not in the lake, and nothing of it is predicted."
        if is_missing
        else "The partition is in the lake without them."
    )
    finding = Finding(
        *about,
        "critical" if is_missing else "warning",
        f"{many} of {key} {'is' if pending == 1 else 'are'} pending review",
        meaning,
        f"Release or discard: `perennial quarantine list {name} --partition {key}`.",
        page(name, "partitions", key, "quarantine"),
        {"pending": pending, "rows": status.rows, "quarantined": status.quarantined},
    )
    return Reading((finding,))


def _overdue(seen: Overview, now: datetime) -> Reading:
    """The partitions that are not loaded, and those that are not scored, by the deadlines."""
    newest, deadlines = seen.latest_batch, seen.use_case.deadlines
    if newest is None:  # Nothing has ever run.
        return Reading()
    not_loaded = _Missing("partitions", "loaded", newest.partition, "no batch is in the lake")
    reading = _late(seen, not_loaded, deadlines.loaded, now)
    if deadlines.scored is None:
        over = Ending("the use case declares no deadline of scoring")
        return reading + Reading(endings={Subject("overdue", "predictions"): over})
    done = [each.partition for each in seen.status.partitions if each.verdict is not None]
    before = done[-1] if done else seen.use_case.cadence.partition(seen.status.partitions[0].partition).previous.key
    not_scored = _Missing("predictions", "scored", before, "its predictions are not made, or not monitored")
    return reading + _late(seen, not_scored, deadlines.scored, now)


class _Missing(NamedTuple):
    """What is missing of partitions.

    Attributes:
        subject: Of the incident.
        word: What has not been done with them.
        newest: The newest partition with which it was.
        meaning: What is missing of one, in words.
    """

    subject: str
    word: str
    newest: str
    meaning: str


def _late(seen: Overview, missing: _Missing, deadline: timedelta | None, now: datetime) -> Reading:
    about, name = Subject("overdue", missing.subject), seen.use_case.name
    following = overview.overdue_partitions(seen.use_case, missing.newest, now)
    late = [each for each in following if _is_late(each, deadline, now)]
    if not late:
        over = Ending(f"no partition is overdue; the newest that is {missing.word} is {missing.newest}")
        return Reading(endings={about: over})
    many = f"{len(late)}{'+' if len(late) >= overview.MAX_OVERDUE else ''}"
    span = f"{late[0].key} is" if len(late) == 1 else f"{many} partitions are"
    through = "" if len(late) == 1 else f": {late[0].key} to {late[-1].key}"
    finding = Finding(
        *about,
        "warning",
        f"{span} overdue, not {missing.word}{through}",
        f"{late[0].key} ended at {late[0].end:%Y-%m-%d %H:%M} UTC, and {missing.meaning}.",
        f"See why {name}.features, scoring or monitoring did not do it; `perennial replay {name} --from {late[0].key}"
        f" --to {late[-1].key}` does.",
        page(name),
        {"missing": [each.key for each in late], "newest": missing.newest},
    )
    return Reading((finding,))


def _is_late(partition: Partition, deadline: timedelta | None, now: datetime) -> bool:
    patience = min(PATIENCE, partition.end - partition.start) if deadline is None else deadline
    return partition.end + patience <= now


def _stale(seen: Overview) -> Reading:
    check = seen.online_check
    if check is None:
        return Reading()
    until = f"{check.until:%Y-%m-%d %H:%M} UTC" if check.until else "the newest partition"
    findings = [
        Finding(
            "stale-features",
            view,
            "warning",
            f"features of {view} are older than their freshness allows",
            "Predictions on request use values of an earlier time than the model was trained to get.",
            f"See what the source of {view} delivered last, and run {seen.use_case.name}.features again.",
            page(seen.use_case.name),
            {"until": check.until, "newest": check.newest},
        )
        for view in check.stale
    ]
    fresh = {
        Subject("stale-features", view): Ending(f"the check of the online store up to {until} found {view} fresh")
        for view in _views(seen)
        if view not in check.stale
    }
    return Reading(tuple(findings), fresh)


def _views(seen: Overview) -> Iterator[str]:
    return (table.name for table in seen.use_case.features)


def _rolled_back(seen: Overview, entries: Sequence[Entry]) -> Reading:
    """The newest decision, if by it the gate took back what had served already; the one after it ends that."""
    decided = [each for each in entries if each.action in (*ledger.DECISIONS, ledger.ROLLED_BACK)]
    findings: tuple[Finding, ...] = ()
    endings: dict[Subject, Ending] = {}
    for entry, following in zip_longest(decided, decided[1:]):
        finding = _taken_back(seen, entries, entry)
        if finding is not None and following is None:
            findings = (finding,)
        elif finding is not None and following is not None:
            then = f"v{following.model_version} was {following.action.replace('-', ' ')} after that"
            endings[finding.about] = Ending(then, {"ledger": following.event_id})
    return Reading(findings, endings)


def _taken_back(seen: Overview, entries: Sequence[Entry], entry: Entry) -> Finding | None:
    """The finding about a rollback by the gate: of a refit on probation, or of a canary; None: it is none."""
    version, name = entry.model_version, seen.use_case.name
    if entry.action == ledger.ROLLED_BACK:
        if entry.previous_version is None or entry.event_id != ledger.probation_of(entry.previous_version):
            return None
        version = entry.previous_version
        title = f"v{version} was worse on probation: v{entry.model_version} serves again"
        meaning = f"A refit served, and did worse than the champion before it. {entry.reason}"
    elif entry.action == ledger.REJECTED and entry.actor == ledger.GATE:
        decision = from_evidence(entry.evidence)
        served = [rollouts.Stage.of(each.evidence[rollouts.STAGE]) for each in rollouts.of_version(entries, version)]
        if decision is None or not decision.made_by or not any(stage.share for stage in served):
            return None
        title = f"the canary v{version} was ended, and v{entry.previous_version} answers all requests again"
        meaning = f"It had answered a share of the requests, and was rejected. {entry.reason}"
    else:
        return None
    return Finding(
        "rolled-back",
        entry.event_id,
        "warning",
        title,
        meaning,
        f"Look at the comparison, and acknowledge this: `perennial history {name}`.",
        page(name, "versions", str(version)),
        {
            "version": version,
            "serves": entry.previous_version if entry.action == ledger.REJECTED else entry.model_version,
        },
        once=True,
    )
