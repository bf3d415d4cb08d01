"""The probation of a refit: on the first partitions that it scores, is it worse than the champion that it replaced?

A refit is promoted on the evidence of the version that was evaluated in its place. So the champion before it predicts
the same rows in shadow, from the same features, until as much event time has passed as the gate's holdout spans. Where
the refit is significantly worse, the champion before it serves again, and automatic promotion goes on: no person has
to be asked, because that champion passed the gate itself.

The evidence is looked at a few times, as partitions get their labels, and a look too many finds a difference that is
not there: the confidence of each is corrected by the number of looks (O. J. Dunn, "Multiple Comparisons among Means",
Journal of the American Statistical Association 56, 1961).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

import polars as pl

from perennial.errors import PerennialError, ServiceUnavailable
from perennial.evaluation import bootstrap, thresholds
from perennial.gate import rollback, rules
from perennial.monitoring import performance
from perennial.partitions import Partition
from perennial.registry import ledger, model_loading
from perennial.registry.ledger import Deployment, Entry
from perennial.use_case import UseCase
from perennial.use_case.declarations import Declaration

log = logging.getLogger(__name__)

#: States of a probation.
PASSED, FAILED, UNDER_WAY, NONE = "passed", "failed", "under way", "none"
#: How often the evidence is looked at, at most, before the period is over.
_LOOKS = 8


class Probation(Declaration):
    """What is known of the champion's probation.

    Attributes:
        version: The champion, a refit; None: it is on no probation.
        previous: The champion that it replaced.
        state: `passed`, `failed` (and rolled back), `under way`, or `none`.
        reason: One sentence for people.
        partitions: Keys of the partitions that were compared.
        rows: How many labelled predictions were.
        improvement: By how much the refit is better, in the gate's metric; None: not enough evidence.
        interval: Its lower and upper bound, each with probability `confidence`.
        confidence: Of each bound, corrected for the number of looks.
    """

    version: int | None = None
    previous: int | None = None
    state: str = NONE
    reason: str = "the champion is on no probation"
    partitions: tuple[str, ...] = ()
    rows: int = 0
    improvement: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float | None = None


def review(use_case: UseCase, partition: Partition, made_by: str) -> Probation:
    """Compare a champion on probation with the one before it, and end the probation if the evidence does.

    What ends it is one row of the ledger, `confirmed` or `rolled-back`, by the gate; run again, it is written once.

    Args:
        use_case: Whose champion. With a rollout it has proven itself on live requests, and is on no probation.
        partition: The newest one that is monitored; those after it are not looked at.
        made_by: The DAG run that reviews. The same run gets the same answer again.

    Raises:
        ServiceUnavailable: MLflow, which holds the models, does not answer.
    """
    entries = ledger.entries(use_case)
    if (ended := _ended_by(entries, made_by)) is not None:
        rollback.complete_probation(use_case, ended)  # An attempt of this run was killed after it had written that.
        return Probation(**{name: ended.evidence[name] for name in Probation.model_fields})
    begun = _on_probation(use_case, entries)
    if begun is None:
        return Probation()
    start, entry = begun
    known = Probation(version=entry.model_version, previous=entry.previous_version, state=UNDER_WAY)
    period = list(_period(use_case, start))
    if not _is_due(period, partition):
        return known.model_copy(update={"reason": "it is too early for the next look"})
    is_last = _is_over(use_case, period, partition)
    try:
        compared, is_complete = _compare(use_case, period, partition, known)
        known = known.model_copy(update={"partitions": tuple(compared), "reason": "no labels to compare on"})
        if compared:
            known = _measured(use_case, known, pl.concat(compared.values()), looks=min(len(period), _LOOKS))
    except ServiceUnavailable:
        raise
    except Exception as error:  # Whatever is wrong with an old model must not stop the champion's monitoring.
        problem = error.problem if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        known = known.model_copy(update={"reason": f"it cannot be compared with v{known.previous}: {problem}"})
        log.warning("%s v%s: %s", use_case.name, known.version, known.reason)
        # What is wrong may be fixed before the probation is over.
        return _ended(use_case, known, PASSED, made_by) if is_last else known
    if known.interval is not None and known.interval[1] < 0:
        return _ended(use_case, known, FAILED, made_by)
    return _ended(use_case, known, PASSED, made_by) if is_complete or is_last else known


def _ended_by(entries: list[Entry], made_by: str) -> Entry | None:
    """The end of a probation that an earlier attempt of this run has recorded."""
    return next((each for each in entries if _is_end(each, each.previous_version) and _is_by(each, made_by)), None)


def _is_end(entry: Entry, version: int | None) -> bool:
    return version is not None and entry.event_id == ledger.probation_of(version)


def _is_by(entry: Entry, made_by: str) -> bool:
    return entry.evidence.get(rollback.MADE_BY) == made_by


def _on_probation(use_case: UseCase, entries: list[Entry]) -> Deployment | None:
    """The champion's deployment if nothing has compared it with the one before it as both serve.

    That is a refit, and whatever has replaced a refit: a champion that is one is evaluated by its recipe.
    """
    deployed = ledger.deployments(entries)
    if not deployed or use_case.rollout is not None:
        return None
    entry = deployed[-1].entry
    if entry.action != ledger.PROMOTED or entry.previous_version is None:
        return None
    if any(_is_end(each, entry.model_version) for each in entries):
        return None
    both = entry.model_version, entry.previous_version
    return deployed[-1] if any(ledger.evaluated_for(entries, each) is not None for each in both) else None


def _period(use_case: UseCase, start: datetime) -> Iterator[Partition]:
    """The partitions of a probation: those that begin within the length of the gate's holdout, at least one."""
    first = use_case.cadence.at(start)
    each = first if first.start == start else first.next
    end = each.start + use_case.gate.holdout
    while each.start < end:
        yield each
        each = each.next


def _is_due(period: list[Partition], newest: Partition) -> bool:
    """Whether it is time for a look: at the end of each of so many equal parts of the period, and whenever after it."""
    seen = sum(each <= newest for each in period)
    return seen == len(period) or seen % -(-len(period) // _LOOKS) == 0


def _is_over(use_case: UseCase, period: list[Partition], newest: Partition) -> bool:
    """Whether labels are waited for no longer: monitoring would not come back to the last partition any more."""
    last = period[-1]
    for _ in range(use_case.drift.revisits + 1):
        last = last.next
    return newest >= last


def _compare(
    use_case: UseCase, period: Iterable[Partition], newest: Partition, known: Probation
) -> tuple[dict[str, pl.DataFrame], bool]:
    """The rows of each partition that has its labels, and whether no other is to come."""
    assert known.version is not None  # noqa: S101 - it is on probation
    assert known.previous is not None  # noqa: S101
    before = model_loading.load(use_case, known.previous)
    compared: dict[str, pl.DataFrame] = {}
    is_complete = True
    for each in period:
        if each > newest:
            return compared, False
        counted, labelled = performance.judged(use_case, each, known.version)
        if labelled is not None:
            compared[each.key] = performance.beside(use_case, each, known.version, before, labelled)
        elif counted.rows:
            is_complete = False
    return compared, is_complete


def _measured(use_case: UseCase, known: Probation, rows: pl.DataFrame, looks: int) -> Probation:
    """By how much the refit is better on these rows."""
    entries, both = ledger.entries(use_case), (rows["prediction"].to_numpy(), rows["other"].to_numpy())
    acting_from = (
        thresholds.recorded(use_case, entries, known.version),
        thresholds.recorded(use_case, entries, known.previous),
    )
    pair = rules.Pair.of_served(use_case, rows.drop("prediction", "other").to_pandas(), *both, acting_from)
    on = f"on {pair.rows:,} rows of {', '.join(known.partitions)}"
    confidence = 1 - (1 - use_case.gate.confidence) / looks
    is_enough = all(rule.passed for rule in rules.sufficiency(pair))
    found = bootstrap.interval(pair.improvement(), pair.blocks, confidence) if is_enough else None
    if found is None:
        return known.model_copy(update={"rows": pair.rows, "reason": f"too little {on} to tell"})
    return known.model_copy(
        update={
            "rows": pair.rows,
            "improvement": found.estimate,
            "interval": (found.low, found.high),
            "confidence": confidence,
            "reason": f"{use_case.gate.metric} of v{known.version} against v{known.previous} {on}:"
            f" {found.estimate:+.4f} ({rules.percent(confidence)} bounds {found.low:+.4f} to {found.high:+.4f})",
        }
    )


def _ended(use_case: UseCase, known: Probation, state: str, made_by: str) -> Probation:
    """Record how a probation ended."""
    assert known.version is not None  # noqa: S101 - it is on probation
    said = f"{'rolled back' if state == FAILED else 'confirmed'}: {known.reason}"
    ended = known.model_copy(update={"state": state, "reason": said})
    evidence = ended.model_dump(mode="json") | {rollback.MADE_BY: made_by}
    entry = rollback.end_probation(use_case, known.version, state == FAILED, said, evidence)
    log.info("%s v%s: %s", use_case.name, known.version, said)
    # Another run may have ended it meanwhile, or a person has put another version in its place.
    return ended if entry is not None and _is_by(entry, made_by) else Probation()
