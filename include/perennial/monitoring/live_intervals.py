"""Prediction intervals in production: how many labels were within them, and whether those are too few."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy import stats

from perennial.evaluation.intervals import Intervals
from perennial.evaluation.recorded_intervals import RecordedMargin
from perennial.monitoring.verdict import IntervalEvidence
from perennial.use_case import UseCase
from perennial.use_case.interval import LOWER, UPPER

#: The share is from at most so many batches of consecutive rows, each of at least so many: neighbours miss together.
BATCHES, BATCH_ROWS = 20, 25
#: One-sided, of the share in production and of the margin's own error on the holdout together.
_CONFIDENCE = 0.95


def measure(
    use_case: UseCase, labelled: pl.DataFrame, known: RecordedMargin | None, expected: Mapping[str, float]
) -> tuple[dict[str, float], IntervalEvidence | None]:
    """What the intervals of labelled predictions reach.

    Args:
        use_case: Its `interval` says what is tolerated.
        labelled: (n,) rows in order of time with `label` and `prediction`; `lower` and `upper` where there are some.
        known: The margin that was recorded for the version; None: none was.
        expected: What the gate measured of the version, by metric.

    Returns:
        The metrics by name, empty where there are no intervals; and the evidence, None where none are declared.
    """
    if use_case.interval is None:
        return {}, None
    if not {LOWER, UPPER} <= {*labelled.columns}:
        return {}, IntervalEvidence(left_out="its predictions are from before an interval was declared")
    label, lower, upper = (
        labelled[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("label", LOWER, UPPER)
    )
    its, _ = Intervals.known(label, lower, upper)
    coverage = known.coverage if known is not None else use_case.interval.coverage
    values = its.metrics(coverage)
    if not values:
        return {}, IntervalEvidence(left_out="the version was evaluated before an interval was declared")
    reached = values["interval_coverage"]
    margin = uncertainty(its.covered, known.rows if known is not None else None)
    evidence = IntervalEvidence(
        rows=len(its.label),
        declared=coverage,
        reached=reached,
        uncertainty=margin,
        width=values["interval_width"],
        fell=is_below(coverage, reached, margin, use_case.interval.tolerance),
    )
    if "interval_width" in expected:
        evidence = evidence.model_copy(update={"expected_width": expected["interval_width"]})
    return values, evidence


def is_below(declared: float, reached: float, uncertainty: float, tolerance: float) -> bool:
    """Whether so few labels are within their intervals that it is an alarm.

    Args:
        declared: The share that was to be.
        reached: The share that is.
        uncertainty: As `uncertainty` returns it.
        tolerance: By how much less is no alarm, however certain it is.
    """
    return declared - reached > max(tolerance, uncertainty)


def uncertainty(covered: np.ndarray, holdout_rows: int | None) -> float:
    """By how much more labels may be covered by chance: the method of batch means, with Student's t.

    The margin was chosen on a holdout, and on another one it would have been another: that error is as large as this
    one would be on as many rows.

    Args:
        covered: (n,) 0 or 1, in order of time.
        holdout_rows: That the margin was chosen from; None: not known.

    Returns:
        Infinite where there are too few rows to tell.
    """
    batches = min(BATCHES, len(covered) // BATCH_ROWS)
    if batches < 2:
        return float("inf")
    means = [float(batch.mean()) for batch in np.array_split(covered, batches)]
    error = float(np.std(means, ddof=1)) / batches**0.5
    of_both = (1 + len(covered) / holdout_rows) ** 0.5 if holdout_rows else 1.0
    return float(stats.t.ppf(_CONFIDENCE, batches - 1)) * error * of_both
