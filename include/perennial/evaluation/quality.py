"""Measures a model on its holdout: every metric with its interval, whole and by slice, beside the baseline model.

Intervals are the gate's (`perennial.evaluation.bootstrap`): of blocks of event time, because rows of one day are alike.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from perennial.evaluation import blocks, bootstrap, metrics, thresholds
from perennial.evaluation import slices as slicing
from perennial.lake import labels
from perennial.use_case import UseCase
from perennial.use_case.declarations import Declaration

#: A slice with fewer rows is counted, not measured.
FEWEST_ROWS = 30


class Measured(Declaration):
    """A metric and its interval; None where there are too few blocks of time for one."""

    value: float
    low: float | None = None
    high: float | None = None


class SliceQuality(Declaration):
    """A slice of the holdout (`perennial.evaluation.slices`), measured by the gate's metric if it has enough rows."""

    column: str
    value: str
    rows: int
    metrics: dict[str, Measured]


class Quality(Declaration):
    """How good a model's predictions of its holdout were.

    Attributes:
        rows, blocks: Rows of the holdout, and the blocks of event time that they are from.
        confidence: Of each end of each interval.
        metrics: Metric -> value and interval, on all rows.
        baseline: Metric -> value of the baseline model on the same rows; stored as `trivial`.
        slices: By the columns of `gate.slices`.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    rows: int
    blocks: int
    confidence: float
    metrics: dict[str, Measured]
    baseline: dict[str, float] = Field(validation_alias="trivial", serialization_alias="trivial")
    slices: list[SliceQuality]


def measure(use_case: UseCase, holdout: pd.DataFrame, prediction: np.ndarray, baseline: np.ndarray) -> Quality:
    """Measure the predictions of a holdout.

    Args:
        use_case: Whose metrics, blocks and slices.
        holdout: (n,) rows with `label`, `event_timestamp` and the columns of `gate.slices` and
            of `value`.
        prediction: (n,) of the model; of K classes (n, K).
        baseline: Likewise, of the baseline model.
    """
    label, times = labels.encoded(use_case, holdout["label"]), holdout["event_timestamp"]
    slices, worth = [], thresholds.judged(use_case, holdout, prediction)
    for each in slicing.slices_of(use_case, holdout):
        at = each.rows
        measured = {}
        if len(at) >= FEWEST_ROWS:
            its = worth[at] if worth is not None else None
            measured = _measured(use_case, label[at], prediction[at], times.iloc[at], its, only=(use_case.gate.metric,))
        slices.append(SliceQuality(column=each.column, value=each.value, rows=len(at), metrics=measured))
    return Quality(
        rows=len(holdout),
        blocks=blocks.count_blocks(blocks.blocks_of(times, use_case.gate.block)),
        confidence=use_case.gate.confidence,
        metrics=_measured(use_case, label, prediction, times, worth),
        baseline=metrics.evaluate(
            use_case, label, baseline, thresholds.judged(use_case, holdout, baseline, is_model=False)
        ),
        slices=slices,
    )


def _measured(
    use_case: UseCase,
    label: np.ndarray,
    prediction: np.ndarray,
    times: pd.Series,
    worth: np.ndarray | None,
    only: Collection[str] | None = None,
) -> dict[str, Measured]:
    """The metrics of the task, all or only some, with their intervals where there are enough blocks."""
    block = blocks.blocks_of(times, use_case.gate.block)
    count = blocks.count_blocks(block)
    measured = {}
    for name, value in metrics.evaluate(use_case, label, prediction, worth).items():
        if only is not None and name not in only:
            continue
        interval = None
        if count >= use_case.gate.min_blocks:
            statistic = blocks.metric(name, label, prediction, block, worth, use_case.quantile)
            interval = bootstrap.interval(statistic, count, use_case.gate.confidence)
        low, high = (interval.low, interval.high) if interval else (None, None)
        measured[name] = Measured(value=value, low=low, high=high)
    return measured
