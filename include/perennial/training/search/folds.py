"""Splits the rows to fit on into folds by time: each is predicted by what was fitted on what was known before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from perennial.evaluation import blocks
from perennial.lake import labels
from perennial.use_case import UseCase

#: Of the rows, the share that every fold fits on at least: a short history calls for other parameters than a long one.
_FIT_ON = 0.5


@dataclass(frozen=True)
class Fold:
    """A part of the rows, and what was known before it.

    Attributes:
        start: Its first moment of prediction, event time, UTC; a block of the gate begins here.
        fit: (n,) places of the rows to fit on: their moment is before `start`, and their label had matured by then.
        test: (m,) places of the rows to predict: from `start` to the next fold, or the end of the rows.
    """

    start: pd.Timestamp
    fit: np.ndarray
    test: np.ndarray


def split(use_case: UseCase, rows: pd.DataFrame, count: int) -> list[Fold]:
    """The folds of the rows to fit on, in order of time, expanding: each fits on all that was known before it.

    They divide the later half of the rows evenly, and begin with whole blocks of the gate, so that no block is in two.
    A fold is left out where it, or what it would be fitted on, is too little to compare on: fewer than `gate.min_rows`,
    a single block, a single class, or rows to fit on that all have the weight 0.

    Args:
        use_case: Its gate says what a block is, and how many rows are enough.
        rows: (n,) with `event_timestamp`, `label_timestamp`, `label` and the column of weights where `examples.weight`
            names one, ordered by `event_timestamp`.
        count: The number of folds; fewer where the rows have too few blocks.
    """
    if not len(rows):
        return []
    moments, matured = rows["event_timestamp"], rows["label_timestamp"]
    first = int(len(rows) * _FIT_ON)
    places = np.linspace(first, len(rows), count, endpoint=False, dtype=int)
    starts = sorted({_block_start(moments.iloc[place], use_case.gate.block) for place in places})
    folds = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        is_known = (moments < start) & (matured <= start)
        is_tested = (moments >= start) & ((moments < end) if end is not None else True)
        fold = Fold(start, *(np.flatnonzero(mask) for mask in (is_known, is_tested)))
        if _is_enough(use_case, rows, fold):
            folds.append(fold)
    return folds


def _block_start(moment: pd.Timestamp, block: timedelta) -> pd.Timestamp:
    """Where the block of a moment begins: blocks begin at multiples of their length since 1970."""
    since = moment - pd.Timestamp(0, tz="UTC")
    return moment - since % pd.Timedelta(block)


def _is_enough(use_case: UseCase, rows: pd.DataFrame, fold: Fold) -> bool:
    gate, label = use_case.gate, labels.encoded(use_case, rows["label"])
    if min(len(fold.fit), len(fold.test)) < gate.min_rows:
        return False
    if use_case.task != "regression" and any(len(np.unique(label[part])) < 2 for part in (fold.fit, fold.test)):
        return False
    weight = use_case.examples.weight
    if weight is not None and not pd.to_numeric(rows[weight].iloc[fold.fit]).sum() > 0:
        return False
    return blocks.count_blocks(blocks.blocks_of(rows["event_timestamp"].iloc[fold.test], gate.block)) > 1
