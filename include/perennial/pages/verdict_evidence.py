"""The numbers that a verdict, or a request for retraining, rests on, as people read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from perennial.monitoring.alarms import IN_WORDS
from perennial.monitoring.verdict import (
    Attribution,
    ClassEvidence,
    EstimateEvidence,
    ExpectedFrom,
    IntervalEvidence,
    QuarantinedShare,
    SliceEvidence,
    VerdictEvidence,
)
from perennial.pages.layout import NOTHING, count, share, signed, value


def facts(evidence: VerdictEvidence) -> list[tuple[str, str]]:
    """Evidence as (what, number in words), what was decided on first; keys of other releases last, as they are.

    Drift of columns is left out: the page has a table of it.
    """
    shown = []
    for name, (label, in_words) in _FACTS.items():
        if name in evidence.model_fields_set:
            fact = getattr(evidence, name)
            shown.append((label, NOTHING if fact is None else in_words(fact, evidence)))
    unknown = [
        (name.replace("_", " "), other if isinstance(other, str) else json.dumps(other, ensure_ascii=False))
        for name, other in sorted((evidence.model_extra or {}).items())
    ]
    return shown + unknown


InWords = Callable[[Any, VerdictEvidence], str]


def _number(number: Any, _: VerdictEvidence) -> str:
    return value(number)


def _count(number: Any, _: VerdictEvidence) -> str:
    return count(number)


def _share(number: Any, _: VerdictEvidence) -> str:
    return share(number)


def _text(text: Any, _: VerdictEvidence) -> str:
    return str(text)


def _lost(lost: float, evidence: VerdictEvidence) -> str:
    uncertainty = evidence.lost_uncertainty
    margin = f" ± {uncertainty:.4f}" if uncertainty is not None and uncertainty != float("inf") else ""
    return f"{signed(lost)}{margin}"


def _quarantined(quarantined: QuarantinedShare, _: VerdictEvidence) -> str:
    usual = quarantined.usual
    before = "no earlier partition to compare with" if usual is None else f"usually {share(usual)}"
    return f"{share(quarantined.now)} of the rows, {before}"


def _detectable(smallest: dict[str, float], _: VerdictEvidence) -> str:
    return ", ".join(f"{shift:g} standard deviations of {column}" for column, shift in smallest.items())


def _sustained(sustained: dict[str, int], _: VerdictEvidence) -> str:
    return ", ".join(f"{kind} in {times} of the last partitions" for kind, times in sustained.items()) or "none"


def _source(source: ExpectedFrom, _: VerdictEvidence) -> str:
    return f"the gate's decision on v{source.decision}, on data up to {source.partition}"


def _estimate(estimate: EstimateEvidence, _: VerdictEvidence) -> str:
    record = f"{estimate.within} of {estimate.partitions} partitions before were within theirs"
    return f"{estimate}; {record if estimate.partitions else 'no earlier one to compare with'}"


def _attribution(known: Attribution, _: VerdictEvidence) -> str:
    if known.left_out:
        return f"not known: {known.left_out}"
    common = f"{share(known.overlap)} in common with the holdout"
    if known.cost_of_inputs is None or known.unexplained is None:
        return f"not known: {known.unknown or 'it cannot be told'}, {common}"
    return f"{signed(known.cost_of_inputs)} by the inputs, {signed(known.unexplained)} not by them; {common}"


def _interval(its: IntervalEvidence, _: VerdictEvidence) -> str:
    if its.left_out or its.uncertainty is None:
        return f"not known: {its.left_out}"
    margin = f" ± {share(its.uncertainty)}" if its.uncertainty != float("inf") else ""
    expected = f", on the gate's holdout {value(its.expected_width)}" if its.expected_width is not None else ""
    within = f"{share(its.reached)}{margin} of {count(its.rows)} labels, declared {share(its.declared)}"
    since = "; its margin was renewed since" if its.is_renewed else ""
    left_out = f"; {count(its.earlier)} by an earlier margin are left out" if its.earlier else ""
    too_few = ", too few" if its.fell else ""
    return f"{within}{too_few}; mean width {value(its.width)}{expected}{since}{left_out}"


def _slices(slices: dict[str, SliceEvidence], _: VerdictEvidence) -> str:
    return "; ".join(f"{name} {_slice(each)}" for name, each in slices.items()) or "none"


def _slice(each: SliceEvidence) -> str:
    """A slice's metric, and what was expected of it if the gate measured that."""
    if each.expected is None:
        return f"{value(each.production)}, nothing to compare with"
    return f"{value(each.production)}, expected {value(each.expected)}{', fell' if each.fell else ''}"


def _classes(classes: dict[str, ClassEvidence], _: VerdictEvidence) -> str:
    return "; ".join(
        f"{name} {count(each.labels)} labels, {count(each.predicted)} predicted, {count(each.right)} of them rightly"
        for name, each in classes.items()
    )


_FACTS: dict[str, tuple[str, InWords]] = {
    "alarms": ("alarms", lambda alarms, _: ", ".join(alarms) or "none"),
    "cause": ("cause, by the partition's own measurements", lambda cause, _: IN_WORDS.get(str(cause), str(cause))),
    "broken": ("looks broken", lambda broken, _: "; ".join(broken) or "nothing"),
    "model_version": ("version", lambda version, _: f"v{version}"),
    "metric": ("gate's metric", _text),
    "production": ("production: the metric on labelled predictions", _number),
    "expected": ("expected: the metric on the gate's holdout", _number),
    "expected_from": ("expected metric is from", _source),
    "lost": ("lost against expected", _lost),
    "estimate": ("estimated: the metric without labels, with its 90% interval", _estimate),
    "estimate_left_out": ("no estimate without labels", _text),
    "attribution": ("of that, explained by the shift of the inputs", _attribution),
    "slices": ("slices", _slices),
    "interval": ("within their prediction intervals", _interval),
    "classes": ("classes", _classes),
    "rows": ("predictions", _count),
    "served": ("served before their outcome, the others backfilled", _count),
    "ahead": ("made ahead of their moment, of the served ones", _count),
    "judged": ("performance is that of", lambda which, _: f"{which} predictions"),
    "labelled": ("labelled predictions", _count),
    "label_coverage": ("label coverage", _share),
    "coverage_needed": ("label coverage needed", _share),
    "first_model_left_out": ("first model, which could not be compared", _text),
    "value_left_out": ("what decisions were worth, which could not be measured", _text),
    "drift_score": ("drift score: feature importance of drifted columns", _share),
    "prediction_drift": ("drift of the predictions, times their baseline", lambda ratio, _: f"{ratio:.2f}"),
    "detectable": ("smallest shifts that would have been found", _detectable),
    "sustained": ("sustained drift", _sustained),
    "persistence": ("drift is an alarm after", lambda often, _: f"{often[0]} of {often[1]} partitions"),
    "quarantined": ("quarantined", _quarantined),
    "age": ("age of the champion, in partitions", _count),
    "new_data": ("data since it was trained", _text),
    "loaded": ("partitions loaded", _count),
    "needed": ("partitions needed for the first model", _count),
    "schedule": ("schedule", _text),
}
