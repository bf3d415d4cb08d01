"""How a verdict follows from what a monitor found: real performance outranks drift, drift outranks age."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from perennial import drift
from perennial.drift import ColumnDrift
from perennial.monitoring.performance import Performance
from perennial.partitions import Cadence, Partition
from perennial.quarantine import Share
from perennial.registry.ledger import Entry
from perennial.use_case import Declaration, DriftPolicy, UseCase, gain

HEALTHY, WARNING, ALARM, NO_CHAMPION = "healthy", "warning", "alarm", "no-champion"
PERFORMANCE, DRIFT, PREDICTION_DRIFT, QUARANTINE = "performance", "drift", "prediction-drift", "quarantine"
#: A share of quarantined rows below this is never an alarm, however much it grew.
SMALLEST_QUARANTINE = 0.01
_TOLD_COLUMNS = 3


class Verdict(Declaration):
    """A monitor's decision on one partition.

    Attributes:
        verdict: healthy, warning, alarm or no-champion.
        reason: Why retraining is asked for (`performance`, `drift`, `prediction-drift`, `age`, `first-model`); empty if
            it is not.
        evidence: The numbers it rests on.
        report: Address of the Evidently report; empty without one.
        explanation: One sentence for people.
    """

    verdict: str
    reason: str
    evidence: dict[str, Any]
    report: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Observations:
    """What a monitor found out about one partition.

    Attributes:
        champion: The promotion of the version that scored it.
        rows: Predictions by that version.
        columns: Drift, column by column.
        sustained: Kind of drift (`drift`, `prediction-drift`) -> in how many of the last partitions, this one included,
            it was beyond its alarm.
        quarantined: The share of refused rows.
    """

    partition: Partition
    champion: Entry
    rows: int
    performance: Performance
    columns: list[ColumnDrift]
    sustained: dict[str, int]
    quarantined: Share


def persistence(use_case: UseCase) -> tuple[int, int]:
    """(n, m): drift is an alarm once n of the last m partitions were beyond it.

    By default one month or week is enough; of hours and days, which are many and noisy, two of three.
    """
    often = use_case.cadence in (Cadence.HOURLY, Cadence.DAILY)
    return use_case.drift.persistence or ((2, 3) if often else (1, 1))


def alarming_drift(policy: DriftPolicy, columns: list[ColumnDrift]) -> set[str]:
    """The kinds of drift that these columns are an alarm of, if it lasts."""
    predictions = {column.drifted for column in columns if column.column == drift.PREDICTION}
    kinds = {DRIFT} if any(c.drifted for c in columns) and drift.score(columns) >= policy.alarm else set()
    return kinds | ({PREDICTION_DRIFT} if True in predictions else set())


def decide(use_case: UseCase, found: Observations) -> Verdict:
    """The verdict, its reason, and both in words."""
    evidence = _evidence(use_case, found)
    alarms = _alarms(use_case, found, evidence)
    warnings = _warnings(use_case, found, evidence, alarms)
    age, old = evidence["age"], use_case.retraining.max_age
    aged = {"age": f"the champion is {age} partitions old"} if old is not None and age >= old else {}
    said = [*alarms.values(), *warnings.values(), *aged.values()]
    verdict = ALARM if alarms else WARNING if warnings or aged else HEALTHY
    reason = next((name for name in [*alarms, *aged] if name != QUARANTINE), "")
    if QUARANTINE in alarms and reason not in ("", PERFORMANCE):
        # A fault of the data explains what it looks like; training on it would not mend it.
        said.append(f"retraining for {reason} waits until the data are mended")
        reason = ""
    return Verdict(
        verdict=verdict,
        reason=reason,
        evidence=evidence | {"alarms": list(alarms)},
        explanation="; ".join(said) or _calm(found),
    )


def _alarms(use_case: UseCase, found: Observations, evidence: dict[str, Any]) -> dict[str, str]:
    """Kind -> in words, the weightiest first."""
    policy, lived = use_case.drift, found.performance
    alarms: dict[str, str] = {}
    lost = evidence["lost"]
    # Few labels can make a bad value of a good model: that anything was lost must be certain.
    if (
        policy.performance_drop is not None
        and lost is not None
        and lost > max(policy.performance_drop, lived.uncertainty)
    ):
        alarms[PERFORMANCE] = (
            f"{evidence['metric']} is {evidence['lived']:.4g} on {lived.labelled:,} labels where"
            f" {evidence['promised']:.4g} was promised"
        )
    if found.rows >= policy.min_rows:
        needed = persistence(use_case)[0]
        if found.sustained.get(DRIFT, 0) >= needed:
            alarms[DRIFT] = f"{evidence['drift_score']:.0%} of the champion's skill rests on {_columns(found)}"
        if found.sustained.get(PREDICTION_DRIFT, 0) >= needed:
            (prediction,) = (column for column in found.columns if column.column == drift.PREDICTION)
            alarms[PREDICTION_DRIFT] = f"predictions drifted ({prediction.told})"
    if _grew(policy, found.quarantined):
        share = found.quarantined
        alarms[QUARANTINE] = f"{share.now:.1%} of the rows are quarantined, usually {share.usual:.1%}"
    return alarms


def _warnings(
    use_case: UseCase, found: Observations, evidence: dict[str, Any], alarms: dict[str, str]
) -> dict[str, str]:
    """What is worth a look but no alarm."""
    policy = use_case.drift
    if found.rows < policy.min_rows:
        return {"few rows": f"only {found.rows} rows, {policy.min_rows} are needed to judge drift"}
    warnings: dict[str, str] = {}
    drifted = _columns(found)
    weighty = evidence["drift_score"] >= policy.warning or any(column.is_broken for column in found.columns)
    if DRIFT not in alarms and drifted and weighty:
        warnings[DRIFT] = f"drift of {drifted}"
    for kind in sorted(found.sustained.keys() - alarms.keys()):
        needed, of = persistence(use_case)
        warnings[kind] = (
            f"{warnings.get(kind, kind)}, an alarm if {needed} of {of} partitions are (so far {found.sustained[kind]})"
        )
    return warnings


def _grew(policy: DriftPolicy, share: Share) -> bool:
    """Whether more rows are quarantined than usual; never without earlier partitions."""
    if policy.quarantine_growth is None or share.usual is None:
        return False
    return share.now > max(SMALLEST_QUARANTINE, policy.quarantine_growth * share.usual)


def _calm(found: Observations) -> str:
    drifted = _columns(found)
    return f"only drift of {drifted}" if drifted else "nothing is beyond what was usual in training"


def _columns(found: Observations) -> str:
    """The drifted columns in words, what matters most first; what is broken before what moved."""
    drifted = [c for c in found.columns if c.drifted and c.column != drift.PREDICTION]
    drifted.sort(key=lambda c: (not c.is_broken, -c.importance, -c.ratio))
    told = ", ".join(f"{c.column} ({c.told})" for c in drifted[:_TOLD_COLUMNS])
    more = len(drifted) - _TOLD_COLUMNS
    return f"{told} and {more} more columns" if more > 0 else told


def _evidence(use_case: UseCase, found: Observations) -> dict[str, Any]:
    policy, champion, metric = use_case.drift, found.champion, use_case.gate.metric
    promised = champion.evidence.get("metrics", {}).get("challenger", {}).get(metric)
    lived = found.performance.champion.get(metric)
    lost = gain(metric, promised, lived) if lived is not None and promised is not None else None
    drifted = sorted((c for c in found.columns if c.drifted), key=lambda c: -c.importance)
    prediction = next((c for c in found.columns if c.column == drift.PREDICTION), None)
    told = {
        "partition": found.partition.key,
        "model_version": champion.model_version,
        "rows": found.rows,
        "labelled": found.performance.labelled,
        "label_coverage": round(found.performance.coverage, 4),
        "coverage_needed": policy.min_coverage,
        "metric": metric,
        "promised": promised,
        "lived": lived,
        "lost": lost,
        "lost_uncertainty": found.performance.uncertainty,
        "drift_score": round(drift.score(found.columns), 4),
        "drifted": {column.column: _facts(column) for column in drifted},
        "prediction_drift": round(prediction.ratio, 2) if prediction else None,
        "sustained": found.sustained,
        "persistence": list(persistence(use_case)),
        "quarantined": asdict(found.quarantined),
        "age": len(list(use_case.cadence.at(champion.effective_from).through(found.partition))),
        "new_data": f"{champion.effective_from:%Y-%m-%d} to {found.partition.end:%Y-%m-%d}",
    }
    left_out = found.performance.first_left_out
    return told | ({"first_model_left_out": left_out} if left_out else {})


def _facts(column: ColumnDrift) -> dict[str, Any]:
    return {
        "why": column.why,
        "told": column.told,
        "method": column.method,
        "distance": round(column.distance, 4),
        "reference": round(column.reference, 4),
        "ratio": round(column.ratio, 2),
        "importance": round(column.importance, 4),
    }
