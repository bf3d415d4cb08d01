"""The gate's slices in production: its metric on the labelled predictions of each, and which of them fell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from perennial.evaluation import metrics, slices
from perennial.lake import labels, prediction_columns
from perennial.monitoring.expectation import ExpectedSlice
from perennial.monitoring.verdict import SliceEvidence
from perennial.use_case import UseCase
from perennial.use_case.metric_names import gain

#: Of all slices at once, how often one of them seems to have lost more than it has.
_FALSE_ALARMS = 0.05


@dataclass(frozen=True)
class SlicePerformance:
    """The gate's metric on one slice of the labelled predictions.

    Attributes:
        column, name: The slice's column, and the slice: `origin=JFK`.
        rows: Labelled predictions in it.
        value: The metric on them.
        uncertainty: By how much it may be off (95% for all slices at once, one-sided).
    """

    column: str
    name: str
    rows: int
    value: float
    uncertainty: float


def measure(
    use_case: UseCase,
    frame: pd.DataFrame,
    uncertainty: Callable[[np.ndarray, np.ndarray, np.ndarray | None, float], float],
    worth: np.ndarray | None = None,
) -> tuple[SlicePerformance, ...]:
    """Measure every slice that has `gate.slice_min_rows` labelled predictions.

    Args:
        use_case: Its gate declares the slices and the metric.
        frame: (n,) labelled predictions in order of time: `label`, `prediction`, and those columns of `gate.slices`
            that predictions have; the others are not watched.
        uncertainty: Of (m,) labels, (m,) predictions and what they are worth, for a number of standard errors: how far
            the metric may be off.
        worth: (n,) what each row is worth, in money; None: that is not known.
    """
    gate = use_case.gate
    columns = [column for column in gate.slices if column in frame.columns]
    large = [each for each in slices.slices_of(use_case, frame, columns) if len(each.rows) >= gate.slice_min_rows]
    # Bonferroni: each slice gets its share of the false alarms.
    errors = float(stats.norm.ppf(1 - _FALSE_ALARMS / max(len(large), 1)))
    label, prediction = labels.encoded(use_case, frame["label"]), prediction_columns.array(frame["prediction"])
    measured = []
    for each in large:
        its, said = label[each.rows], prediction[each.rows]
        its_worth = worth[each.rows] if worth is not None else None
        value = metrics.evaluate_one(use_case, gate.metric, its, said, its_worth)
        if value is not None:
            off = uncertainty(its, said, its_worth, errors)
            measured.append(SlicePerformance(each.column, each.name, len(each.rows), value, off))
    return tuple(measured)


def compare(
    use_case: UseCase, measured: tuple[SlicePerformance, ...], expected: Mapping[str, ExpectedSlice]
) -> dict[str, SliceEvidence]:
    """The slices held against what the gate measured of each, by name.

    A slice fell when it lost more than `drift.performance_drop`, and more than chance may have made up. Slices are
    small, so the gate's own number is uncertain too: by as much as the slice's would be on as many rows.

    Args:
        use_case: Its policy says how much may be lost.
        measured: The slices in production.
        expected: What the gate measured of each; one that is missing is shown, and never falls.
    """
    metric, most = use_case.gate.metric, use_case.drift.performance_drop
    shown = {}
    for each in measured:
        known: dict[str, object] = {"rows": each.rows, "production": each.value}
        if (before := expected.get(each.name)) is not None:
            lost = gain(metric, before.value, each.value)
            off = each.uncertainty * (1 + each.rows / max(before.rows, 1)) ** 0.5
            fell = most is not None and lost > max(most, off)
            known |= {"expected": before.value, "lost": lost, "uncertainty": off, "fell": fell}
        shown[each.name] = SliceEvidence(**known)
    return shown
