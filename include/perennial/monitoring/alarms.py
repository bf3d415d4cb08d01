"""The state of each alarm: whether it is open, what caused it, and what would help.

A verdict is never changed, so whether its alarm is open is read from what came after it: the gate's decision on a model
that has seen the partition, a later verdict, another champion. This is the only place where that is worked out; status,
pages, fleet and JSON all show it.

An alarm is closed when there is nothing left to do about it:

- a newer model was better and was promoted: the champion was *stale*;
- a newer model was no better, or regains less than half of what was lost even at the upper bound of its interval: the
  problem became *harder* for any model. The gate has measured what the champion reaches on the newer data, and that is
  what is expected of it from then on (`monitoring.expectation`);
- columns or predictions drifted, and a newer model was no better: the drift is *harmless*;
- a newer model seemed better, and it was not certain (*inconclusive*), or it was rolled back, or a person rejected it:
  the decision is made, and the expected metric is renewed all the same;
- performance was only estimated, and the labels are in: the verdict made from them takes the place of the alarm, and is
  an alarm itself or is none. A newer model tells nothing about that before;
- another version serves for another reason (*replaced*), or a later partition is as expected again (*passed*).

Which decision counts is, as with everything in event time, a question of the data that it was made on, and not of when
partitions were monitored. Only where later labels made an alarm of a verdict that was none, a decision from before that
has not seen what the alarm is about, and does not count.

It is open while an act would help, and names that act: the source is fixed where the data look broken, retraining is
under way or is to be started, a rule of the gate keeps a better model out.

Light to import.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Any

from perennial.gate.decision import CHAMPION, GateDecision, from_evidence
from perennial.gate.decision import INCONCLUSIVE as NOT_ENOUGH_EVIDENCE
from perennial.monitoring.expectation import was_compared
from perennial.monitoring.verdict import (
    ALARM,
    BROKEN_DATA,
    ESTIMATED_PERFORMANCE,
    INTERVAL_COVERAGE,
    LABELS,
    ONE_SLICE,
    PERFORMANCE,
    QUARANTINE,
    SLICE,
    VerdictEvidence,
)
from perennial.registry import ledger
from perennial.registry.ledger import Entry
from perennial.use_case import UseCase

#: Causes that only a newer model, or time, tells; see above. The others are those of `VerdictEvidence.cause`.
STALE, HARDER, HARMLESS, INCONCLUSIVE = "stale", "harder", "harmless", "inconclusive"
REPLACED, PASSED = "replaced", "passed"
#: The cause of an alarm of which it is not known yet.
UNKNOWN = "unknown"
#: Causes in words, for people.
IN_WORDS = {
    STALE: "stale model",
    HARDER: "harder problem",
    HARMLESS: "harmless drift",
    INCONCLUSIVE: "no model shown to be better",
    REPLACED: "another version serves",
    PASSED: "passed",
    BROKEN_DATA: "broken data",
    ONE_SLICE: "one slice fell",
    LABELS: "too few labels",
    UNKNOWN: "cause not known yet",
}
#: Kinds of alarm that rest on labels.
_MEASURED = {PERFORMANCE, SLICE, INTERVAL_COVERAGE}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class AlarmState:
    """What is known of the alarm on a partition.

    Attributes:
        partition: Its name.
        version: The version that the alarm is about; None: the verdict names none.
        kinds: Kinds of the alarm, the most important first.
        is_open: Whether an act would close it.
        cause: `stale`, `harder`, `harmless`, `inconclusive`, `replaced`, `passed`, `broken-data`, `slice` or `unknown`.
        explanation: Why it is open or closed, in one sentence.
        act: What would help; empty: it is closed.
        decision: The version whose decision by the gate closed it, or was the last to leave it open; None: none was.
    """

    partition: str
    version: int | None
    kinds: tuple[str, ...]
    is_open: bool
    cause: str
    explanation: str
    act: str = ""
    decision: int | None = None

    @property
    def cause_in_words(self) -> str:
        """The cause as people read it."""
        return IN_WORDS.get(self.cause, self.cause)

    def __str__(self) -> str:
        act = f"; what would help: {self.act}" if self.act else ""
        return f"{'open' if self.is_open else 'closed'}, {self.cause_in_words}: {self.explanation}{act}"


@dataclass(frozen=True)
class _Records:
    """What came of the alarms of a use case.

    Attributes:
        verdicts: The newest of each partition, in order of the partitions.
        since: When the alarm of a partition began, of those whose first verdict was none; processing time.
        entries: The ledger.
        requests: Requests for retraining.
    """

    use_case: UseCase
    verdicts: Mapping[str, Row]
    since: Mapping[str, datetime]
    entries: Sequence[Entry]
    requests: Sequence[Row]
    _evidence: dict[str, VerdictEvidence] = field(default_factory=dict)

    @cached_property
    def champion(self) -> int | None:
        """The version that serves now."""
        serving = ledger.champion_among(self.entries)
        return serving.model_version if serving else None

    @cached_property
    def decisions(self) -> list[tuple[Entry, GateDecision | None]]:
        """The gate's decisions, oldest first; None where another release wrote one in an unknown form."""
        return [(each, from_evidence(each.evidence)) for each in self.entries if each.action in ledger.DECISIONS]

    @cached_property
    def partitions(self) -> list[str]:
        """Those with a verdict, oldest first."""
        return list(self.verdicts)

    def evidence_of(self, partition: str) -> VerdictEvidence:
        """The evidence of the newest verdict on a partition; of a use case of years each is read once."""
        if partition not in self._evidence:
            self._evidence[partition] = VerdictEvidence.from_json(self.verdicts[partition]["evidence"])
        return self._evidence[partition]


def states(
    use_case: UseCase, verdicts: Iterable[Row], entries: Sequence[Entry], requests: Iterable[Row]
) -> dict[str, AlarmState]:
    """The state of the alarm of each partition whose newest verdict is one.

    Args:
        use_case: Whose.
        verdicts: Rows of that table.
        entries: The whole ledger, oldest first.
        requests: Rows of the table `requests`.

    Returns:
        By partition, oldest first.
    """
    by_partition: dict[str, list[Row]] = {}
    for row in sorted(verdicts, key=itemgetter("partition", "recorded_at")):
        by_partition.setdefault(row["partition"], []).append(row)
    newest = {key: rows[-1] for key, rows in by_partition.items()}
    since = {key: began for key, rows in by_partition.items() if (began := _began(rows)) is not None}
    known = _Records(use_case, newest, since, entries, list(requests))
    return {key: _state(known, row) for key, row in newest.items() if row["verdict"] == ALARM}


def _began(rows: Sequence[Row]) -> datetime | None:
    """When a verdict that was no alarm became one; None: it was one from the first, or is none.

    An alarm of measured performance begins where that was measured: what was decided while it was only estimated, or
    while only the inputs had drifted, was decided without its labels.

    Args:
        rows: The verdicts on one partition, oldest first.
    """
    if rows[-1]["verdict"] != ALARM:
        return None
    needs_labels, began = _is_measured(rows[-1]), None
    for row in reversed(rows):
        if row["verdict"] != ALARM or (needs_labels and not _is_measured(row)):
            return began
        began = row["recorded_at"]
    return None


def _is_measured(row: Row) -> bool:
    return bool(_MEASURED & set(_kinds(row, VerdictEvidence.from_json(row["evidence"]))))


def _kinds(row: Row, evidence: VerdictEvidence) -> tuple[str, ...]:
    """The kinds of alarm of a verdict, the most important first; those of older releases have a reason only."""
    return evidence.alarms or tuple(kind for kind in (row.get("reason"),) if kind)


def _state(known: _Records, row: Row) -> AlarmState:
    evidence = known.evidence_of(row["partition"])
    kinds = _kinds(row, evidence)
    is_of_data = QUARANTINE in kinds and PERFORMANCE not in kinds
    cause = evidence.cause or (BROKEN_DATA if is_of_data else UNKNOWN)
    start = AlarmState(row["partition"], row["model_version"], kinds, True, cause, "")
    # Only labels tell of an estimate; no model was compared on them.
    after = None if ESTIMATED_PERFORMANCE in kinds else _by_decision(known, start)
    if after is not None and not after.is_open:
        return after
    return _by_later_records(known, start) or after or _still_open(known, start, evidence)


def _by_decision(known: _Records, alarm: AlarmState) -> AlarmState | None:
    """The state by the gate's decisions on models that have seen the partition; None: there is none that tells."""
    state, since = None, known.since.get(alarm.partition)
    for entry, decision in known.decisions:
        # Names of partitions sort as their times do.
        has_seen = entry.partition >= alarm.partition and (since is None or entry.recorded_at >= since)
        if has_seen and entry.model_version != alarm.version:
            told = _decided(known, alarm, entry, decision)
            if told is not None and not told.is_open:
                return told
            state = told or state
    return state


def _decided(known: _Records, alarm: AlarmState, entry: Entry, decision: GateDecision | None) -> AlarmState | None:
    """What one decision tells about the alarm; None: nothing."""
    version = entry.model_version
    seen = f"v{version}, trained on data up to {entry.partition},"
    if entry.action == ledger.PROMOTED:
        if entry.previous_version not in (None, alarm.version):
            return None
        better = f"{seen} is better{_by_how_much(decision)} and was promoted"
        if (back := _rolled_back(known, alarm, entry)) is not None:
            again = f"{seen} was promoted, and v{alarm.version} serves again: {back.reason}"
            return _closed(alarm, INCONCLUSIVE, again, version)
        return _closed(alarm, STALE, better, version)
    if alarm.cause == BROKEN_DATA or (entry.previous_version is not None and entry.previous_version != alarm.version):
        return None  # That no model learns from broken data what it needs does not fix them.
    if decision is None:
        return _closed(alarm, INCONCLUSIVE, f"{seen} was rejected: {entry.reason}", version)
    if entry.actor != ledger.GATE:
        return _closed(alarm, INCONCLUSIVE, f"{seen} was rejected by {entry.actor}", version)
    if not was_compared(decision):
        why = f"{seen} could not be compared with it: {_failed(decision)}"
        return _open(alarm, alarm.cause, why, "train again on more data, or with a longer gate.holdout", version)
    return _by_numbers(known, alarm, entry, decision)


def _rolled_back(known: _Records, alarm: AlarmState, promotion: Entry) -> Entry | None:
    """The entry by which the version of the alarm took the place of a promoted one again; None: there is none."""
    after = (each.entry for each in ledger.deployments(known.entries) if each.entry.recorded_at > promotion.recorded_at)
    following = next(after, None)
    return following if following is not None and following.model_version == alarm.version else None


def _by_numbers(known: _Records, alarm: AlarmState, entry: Entry, decision: GateDecision) -> AlarmState:
    """What the gate measured of a challenger that was rejected."""
    version, margin = entry.model_version, known.use_case.gate.margin
    seen = f"v{version}, trained on data up to {entry.partition},"
    metric = known.use_case.gate.metric
    reached = decision.metrics.get(CHAMPION, {}).get(metric)
    now = f"; {metric} of v{alarm.version} is expected to be {reached:.4g} from now on" if reached is not None else ""
    renewed = decision.champion_prediction_interval
    if INTERVAL_COVERAGE in alarm.kinds and renewed is not None and renewed.margin is not None:
        now += f", and its prediction intervals get a margin chosen on {renewed.rows} rows up to {entry.partition}"
    if decision.metric not in (None, metric):
        return _closed(alarm, INCONCLUSIVE, f"{seen} was compared by {decision.metric}, not by {metric}", version)
    if decision.interval is not None and decision.interval[0] > margin:
        better = f"{seen} is better{_by_how_much(decision)}, but was rejected: {_failed(decision)}"
        return _open(alarm, STALE, better, "fix what the gate's rule found, and train again", version)
    if decision.made_by:
        cause = INCONCLUSIVE if decision.outcome == NOT_ENOUGH_EVIDENCE else HARDER
        return _closed(alarm, cause, f"{seen} was tried on live requests and rejected: {entry.reason}", version)
    if decision.improvement is not None and decision.improvement <= margin:
        cause = HARDER if _MEASURED & set(alarm.kinds) else HARMLESS
        return _closed(alarm, cause, f"{seen} is no better{_by_how_much(decision)}{now}", version)
    lost = known.evidence_of(alarm.partition).lost
    if PERFORMANCE in alarm.kinds and lost and decision.interval is not None and decision.interval[1] <= lost / 2:
        regained = f"{seen} regains at most {decision.interval[1]:.4g} of the {lost:.4g} that was lost"
        return _closed(alarm, HARDER, f"{regained}{now}", version)
    return _closed(alarm, INCONCLUSIVE, f"{seen} is not shown to be better{_by_how_much(decision)}{now}", version)


def _by_later_records(known: _Records, alarm: AlarmState) -> AlarmState | None:
    """The state by later verdicts and by who serves now; None: they do not close it."""
    if alarm.version is not None and known.champion is not None and known.champion != alarm.version:
        return _closed(alarm, REPLACED, f"v{alarm.version} no longer serves, v{known.champion} does")
    for partition in known.partitions[bisect_right(known.partitions, alarm.partition) :]:
        if _is_as_expected(alarm, known.verdicts[partition], known.evidence_of(partition)):
            return _closed(alarm, PASSED, f"{partition} is as expected again")
    return None


def _is_as_expected(alarm: AlarmState, row: Row, evidence: VerdictEvidence) -> bool:
    """Whether the verdict on a later partition measured what the alarm is about, and found nothing."""
    if row["model_version"] != alarm.version or set(alarm.kinds) & set(evidence.alarms) or not alarm.kinds:
        return False
    if {PERFORMANCE, SLICE, ESTIMATED_PERFORMANCE} & set(alarm.kinds):
        return evidence.production is not None and not {PERFORMANCE, SLICE} & set(evidence.alarms)
    if INTERVAL_COVERAGE in alarm.kinds:
        its = evidence.interval
        return its is not None and its.reached is not None and not its.is_renewed  # Which could not have alarmed.
    return bool(evidence.rows)


def _still_open(known: _Records, alarm: AlarmState, evidence: VerdictEvidence) -> AlarmState:
    """Nothing has closed it: what is known, and what is to be done."""
    if alarm.cause == BROKEN_DATA:
        broken = ", ".join(evidence.broken) or "more rows than usual are quarantined"
        again = _trigger(known, "features", alarm.partition)
        fix = f"fix the source, load what is missing, then run the partition again: `{again}`"
        return _open(alarm, BROKEN_DATA, f"the data look broken ({broken}); a newer model would not help", fix)
    if ESTIMATED_PERFORMANCE in alarm.kinds:
        why = "performance is estimated, not measured; its labels will tell"
        return _open(
            alarm, alarm.cause, why, "label some of its rows, or look at what drifted, and wait for the labels"
        )
    tried = [e for e in known.entries if e.action == ledger.ROLLOUT and e.partition >= alarm.partition]
    if tried:
        why = f"v{tried[-1].model_version} is better on the gate's holdout and is tried on live requests"
        return _open(alarm, STALE, why, "wait for its rollout, or carry it on by hand", tried[-1].model_version)
    # None of them was handled: there is no decision on a model that has seen the partition.
    asked = [row["partition"] for row in known.requests if row["partition"] >= alarm.partition]
    train = f"`{_trigger(known, 'training')}`"
    if asked:
        why = f"retraining on data up to {max(asked)} is requested; its gate tells whether a newer model is better"
        return _open(alarm, alarm.cause, why, f"wait for the training run, or start one: {train}")
    return _open(alarm, alarm.cause, "no retraining is requested yet (`retraining.cooldown`)", f"start one: {train}")


def _trigger(known: _Records, pipeline: str, partition: str = "") -> str:
    of = f" --partition {partition}" if partition else ""
    return f"perennial trigger {known.use_case.name} {pipeline}{of}"


def _by_how_much(decision: GateDecision | None) -> str:
    if decision is None or decision.improvement is None:
        return ""
    bounds = f", between {decision.interval[0]:+.4f} and {decision.interval[1]:+.4f}" if decision.interval else ""
    return f" ({decision.improvement:+.4f}{bounds})"


def _failed(decision: GateDecision) -> str:
    return ", ".join(rule.name for rule in decision.rules if not rule.passed) or decision.reason


def _closed(alarm: AlarmState, cause: str, explanation: str, decision: int | None = None) -> AlarmState:
    return AlarmState(alarm.partition, alarm.version, alarm.kinds, False, cause, explanation, "", decision)


def _open(alarm: AlarmState, cause: str, explanation: str, act: str, decision: int | None = None) -> AlarmState:
    return AlarmState(alarm.partition, alarm.version, alarm.kinds, True, cause, explanation, act, decision)
