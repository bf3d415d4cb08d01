"""How good a model is on its holdout: every metric with its interval, whole and by slice, beside the trivial baseline.

Intervals are the gate's (`perennial.evaluation.bootstrap`): of blocks of event time, because rows of one day are alike.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from perennial.evaluation import blocks, bootstrap, metrics
from perennial.evaluation import slices as slicing
from perennial.use_case import Declaration, UseCase

#: Rows of a slice below which it is counted, not measured.
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
    """What a model's predictions of its holdout were worth.

    Attributes:
        rows, blocks: Rows of the holdout, and the blocks of event time that they are from.
        confidence: Of each end of each interval.
        metrics: Metric -> value and interval, on all rows.
        trivial: Metric -> value of the trivial baseline on the same rows.
        slices: By the columns that the gate looks at.
    """

    rows: int
    blocks: int
    confidence: float
    metrics: dict[str, Measured]
    trivial: dict[str, float]
    slices: list[SliceQuality]


def measure(use_case: UseCase, holdout: pd.DataFrame, prediction: np.ndarray, trivial: np.ndarray) -> Quality:
    """Measure the predictions of a holdout.

    Args:
        holdout: Its rows, with `label` and `event_timestamp`.
        prediction, trivial: (n,) of the model and of the trivial baseline.
    """
    label, times = holdout["label"].to_numpy(), holdout["event_timestamp"]
    slices = []
    for each in slicing.slices_of(use_case, holdout):
        at = each.rows
        enough = len(at) >= FEWEST_ROWS
        only = (use_case.gate.metric,)
        measured = _measured(use_case, label[at], prediction[at], times.iloc[at], only) if enough else {}
        slices.append(SliceQuality(column=each.column, value=each.value, rows=len(at), metrics=measured))
    return Quality(
        rows=len(holdout),
        blocks=blocks.count_blocks(blocks.blocks_of(times, use_case.gate.block)),
        confidence=use_case.gate.confidence,
        metrics=_measured(use_case, label, prediction, times),
        trivial=metrics.evaluate(use_case, label, trivial),
        slices=slices,
    )


def _measured(
    use_case: UseCase,
    label: np.ndarray,
    prediction: np.ndarray,
    times: pd.Series,
    only: Collection[str] | None = None,
) -> dict[str, Measured]:
    """The metrics of the task, all or only some, with their intervals where there are enough blocks."""
    block = blocks.blocks_of(times, use_case.gate.block)
    count = blocks.count_blocks(block)
    measured = {}
    for name, value in metrics.evaluate(use_case, label, prediction).items():
        if only is not None and name not in only:
            continue
        found = None
        if count >= use_case.gate.min_blocks:
            statistic = blocks.metric(name, label, prediction, block)
            found = bootstrap.interval(statistic, count, use_case.gate.confidence)
        measured[name] = Measured(value=value, low=found.low if found else None, high=found.high if found else None)
    return measured
