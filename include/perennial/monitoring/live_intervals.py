"""Prediction intervals in production: how many labels were within them, and whether those are too few."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

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
#: One-sided, of the share in production and of the margin's own error on the holdout together; and of a new day's.
_CONFIDENCE = 0.95


def measure(
    use_case: UseCase, labelled: pl.DataFrame, known: RecordedMargin | None, is_renewed: bool = False
) -> tuple[dict[str, float], IntervalEvidence | None]:
    """What the intervals of labelled predictions reach.

    Rows that were predicted before the margin was recorded have bounds by another one: they are left out, and counted.

    Args:
        use_case: Its `interval` says what is tolerated.
        labelled: (n,) rows in order of time with `label`, `prediction` and `event_timestamp`; `lower`, `upper` and
            `predicted_at` where there are some.
        known: The margin that was recorded for the version when the last of them was predicted; None: none was.
        is_renewed: Whether a newer one was recorded since: what its predecessor lacks is no alarm any more.

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
    is_earlier = _predicted_before(labelled, known)
    its, _ = Intervals.known(label, np.where(is_earlier, np.nan, lower), upper)
    coverage = known.coverage if known is not None else use_case.interval.coverage
    values = its.metrics(coverage)
    if not values:
        why = "the version was evaluated before an interval was declared" if known is None else "its bounds are null"
        return {}, IntervalEvidence(left_out=why)
    reached = values["interval_coverage"]
    margin = uncertainty(its.covered, known, _whole_blocks(use_case, labelled))
    evidence = IntervalEvidence(
        rows=len(its.label),
        declared=coverage,
        reached=reached,
        uncertainty=margin,
        width=values["interval_width"],
        fell=not is_renewed and is_below(coverage, reached, margin, use_case.interval.tolerance),
    )
    further = {
        "expected_width": known.width if known is not None else None,
        "earlier": int((is_earlier & np.isfinite(lower)).sum()) or None,
        "is_renewed": is_renewed or None,
    }
    return values, evidence.model_copy(update={name: value for name, value in further.items() if value is not None})


def last_predicted(labelled: pl.DataFrame) -> datetime | None:
    """When the last of these predictions was made, processing time, UTC; None: not known.

    Args:
        labelled: As for `measure`.
    """
    return cast("datetime | None", labelled["predicted_at"].max()) if "predicted_at" in labelled.columns else None


def _predicted_before(labelled: pl.DataFrame, known: RecordedMargin | None) -> np.ndarray:
    """(n,) whether a row was predicted before its version's margin was recorded; not where that is not known."""
    if known is None or known.recorded_at is None or "predicted_at" not in labelled.columns:
        return np.zeros(labelled.height, dtype=bool)
    return (labelled["predicted_at"] < known.recorded_at).fill_null(False).to_numpy()


def _whole_blocks(use_case: UseCase, labelled: pl.DataFrame) -> int:
    """How many of the gate's blocks of time the rows span: 1 of a day, which may lie across two of them."""
    times = labelled["event_timestamp"]
    span = cast("datetime", times.max()) - cast("datetime", times.min()) if len(times) else timedelta(0)
    return max(1, span // use_case.gate.block)


def is_below(declared: float, reached: float, uncertainty: float, tolerance: float) -> bool:
    """Whether so few labels are within their intervals that it is an alarm.

    Args:
        declared: The share that was to be.
        reached: The share that is.
        uncertainty: As `uncertainty` returns it.
        tolerance: By how much less is no alarm, however certain it is.
    """
    return declared - reached > max(tolerance, uncertainty)


def uncertainty(covered: np.ndarray, known: RecordedMargin | None, blocks: int = 1) -> float:
    """By how much more labels may be covered by chance, with Student's t: the larger one of two.

    Within the partition, by the method of batch means. The margin was chosen on a holdout, and on another one it would
    have been another: that error is as large as this one would be on as many rows.

    And between partitions, which no partition shows by itself: a day on which all labels are high misses more than
    another one. It is the bound of the mean share of so many new blocks (a prediction interval of a normal mean), by
    how much the shares of the holdout's blocks differed.

    Args:
        covered: (n,) 0 or 1, in order of time.
        known: The margin, with the holdout that it was chosen on; None, or from before blocks were recorded: what is
            not known of it adds nothing.
        blocks: Of the gate, that the rows span.

    Returns:
        Infinite where there are too few rows to tell.
    """
    batches = min(BATCHES, len(covered) // BATCH_ROWS)
    if batches < 2:
        return float("inf")
    means = [float(batch.mean()) for batch in np.array_split(covered, batches)]
    error = float(np.std(means, ddof=1)) / batches**0.5
    of_both = (1 + len(covered) / known.rows) ** 0.5 if known is not None and known.rows else 1.0
    within = float(stats.t.ppf(_CONFIDENCE, batches - 1)) * error * of_both
    if known is None or known.blocks is None or known.block_deviation is None:
        return within
    of_new = known.block_deviation * (1 / blocks + 1 / known.blocks) ** 0.5
    return max(within, float(stats.t.ppf(_CONFIDENCE, known.blocks - 1)) * of_new)
