"""The numbers that a verdict, or a request, rests on, as people read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from perennial.pages.layout import count, share, signed, value


def facts(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Evidence as (what, number in words), what was decided on first; what nobody knows a word for comes last, as it
    is. Drift of columns is left out: the page has a table of it."""
    known = [(said, _put(evidence[name], put, evidence)) for name, (said, put) in _KNOWN.items() if name in evidence]
    rest = [
        (name.replace("_", " "), found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))
        for name, found in sorted(evidence.items())
        if name not in _KNOWN and name not in _ELSEWHERE
    ]
    return known + rest


Put = Callable[[Any, Mapping[str, Any]], str]


def _put(found: Any, put: Put, evidence: Mapping[str, Any]) -> str:
    """A value in words; as it is where it has another form than this version of the library writes."""
    try:
        return put(found, evidence)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        return json.dumps(found, ensure_ascii=False)


def _number(found: Any, _: Mapping[str, Any]) -> str:
    return value(found)


def _counted(found: Any, _: Mapping[str, Any]) -> str:
    return count(found)


def _share(found: Any, _: Mapping[str, Any]) -> str:
    return share(found)


def _text(found: Any, _: Mapping[str, Any]) -> str:
    return str(found)


def _lost(found: Any, evidence: Mapping[str, Any]) -> str:
    uncertainty = evidence.get("lost_uncertainty")
    give = f", give or take {uncertainty:.4f}" if uncertainty is not None and uncertainty != float("inf") else ""
    return "not judged" if found is None else f"{signed(found)}{give}"


def _quarantined(found: Any, _: Mapping[str, Any]) -> str:
    usual = f"usually {share(found['usual'])}" if found["usual"] is not None else "no earlier partition to compare with"
    return f"{share(found['now'])} of the rows, {usual}"


def _sustained(found: Any, evidence: Mapping[str, Any]) -> str:
    return ", ".join(f"{kind} in {times} of the last partitions" for kind, times in found.items()) or "none"


def _persistence(found: Any, _: Mapping[str, Any]) -> str:
    return f"{found[0]} of {found[1]} partitions"


_KNOWN: dict[str, tuple[str, Put]] = {
    "alarms": ("alarms", lambda found, _: ", ".join(found) or "none"),
    "model_version": ("version", lambda found, _: f"v{found}"),
    "metric": ("gate's metric", _text),
    "lived": ("lived: the metric on what has a label", _number),
    "promised": ("promised: the metric on the gate's holdout", _number),
    "lost": ("lost of what was promised", _lost),
    "rows": ("predictions", _counted),
    "labelled": ("of them with a label", _counted),
    "label_coverage": ("label coverage", _share),
    "coverage_needed": ("coverage that is needed", _share),
    "first_model_left_out": ("first model, which cannot be compared with", _text),
    "drift_score": ("drift score: skill that rests on drifted columns", _share),
    "prediction_drift": ("drift of the predictions, times the usual", lambda found, _: f"{found:.2f}"),
    "sustained": ("drift that lasts", _sustained),
    "persistence": ("drift is an alarm after", _persistence),
    "quarantined": ("quarantined", _quarantined),
    "age": ("age of the champion, in partitions", _counted),
    "new_data": ("data since it was trained", _text),
    "partitions": ("partitions that are in", _counted),
    "needed": ("needed for a first model", _counted),
}
#: Told beside another fact, or by the page itself.
_ELSEWHERE = frozenset({"drifted", "lost_uncertainty", "partition"})
