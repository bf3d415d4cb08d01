"""How a verdict follows from what a monitor observed: production performance outranks drift, drift outranks age."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from perennial import drift
from perennial.drift import ColumnDrift
from perennial.gate.decision import from_evidence
from perennial.monitoring import live_classes, live_slices
from perennial.monitoring.estimate import Made
from perennial.monitoring.expectation import Expectation
from perennial.monitoring.performance import Performance, fell
from perennial.monitoring.verdict import (
    AGE,
    ALARM,
    BROKEN_DATA,
    DRIFT,
    ESTIMATED_PERFORMANCE,
    HEALTHY,
    INTERVAL_COVERAGE,
    LABELS,
    ONE_SLICE,
    PERFORMANCE,
    PREDICTION_DRIFT,
    QUARANTINE,
    SLICE,
    WARNING,
    Attribution,
    DriftedColumn,
    IntervalEvidence,
    QuarantinedShare,
    SliceEvidence,
    Verdict,
    VerdictEvidence,
)
from perennial.partitions import Cadence, Partition
from perennial.quarantine import QuarantineShare
from perennial.registry.ledger import Entry
from perennial.use_case import DriftPolicy, UseCase
from perennial.use_case.metric_names import LOWER_IS_BETTER, gain

#: A share of quarantined rows below this is never an alarm, however much it grew.
SMALLEST_QUARANTINE = 0.01
#: Columns that look broken explain a loss of performance if they have this much of the feature importance together.
BROKEN_IMPORTANCE = 0.1
#: An estimate may alarm if the truth was within its interval in this share of earlier partitions, at least.
EARNED_COVERAGE = 0.8
#: Of a loss; less than this is not worth a sentence.
_SMALLEST_REST = 0.01
#: How many drifted columns a sentence names.
_NAMED_COLUMNS = 3


@dataclass(frozen=True)
class Observations:
    """What a monitor measured of one partition.

    Attributes:
        partition: The partition.
        champion: The promotion of the version that scored it.
        rows: Predictions by that version.
        performance: What the labels say of them.
        columns: Drift, column by column.
        sustained: Kind of drift (`drift`, `prediction-drift`) -> in how many of the last partitions, this one included,
            it reached its alarm level.
        quarantined: The share of quarantined rows.
        expectation: What is expected of the version on this partition.
        missing: Partitions right before this one that features look back into, and that are not in the lake.
        estimated: The performance as it was estimated without labels.
        attribution: What the loss of performance comes from; None: there is nothing to explain.
        interval: What the prediction intervals reached; None: there is nothing to tell.
        decided: The gate's decision on the version; None: it is that which made it champion.
    """

    partition: Partition
    champion: Entry
    rows: int
    performance: Performance
    columns: list[ColumnDrift]
    sustained: dict[str, int]
    quarantined: QuarantineShare
    expectation: Expectation = field(default_factory=Expectation)
    missing: tuple[str, ...] = ()
    estimated: Made = field(default_factory=Made)
    attribution: Attribution | None = None
    interval: IntervalEvidence | None = None
    decided: Entry | None = None


def persistence(use_case: UseCase) -> tuple[int, int]:
    """(n, m): drift is an alarm once n of the last m partitions reached the alarm level.

    By default one month or week is enough; of hours and days, which are many and noisy, two of three.
    """
    is_short = use_case.cadence in (Cadence.HOURLY, Cadence.DAILY)
    return use_case.drift.persistence or ((2, 3) if is_short else (1, 1))


def alarming_drift(policy: DriftPolicy, columns: list[ColumnDrift]) -> set[str]:
    """The kinds of drift that reach their alarm level in one partition; they are an alarm if they persist.

    Args:
        policy: The use case's drift policy.
        columns: Drift of the partition's columns, predictions among them.

    Returns:
        Some of `drift` and `prediction-drift`.
    """
    kinds = set()
    if any(column.drifted for column in columns) and drift.score(columns) >= policy.alarm:
        kinds.add(DRIFT)
    if any(column.drifted for column in columns if column.is_prediction):
        kinds.add(PREDICTION_DRIFT)
    return kinds


def decide(use_case: UseCase, observed: Observations) -> Verdict:
    """The verdict on a partition, its reason, and both in words.

    Args:
        use_case: Whose drift policy and gate metric apply.
        observed: What was measured.
    """
    evidence = _evidence(use_case, observed)
    alarms = _alarms(use_case, observed, evidence)
    warnings = _warnings(use_case, observed, evidence, alarms)
    by_age = _age_reasons(use_case, evidence)
    causes = _causes(use_case, observed, evidence, alarms)
    attributed = _attributed(observed, evidence, alarms)
    usual = [] if alarms or warnings or by_age or not causes else [_healthy(observed)]
    sentences = [*alarms.values(), *attributed, *usual, *causes.values(), *warnings.values(), *by_age.values()]
    reason = next((kind for kind in [*alarms, *by_age] if kind not in (QUARANTINE, ESTIMATED_PERFORMANCE)), "")
    if QUARANTINE in alarms and reason not in ("", PERFORMANCE, SLICE, INTERVAL_COVERAGE):
        # Bad data explain what looks like drift; training on them would not fix it.
        sentences.append(f"retraining for {reason} waits until the data are fixed")
        reason = ""
    known: dict[str, object] = {"alarms": tuple(alarms)}
    if causes:
        known["cause"] = next(iter(causes))
    if BROKEN_DATA in causes:
        known["broken"] = tuple(_broken(observed, alarms))
    return Verdict(
        verdict=ALARM if alarms else WARNING if warnings or by_age else HEALTHY,
        reason=reason,
        evidence=evidence.model_copy(update=known),
        explanation="; ".join(sentences or [_healthy(observed)]) + _of_which(observed.performance),
    )


def _alarms(use_case: UseCase, observed: Observations, evidence: VerdictEvidence) -> dict[str, str]:
    """Kind of alarm -> in words, the most important first."""
    policy, judged = use_case.drift, observed.performance.judged
    alarms: dict[str, str] = {}
    if fell(use_case, evidence.lost, observed.performance):
        alarms[PERFORMANCE] = (
            f"{evidence.metric} is {evidence.production:.4g} on {judged:,} labels"
            f"{' of served predictions' if observed.performance.is_of_served else ''} where"
            f" {evidence.expected:.4g} was expected{_since(evidence)}"
        )
    elif fallen := _fallen(evidence):
        alarms[SLICE] = f"{evidence.metric} fell on {_in_words(fallen)}"
    elif evidence.estimate is not None and _is_estimated_to_fall(policy, evidence) and has_earned(policy, evidence):
        alarms[ESTIMATED_PERFORMANCE] = (
            f"{_estimate(evidence)} where {evidence.expected:.4g} was expected{_since(evidence)}; the truth was within"
            f" the interval in {evidence.estimate.within} of {evidence.estimate.partitions} partitions before"
        )
    if evidence.interval is not None and evidence.interval.fell:
        alarms[INTERVAL_COVERAGE] = _uncovered(evidence.interval)
    if observed.rows >= policy.min_rows:
        needed, _ = persistence(use_case)
        if observed.sustained.get(DRIFT, 0) >= needed:
            alarms[DRIFT] = (
                f"{evidence.drift_score:.0%} of the champion's feature importance is in drifted columns:"
                f" {_drifted_columns(observed)}"
            )
        if observed.sustained.get(PREDICTION_DRIFT, 0) >= needed:
            alarms[PREDICTION_DRIFT] = f"predictions drifted ({_prediction_drift(observed)})"
    if _has_grown(policy, observed.quarantined):
        share = observed.quarantined
        alarms[QUARANTINE] = f"{share.now:.1%} of the rows are quarantined, usually {share.usual:.1%}"
    return alarms


def _uncovered(its: IntervalEvidence) -> str:
    return (
        f"{its.reached:.1%} of {its.rows:,} labels are within their prediction intervals where {its.declared:.4g}"
        f" was declared"
    )


def _prediction_drift(observed: Observations) -> str:
    """How the predictions drifted, in words: of several classes which of them drifted most."""
    most = max((c for c in observed.columns if c.is_prediction and c.drifted), key=lambda c: c.ratio)
    return f"{most.column}: {most.explanation}" if most.of_class else most.explanation


def has_earned(policy: DriftPolicy, evidence: VerdictEvidence) -> bool:
    """Whether the record of a use case's estimates is long and good enough for one of them to alarm.

    Args:
        policy: Says how long it has to be, and how large a loss is one: errors are smaller than that on average.
        evidence: Of a verdict with an estimate.
    """
    its = evidence.estimate
    if its is None or its.mean_error is None or policy.estimate_record is None or policy.performance_drop is None:
        return False
    is_long, is_right = its.partitions >= policy.estimate_record, its.within >= EARNED_COVERAGE * its.partitions
    return is_long and is_right and its.mean_error < policy.performance_drop


def _is_estimated_to_fall(policy: DriftPolicy, evidence: VerdictEvidence) -> bool:
    """Whether too much is lost even at the better end of an estimate's interval, and no label tells yet."""
    its = evidence.estimate
    if its is None or evidence.metric is None or evidence.expected is None or policy.performance_drop is None:
        return False
    better = its.low if evidence.metric in LOWER_IS_BETTER else its.high
    return evidence.production is None and gain(evidence.metric, evidence.expected, better) > policy.performance_drop


def _estimate(evidence: VerdictEvidence) -> str:
    return f"{evidence.metric} is estimated at {evidence.estimate} without labels"


def _attributed(observed: Observations, evidence: VerdictEvidence, alarms: dict[str, str]) -> list[str]:
    """What the loss comes from, in words, where performance or the inputs are an alarm and it is known."""
    known = observed.attribution
    if known is None or known.left_out or not alarms.keys() & {PERFORMANCE, DRIFT}:
        return []
    if known.cost_of_inputs is None or evidence.lost is None:
        return [f"what the inputs cost cannot be told: {known.unknown}"]
    cost = max(known.cost_of_inputs, 0.0)  # What is negative is chance, or what is left hides more.
    if PERFORMANCE not in alarms:
        return [f"the shift of the inputs cost {f'{cost:.2g} of {evidence.metric}' if cost else 'nothing'}"]
    explained = min(cost, evidence.lost)
    costly = max((c for c in observed.columns if (c.cost or 0) > 0), key=lambda c: c.cost or 0, default=None)
    most = f", most by {costly.column} ({costly.cost:.2g} by itself)" if costly and explained else ""
    of_inputs = f"of the {evidence.lost:.2g} lost, {explained:.2g} is explained by the shift of the inputs{most}"
    rest = evidence.lost - explained
    changed = "the relation between inputs and label changed, or something that is no input"
    return [of_inputs, *([f"{rest:.2g} is not: {changed}"] if rest >= _SMALLEST_REST * evidence.lost else [])]


def _since(evidence: VerdictEvidence) -> str:
    """Which data the expected metric is from, where that is not the version's own promotion."""
    source = evidence.expected_from
    if source is None:
        return ""
    return f" since it was compared with v{source.decision} on data up to {source.partition}"


def _causes(
    use_case: UseCase, observed: Observations, evidence: VerdictEvidence, alarms: dict[str, str]
) -> dict[str, str]:
    """What the partition's own measurements say about a loss of performance: cause -> in words; at most one.

    Whether the model is stale or the problem became harder they cannot say: only a newer model can, in the gate.
    """
    policy, performance = use_case.drift, observed.performance
    if {PERFORMANCE, SLICE, ESTIMATED_PERFORMANCE, INTERVAL_COVERAGE} & alarms.keys():
        if broken := _broken(observed, alarms):
            return {BROKEN_DATA: f"the data look broken ({', '.join(broken)}): fix the source"}
        if SLICE in alarms:
            others = "the other slices did not fall" if _only_fallen(use_case, evidence) else "the whole did not fall"
            return {ONE_SLICE: others}
        if fallen := _only_fallen(use_case, evidence):
            return {ONE_SLICE: f"it is {_in_words(fallen)} that fell, and no other slice"}
        if ESTIMATED_PERFORMANCE not in alarms:
            return {}
    if policy.performance_drop is not None and performance.rows and not performance.champion:
        known = f"{performance.labelled:,} of {performance.rows:,} predictions have a label"
        if performance.coverage < policy.min_coverage:
            needed = f"performance is not known yet: {known}, {policy.min_coverage:.0%} are needed"
            return {LABELS: needed + ("" if alarms.keys() & {ESTIMATED_PERFORMANCE} else _meanwhile(policy, evidence))}
    return {}


def _meanwhile(policy: DriftPolicy, evidence: VerdictEvidence) -> str:
    """What is estimated while labels are missing, and why that is no alarm where it would be one."""
    its = evidence.estimate
    if its is None:
        return ""
    if not _is_estimated_to_fall(policy, evidence):
        return f"; until then {_estimate(evidence)}"
    record = f"the truth was within the interval in {its.within} of {its.partitions} partitions before"
    return f"; until then {_estimate(evidence)}, which is no alarm by its record: {record}"


def _broken(observed: Observations, alarms: dict[str, str]) -> list[str]:
    """What is wrong with the data of a partition, in words, if it may explain a loss of performance."""
    broken = [c for c in observed.columns if c.is_broken and not c.is_prediction]
    broken.sort(key=lambda c: (-c.importance, c.column))
    named = [f"{c.column}: {c.explanation}" for c in broken[:_NAMED_COLUMNS]]
    return [
        *(named if sum(c.importance for c in broken) >= BROKEN_IMPORTANCE else []),
        *([alarms[QUARANTINE]] if QUARANTINE in alarms else []),
        *([f"{', '.join(observed.missing)} before it is missing"] if observed.missing else []),
    ]


def _fallen(evidence: VerdictEvidence) -> dict[str, SliceEvidence]:
    """The slices that fell, the largest loss first."""
    fallen = {name: each for name, each in evidence.slices.items() if each.fell}
    return dict(sorted(fallen.items(), key=lambda item: -(item[1].lost or 0)))


def _only_fallen(use_case: UseCase, evidence: VerdictEvidence) -> dict[str, SliceEvidence]:
    """The slices that fell, if all others of their column lost no more than may be lost; else none."""
    fallen, most = _fallen(evidence), use_case.drift.performance_drop or 0.0
    columns = {name.partition("=")[0] for name in fallen}
    others = [
        each.lost
        for name, each in evidence.slices.items()
        if name not in fallen and each.lost is not None and name.partition("=")[0] in columns
    ]
    return fallen if others and all(lost <= most for lost in others) else {}


def _in_words(fallen: dict[str, SliceEvidence]) -> str:
    """The slices that fell, with their numbers."""
    return ", ".join(
        f"{name} ({each.production:.4g} where {each.expected:.4g} was expected)" for name, each in fallen.items()
    )


def _warnings(
    use_case: UseCase, observed: Observations, evidence: VerdictEvidence, alarms: dict[str, str]
) -> dict[str, str]:
    """What a person should look at although it is no alarm: kind -> in words."""
    policy = use_case.drift
    if observed.rows < policy.min_rows:
        return {"few rows": f"only {observed.rows} rows, {policy.min_rows} are needed to measure drift"}
    warnings: dict[str, str] = {}
    drifted = _drifted_columns(observed)
    is_important = (evidence.drift_score or 0) >= policy.warning or any(c.is_broken for c in observed.columns)
    if DRIFT not in alarms and drifted and is_important:
        warnings[DRIFT] = f"drift of {drifted}"
    if changed := live_classes.in_words(evidence.classes):
        warnings["classes"] = changed
    needed, of = persistence(use_case)
    for kind in sorted(observed.sustained.keys() - alarms.keys()):
        so_far = observed.sustained[kind]
        warnings[kind] = f"{warnings.get(kind, kind)}, an alarm once in {needed} of {of} partitions ({so_far} so far)"
    return warnings


def _age_reasons(use_case: UseCase, evidence: VerdictEvidence) -> dict[str, str]:
    """That the champion is old enough to be replaced, if it is."""
    age, oldest = evidence.age or 0, use_case.retraining.max_age
    return {AGE: f"the champion is {age} partitions old"} if oldest is not None and age >= oldest else {}


def _has_grown(policy: DriftPolicy, share: QuarantineShare) -> bool:
    """Whether more rows are quarantined than usual; never without earlier partitions."""
    if policy.quarantine_growth is None or share.usual is None:
        return False
    return share.now > max(SMALLEST_QUARANTINE, policy.quarantine_growth * share.usual)


def _healthy(observed: Observations) -> str:
    drifted = _drifted_columns(observed)
    said = f"only drift of {drifted}" if drifted else "nothing exceeds its training baseline"
    smallest = ", ".join(f"{_rounded(shift, 2):g} sd of {column}" for column, shift in _detectable(observed).items())
    return f"{said} (blind to shifts below {smallest})" if smallest else said


def _detectable(observed: Observations) -> dict[str, float]:
    """The smallest shift that would have been found, of the most important columns that did not drift."""
    columns = (c for c in observed.columns if not c.drifted and not c.is_prediction)
    ordered = sorted(columns, key=lambda c: (-c.importance, c.column))
    found = [(c.column, _rounded(c.detectable, 3)) for c in ordered if c.detectable is not None]
    return dict(found[:_NAMED_COLUMNS])


def _rounded(number: float, digits: int) -> float:
    """To so many significant digits."""
    return float(f"{number:.{digits}g}")


def _of_which(performance: Performance) -> str:
    """What the performance is of, where predictions were served."""
    if not performance.served or not performance.champion:
        return ""
    few = f"of all predictions: too few of the {performance.served:,} that were served have labels"
    return f" (performance {f'of {performance.judged:,} served predictions' if performance.is_of_served else few})"


def _drifted_columns(observed: Observations) -> str:
    """The drifted columns in words: what looks broken, what cost most, what is most important first."""
    drifted = [c for c in observed.columns if c.drifted and not c.is_prediction]
    drifted.sort(key=lambda c: (not c.is_broken, -(c.cost or 0), -c.importance, -c.ratio))
    named = ", ".join(f"{c.column} ({c.explanation})" for c in drifted[:_NAMED_COLUMNS])
    more = len(drifted) - _NAMED_COLUMNS
    return f"{named} and {more} more columns" if more > 0 else named


def _evidence(use_case: UseCase, observed: Observations) -> VerdictEvidence:
    champion, performance, metric = observed.champion, observed.performance, use_case.gate.metric
    expected = observed.expectation.metrics.get(metric)
    production = performance.champion.get(metric)
    lost = gain(metric, expected, production) if production is not None and expected is not None else None
    drifted = sorted((c for c in observed.columns if c.drifted), key=lambda c: -c.importance)
    predictions = [c for c in observed.columns if c.is_prediction]
    evidence = VerdictEvidence(
        partition=observed.partition.key,
        model_version=champion.model_version,
        rows=observed.rows,
        labelled=performance.labelled,
        label_coverage=round(performance.coverage, 4),
        coverage_needed=use_case.drift.min_coverage,
        metric=metric,
        expected=expected,
        production=production,
        lost=lost,
        lost_uncertainty=performance.uncertainty,
        drift_score=round(drift.score(observed.columns), 4),
        drifted={column.column: _drifted_column(column) for column in drifted},
        prediction_drift=round(max(c.ratio for c in predictions), 2) if predictions else None,
        sustained=observed.sustained,
        persistence=persistence(use_case),
        quarantined=QuarantinedShare(**asdict(observed.quarantined)),
        age=len(list(use_case.cadence.at(champion.effective_from).through(observed.partition))),
        new_data=f"{champion.effective_from:%Y-%m-%d} to {observed.partition.end:%Y-%m-%d}",
    )
    more: dict[str, object] = {"first_model_left_out": performance.first_left_out} if performance.first_left_out else {}
    if performance.value_left_out:
        more["value_left_out"] = performance.value_left_out
    if observed.attribution is not None:
        more["attribution"] = observed.attribution
    # What an older decision did not record is left out: a verdict that rests on it stays as it was.
    source = observed.expectation.source
    if source is not None and source.decision != champion.model_version:
        more["expected_from"] = source
    more |= _in_detail(use_case, observed)
    if observed.estimated.estimate is not None:
        more["estimate"] = observed.estimated.estimate
    if observed.estimated.left_out:
        more["estimate_left_out"] = observed.estimated.left_out
    if detectable := _detectable(observed):
        more["detectable"] = detectable
    if performance.served:
        # Not where nothing was: a verdict on backfilled predictions stays as it was before there were others.
        more |= {"served": performance.served, "ahead": performance.ahead}
        more |= {"judged": "served" if performance.is_of_served else "all"} if performance.champion else {}
    return evidence.model_copy(update=more) if more else evidence


def _in_detail(use_case: UseCase, observed: Observations) -> dict[str, object]:
    """What is known of slices, prediction intervals and classes."""
    performance, expected = observed.performance, observed.expectation
    known: dict[str, object] = {}
    if expected.slices and performance.slices and expected.slice_metric in (None, use_case.gate.metric):
        known["slices"] = live_slices.compare(use_case, performance.slices, expected.slices)
    if observed.interval is not None:
        known["interval"] = observed.interval
    if performance.classes:
        decided = observed.decided or observed.champion  # After a rollback the latter is no decision on the version.
        known["classes"] = live_classes.compare(performance.classes, from_evidence(decided.evidence))
    return known


def _drifted_column(column: ColumnDrift) -> DriftedColumn:
    known = {"cost": column.cost} if column.cost is not None else {}
    return DriftedColumn(
        **known,
        why=column.why,
        explanation=column.explanation,
        method=column.method,
        distance=round(column.distance, 4),
        reference=round(column.reference, 4),
        ratio=round(column.ratio, 2),
        importance=round(column.importance, 4),
    )
