"""The probation of a refit: on the first partitions that it scores, is it worse than the champion that it replaced?

A refit is promoted on the evidence of the version that was evaluated in its place. So the champion before it predicts
the same rows in shadow, from the same features, until as much event time has passed as the gate's holdout spans. Where
the refit is significantly worse, the champion before it serves again, and automatic promotion goes on: no person has
to be asked, because that champion passed the gate itself.

Each partition that gets its labels is one look at the evidence, and a look too many finds a difference that is not
there: the confidence of each is corrected by the number of looks (C. E. Bonferroni, 1936; here as in O. J. Dunn,
"Multiple Comparisons among Means", Journal of the American Statistical Association 56, 1961).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

import polars as pl

from perennial.errors import PerennialError, ServiceUnavailable
from perennial.evaluation import bootstrap
from perennial.gate import rollback, rules
from perennial.monitoring import performance
from perennial.partitions import Partition
from perennial.registry import ledger
from perennial.registry.ledger import Deployment, Entry
from perennial.use_case import UseCase
from perennial.use_case.declarations import Declaration

log = logging.getLogger(__name__)


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
    state: str = "none"
    reason: str = "the champion is on no probation"
    partitions: tuple[str, ...] = ()
    rows: int = 0
    improvement: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float | None = None


def review(use_case: UseCase, partition: Partition) -> Probation:
    """Compare a refit on probation with the champion before it, and end the probation if the evidence does.

    What ends it is one row of the ledger, `confirmed` or `rolled-back`, by the gate; run again, it is written once.

    Args:
        use_case: Whose champion. With a rollout it has proven itself on live requests, and is on no probation.
        partition: The newest one that is monitored; those after it are not looked at.

    Raises:
        ServiceUnavailable: MLflow, which holds the models, does not answer.
    """
    entries = ledger.entries(use_case)
    begun = _on_probation(use_case, entries)
    if begun is None:
        serving = ledger.champion_among(entries)
        if serving is not None and serving.action == ledger.ROLLED_BACK:
            rollback.follow(use_case)  # An attempt may have been killed between the ledger and the alias.
        return Probation()
    start, entry = begun
    known = Probation(version=entry.model_version, previous=entry.previous_version, state="under way")
    period = list(_period(use_case, start))
    try:
        compared, is_complete = _compare(use_case, period, partition, known)
    except ServiceUnavailable:
        raise
    except Exception as error:  # Whatever is wrong with an old model must not stop the champion's monitoring.
        problem = error.problem if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        why = f"v{known.version} is confirmed: it cannot be compared with v{known.previous}: {problem}"
        return _ended(use_case, known.model_copy(update={"state": "passed", "reason": why}))
    known = known.model_copy(update={"partitions": tuple(compared)})
    if compared:
        known = _measured(use_case, known, pl.concat(compared.values()), looks=len(period))
    if known.interval is not None and known.interval[1] < 0:
        return _ended(use_case, known.model_copy(update={"state": "failed", "reason": f"rolled back: {known.reason}"}))
    if is_complete:
        return _ended(use_case, known.model_copy(update={"state": "passed", "reason": f"confirmed: {known.reason}"}))
    return known


def _on_probation(use_case: UseCase, entries: list[Entry]) -> Deployment | None:
    """The champion's deployment if it is a refit that the gate's evidence promoted, and is not confirmed yet."""
    deployed = ledger.deployments(entries)
    if not deployed or use_case.rollout is not None:
        return None
    entry = deployed[-1].entry
    is_refit = entry.action == ledger.PROMOTED and entry.evidence.get(ledger.EVALUATED) is not None
    is_ended = any(each.event_id == ledger.probation_of(entry.model_version) for each in entries)
    return deployed[-1] if is_refit and entry.previous_version is not None and not is_ended else None


def _period(use_case: UseCase, start: datetime) -> Iterator[Partition]:
    """The partitions of a probation: those that begin within the length of the gate's holdout, at least one."""
    first = use_case.cadence.at(start)
    each = first if first.start == start else first.next
    end = each.start + use_case.gate.holdout
    while each.start < end:
        yield each
        each = each.next


def _compare(
    use_case: UseCase, period: Iterable[Partition], newest: Partition, known: Probation
) -> tuple[dict[str, pl.DataFrame], bool]:
    """The rows of each partition that has its labels, and whether no other is to come."""
    assert known.version is not None and known.previous is not None  # noqa: PT018, S101 - it is on probation
    compared: dict[str, pl.DataFrame] = {}
    is_complete = True
    for each in period:
        if each > newest:
            return compared, False
        counted, labelled = performance.judged(use_case, each, known.version)
        if labelled is not None:
            compared[each.key] = performance.beside(use_case, each, known.version, known.previous, labelled)
        elif counted.rows:
            is_complete = False
    return compared, is_complete


def _measured(use_case: UseCase, known: Probation, rows: pl.DataFrame, looks: int) -> Probation:
    """By how much the refit is better on these rows."""
    pair = rules.Pair.of(use_case, rows.to_pandas(), rows["prediction"].to_numpy(), rows["other"].to_numpy())
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


def _ended(use_case: UseCase, known: Probation) -> Probation:
    """Record how a probation ended."""
    assert known.version is not None  # noqa: S101 - it is on probation
    evidence = known.model_dump(mode="json")
    rollback.end_probation(use_case, known.version, known.state == "failed", known.reason, evidence)
    log.info("%s v%s: %s", use_case.name, known.version, known.reason)
    return known
