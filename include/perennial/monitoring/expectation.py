"""What is expected of a version on a partition: what it reached in the gate's newest judgement on earlier data.

At first that is the judgement by which it was promoted. Each later challenger is compared with the champion on newer
data, so each such decision also measures what the champion reaches there: that is what is expected from then on.

Which decision counts for a partition is a question of event time: the data of the decision must end before the
partition begins. So a partition that is monitored late, or again, is held against the same decisions as before, and
never against one that has seen it. A comparison does not count where the gate had too few rows to tell, nor on data
that were known to be broken when it was made: broken data must not lower what is expected once they are fixed.

Light to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

from perennial.gate.decision import CHAMPION, GateDecision, expected_metrics, from_evidence
from perennial.monitoring.verdict import BROKEN_DATA, ExpectedFrom, VerdictEvidence
from perennial.registry import ledger
from perennial.registry.ledger import Entry

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ExpectedSlice:
    """The gate's metric on a slice of the holdout, and the rows it was measured on."""

    value: float
    rows: int


@dataclass(frozen=True)
class Expectation:
    """What is expected of a version.

    Attributes:
        metrics: Metric by name; empty: the gate recorded none.
        slices: Slice (`origin=JFK`) -> the gate's metric on it; empty: not recorded.
        source: The decision that measured them; None: there is none.
        slice_metric: The metric of `slices`; None: not recorded.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    slices: dict[str, ExpectedSlice] = field(default_factory=dict)
    source: ExpectedFrom | None = None
    slice_metric: str | None = None


def of_decision(entry: Entry, version: int) -> Expectation:
    """What a decision measured of a version: the one that was decided on, or the champion that it was compared with.

    Args:
        entry: The ledger's row of the decision, or another row that has its evidence.
        version: Of the two; if it is neither, the one that was decided on is meant.
    """
    decision = from_evidence(entry.evidence)
    if decision is not None and decision.champion == version:
        slices = {name: ExpectedSlice(each.champion, each.rows) for name, each in (decision.slices or {}).items()}
        measured = dict(decision.metrics.get(CHAMPION, {}))
    else:
        kept = decision.slices or {} if decision is not None else {}
        slices = {name: ExpectedSlice(each.challenger, each.rows) for name, each in kept.items()}
        measured = expected_metrics(entry)
    if not measured:
        return Expectation()
    source = ExpectedFrom(decision=getattr(entry, "model_version", None), partition=getattr(entry, "partition", None))
    return Expectation(measured, slices, source, decision.metric if decision is not None else None)


def newest(
    entries: Iterable[Entry], version: int, partition: str, verdicts_of: Callable[[str], Iterable[Row]] = lambda _: ()
) -> Expectation:
    """What is expected of a version on a partition.

    Args:
        entries: Of the use case's ledger.
        version: The version that scored the partition.
        partition: Its name.
        verdicts_of: The rows of the table `verdicts` of a partition: whether its data were known to be broken.
    """
    decided = [entry for entry in entries if entry.action in ledger.DECISIONS]
    own = next((entry for entry in reversed(decided) if entry.model_version == version), None)
    # Names of partitions sort as their times do.
    earlier = [entry for entry in decided if entry.partition < partition and _measures(entry, version)]
    for entry in sorted(earlier, key=attrgetter("partition", "recorded_at"), reverse=True):
        if own is not None and entry.partition <= own.partition:
            break
        if _is_on_sound_data(entry, verdicts_of(entry.partition)):
            return of_decision(entry, version)
    return of_decision(own, version) if own is not None else Expectation()


def recorded(entries: Sequence[Entry], version: int | None, evidence: VerdictEvidence | None) -> Expectation:
    """What a verdict held its partition against.

    Args:
        entries: Of the use case's ledger.
        version: The version that scored the partition; None: none did.
        evidence: The verdict's; None: there is no verdict yet. From before it named the decision, that is the one on
            the version.
    """
    if version is None:
        return Expectation()
    source = evidence.expected_from if evidence is not None else None
    decided = ledger.decision_on(entries, source.decision if source is not None else version)
    return of_decision(decided, version) if decided is not None else Expectation()


def _measures(entry: Entry, version: int) -> bool:
    """Whether a decision compared a challenger with this version, on enough rows to tell, and on no later ones."""
    decision = from_evidence(entry.evidence)
    if decision is None or decision.made_by:
        return False  # What ended a rollout may be from live requests, which are later than the partition it names.
    return decision.champion == version and was_compared(decision)


def was_compared(decision: GateDecision) -> bool:
    """Whether the gate had enough rows to tell which of both is better; else its numbers are hardly any."""
    return decision.improvement is not None and bool(decision.metrics)


def _is_on_sound_data(entry: Entry, verdicts: Iterable[Row]) -> bool:
    """Whether nothing was known to be broken in the newest partition of a decision's data when it was made."""
    known = [row for row in verdicts if row["recorded_at"] <= entry.recorded_at]
    last = max(known, key=itemgetter("recorded_at"), default=None)
    return last is None or VerdictEvidence.from_json(last["evidence"]).cause != BROKEN_DATA
