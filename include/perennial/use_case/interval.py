"""The declaration of prediction intervals: how often the label is to lie within them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from perennial.use_case.declarations import Declaration

if TYPE_CHECKING:
    from perennial.use_case.definition import UseCase

#: Columns that predictions get.
LOWER, UPPER = "lower", "upper"
#: What `served_predictions` calls them.
SERVED = {LOWER: "prediction_lower", UPPER: "prediction_upper"}
#: What no column may be called where an interval is declared.
_RESERVED = frozenset({*SERVED, *SERVED.values()})


class PredictionInterval(Declaration):
    """The interval that each prediction of a regression gets: `lower` and `upper` beside `prediction`."""

    coverage: float = Field(
        default=0.9, gt=0, lt=1, description="The share of labels that are to lie within the intervals."
    )
    by: str | None = Field(
        default=None,
        description="One of `examples.request_features`, such as the horizon of a forecast: rows of each of its values"
        " get a margin of their own, where the holdout has enough of them. None: all rows have the same.",
    )
    tolerance: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="By how much the share may be smaller: the gate rejects, and a monitor raises an alarm, only if it"
        " is smaller by more than this, and significantly.",
    )


def fewest_rows(coverage: float) -> int:
    """The rows of a holdout from which on an interval of this coverage is finite: so many that one may lie outside.

    Args:
        coverage: Between 0 and 1.
    """
    return math.ceil(round(coverage / (1 - coverage), 9))


def reserved(columns: Iterable[str]) -> list[str]:
    """Those columns whose names the bounds need, in whichever case: some readers of the lake ignore it.

    Args:
        columns: Their names.
    """
    return [name for name in columns if name.lower() in _RESERVED]


def check(use_case: UseCase) -> None:
    """Refuse an interval that does not fit the use case.

    Args:
        use_case: With `interval`.

    Raises:
        ValueError: it is no regression, its gate may decide on too few rows to choose an interval from, or a request
            has a field of the name that a bound gets.
    """
    interval = use_case.interval
    if interval is None:
        return
    if use_case.task != "regression":
        raise ValueError("interval is of a number: of classes probabilities are predicted; leave interval out")
    # Twice: each block of the holdout is judged by what was chosen on the others.
    needed = 2 * fewest_rows(interval.coverage)
    if use_case.gate.min_rows < needed:
        raise ValueError(
            f"interval.coverage {interval.coverage:g} needs a holdout of {needed} rows at least, and the gate decides"
            f" on {use_case.gate.min_rows}: raise gate.min_rows or lower interval.coverage"
        )
    if taken := reserved(use_case.examples.request_features):
        raise ValueError(
            f"examples.request_features has {taken[0]!r}, which is also what predictions get where an interval is"
            " declared: give that column another name, or leave out interval"
        )
    if interval.by is not None and interval.by not in use_case.examples.request_features:
        raise ValueError(f"interval.by {interval.by!r} is not one of examples.request_features")
    if interval.tolerance >= interval.coverage:
        raise ValueError(f"interval.tolerance {interval.tolerance:g} is not below interval.coverage")
