"""What became of each class on a holdout: what challenger and champion called its rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from perennial.evaluation.quality import FEWEST_ROWS
from perennial.gate.decision import CHALLENGER, CHAMPION, ClassCounts
from perennial.gate.rules import Pair
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS


def measure(pair: Pair) -> dict[str, ClassCounts]:
    """Of each class of a multi-class use case; empty of another task.

    Args:
        pair: Both models' predictions of the holdout.
    """
    if pair.use_case.task != MULTICLASS:
        return {}
    names = pair.use_case.classes
    confused = {}
    for model, prediction, _ in pair.models:
        cell = pair.label * len(names) + prediction.argmax(axis=1)
        confused[model] = np.bincount(cell, minlength=len(names) ** 2).reshape(len(names), len(names))
    return {
        name: ClassCounts(
            rows=int(confused[CHALLENGER][place].sum()),
            challenger=_counts(names, confused[CHALLENGER][place]),
            champion=_counts(names, confused[CHAMPION][place]),
        )
        for place, name in enumerate(names)
    }


def with_fitted(use_case: UseCase, classes: Mapping[str, ClassCounts], fitted: pd.Series) -> dict[str, ClassCounts]:
    """The same with the number of rows of each class that the challenger was fitted on.

    Args:
        use_case: Whose classes.
        classes: As `measure` returns them.
        fitted: (n,) labels of the rows fitted on.
    """
    counts = fitted.value_counts().to_dict()
    return {name: each.model_copy(update={"fitted": int(counts.get(name, 0))}) for name, each in classes.items()}


def too_few(classes: Mapping[str, ClassCounts]) -> tuple[str, ...]:
    """The classes of which the holdout has too few rows to tell anything, with their numbers of rows."""
    return tuple(f"label={name} ({each.rows})" for name, each in classes.items() if each.rows < FEWEST_ROWS)


def _counts(names: tuple[str, ...], row: np.ndarray) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, row, strict=True) if count}
