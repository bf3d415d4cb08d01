"""The classes of a multi-class use case in production: which were predicted, which occurred, and which came or went."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perennial.drift.comparison import VANISHES_FROM
from perennial.gate.decision import ClassCounts, GateDecision
from perennial.monitoring.verdict import ClassEvidence
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS


def measure(use_case: UseCase, label: np.ndarray, prediction: np.ndarray) -> dict[str, ClassEvidence]:
    """Count the labelled predictions of each class; empty of another task.

    Args:
        use_case: Whose classes.
        label: (n,) as `metrics.evaluate` takes it.
        prediction: (n, K), likewise.
    """
    if use_case.task != MULTICLASS:
        return {}
    said, size = prediction.argmax(axis=1), len(use_case.classes)
    counts = [np.bincount(each, minlength=size) for each in (label, said, label[label == said])]
    return {
        name: ClassEvidence(labels=int(labels), predicted=int(predicted), right=int(right))
        for name, labels, predicted, right in zip(use_case.classes, *counts, strict=True)
    }


def compare(measured: Mapping[str, ClassEvidence], decided: GateDecision | None) -> dict[str, ClassEvidence]:
    """The classes beside what the gate recorded of each.

    Args:
        measured: As `measure` returns them.
        decided: The decision on the version that scored; None: it is not readable.
    """
    recorded: Mapping[str, ClassCounts] = (decided.classes if decided is not None else None) or {}
    rows = sum(each.rows for each in recorded.values())
    if decided is None or not rows:
        return dict(measured)
    # A class that was declared later is not recorded: nothing of it was fitted on. A refit has seen the holdout, too.
    none = ClassCounts(fitted=0, rows=0, challenger={}, champion={})
    known = {name: recorded.get(name, none) for name in measured}
    return {
        name: each.model_copy(
            update={
                "fitted": (known[name].fitted or 0) + (known[name].rows if decided.evaluated is not None else 0),
                "share_before": round(known[name].rows / rows, 6),
            }
        )
        for name, each in measured.items()
    }


def in_words(classes: Mapping[str, ClassEvidence]) -> str:
    """Which classes appeared or vanished, by their labels; empty: none did.

    One has appeared if the version was fitted on none of its rows. It has vanished if, by its share of the holdout, at
    least ten rows were to be expected, and there is none.

    Args:
        classes: As `compare` returns them.
    """
    labels = sum(each.labels for each in classes.values())
    appeared = [
        f"class {name!r} has {each.labels:,} of {labels:,} labels, and the version was fitted on none"
        for name, each in classes.items()
        if each.labels and each.fitted == 0
    ]
    vanished = [
        f"class {name!r} has none of {labels:,} labels, where {each.share_before:.1%} of the holdout had it"
        for name, each in classes.items()
        if not each.labels and (each.share_before or 0) * labels >= VANISHES_FROM
    ]
    return "; ".join([*appeared, *vanished])
