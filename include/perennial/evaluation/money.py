"""What decisions are worth: the money of each row, by the constants or the function that a use case declares."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.errors import PerennialError
from perennial.use_case import UseCase
from perennial.use_case.value import MODULE

Array = np.ndarray


def of_rows(
    use_case: UseCase,
    rows: pd.DataFrame,
    prediction: Array,
    threshold: Array | float | None,
    *,
    is_model: bool = True,
) -> Array | None:
    """What each row is worth.

    Args:
        use_case: Its `value` says what a decision is worth.
        rows: (n,) with `label` and the columns that `value` names.
        prediction: (n,) probability of 1, or the predicted value.
        threshold: Acted is from this probability on, one for all rows or (n,); a regression has none.
        is_model: Whether a model predicted them, which may cost something; the baseline model is free.

    Returns:
        (n,) money; None: no value is declared, there is no threshold, or a column is missing.

    Raises:
        PerennialError: the function that the use case declares fails, or returns something else than numbers.
    """
    value = use_case.value
    if value is None or not set(value.columns) <= set(rows.columns):
        return None
    if use_case.task == "regression":
        decided: Array = prediction
    elif threshold is None:
        return None
    else:
        decided = prediction >= threshold
    return _worth(use_case, rows, decided) + (value.per_prediction if is_model else 0.0)


def baseline(use_case: UseCase, fitted: pd.DataFrame) -> float | None:
    """What the baseline model says of every row, by the rows that were fitted on: it treats all of them alike.

    Args:
        use_case: Its `value`.
        fitted: (n,) rows with `label` and the columns that `value` names.

    Returns:
        Of a binary use case 1 or 0, whichever is worth more: act on all, or on none. Of a regression the mean label, or
            the declared quantile.
        None: no value is declared.
    """
    if use_case.value is None:
        return None
    if use_case.task == "regression":
        return float(
            fitted["label"].mean() if use_case.quantile is None else fitted["label"].quantile(use_case.quantile)
        )
    return float(gain(use_case, fitted).sum() > 0)


def of_baseline(use_case: UseCase, rows: pd.DataFrame, says: float) -> Array | None:
    """What each row is worth if the baseline model decides: see `of_rows`.

    Args:
        use_case: Its `value`.
        rows: (n,) with `label` and the columns that `value` names.
        says: As `baseline` returns it.
    """
    return of_rows(use_case, rows, np.full(len(rows), says), 0.5, is_model=False)


def constants(use_case: UseCase) -> tuple[float, float]:
    """What acting is worth more than not acting, on a row whose label is 1, and on any other."""
    value = use_case.value
    assert value is not None  # noqa: S101 - asked only where it is declared
    assert value.true_positive is not None  # noqa: S101 - without a function it is declared
    assert value.false_positive is not None  # noqa: S101
    return value.true_positive - value.false_negative, value.false_positive - value.true_negative


def gain(use_case: UseCase, rows: pd.DataFrame) -> Array:
    """(n,) what acting is worth more than not acting."""
    every = np.ones(len(rows), dtype=bool)
    return _worth(use_case, rows, every) - _worth(use_case, rows, ~every)


def _worth(use_case: UseCase, rows: pd.DataFrame, decided: Array) -> Array:
    """(n,) money by the constants or the function; `decided` is the decision, or of a regression the prediction."""
    value, label = use_case.value, rows["label"].to_numpy()
    assert value is not None  # noqa: S101 - asked only where it is declared
    if value.function is None:
        positive, negative = constants(use_case)
        left = np.where(label == 1, value.false_negative, value.true_negative)
        return left + np.where(decided, np.where(label == 1, positive, negative), 0.0)
    where = f"{value.function}() in include/use_cases/{use_case.name}/{MODULE}.py"
    function = getattr(use_case.module(MODULE), value.function, None)
    if function is None:
        raise PerennialError(
            f"Use case {use_case.name!r}: there is no {where}.", "Write it, or correct value.function."
        )
    name = "prediction" if use_case.task == "regression" else "decision"
    given = rows[list(dict.fromkeys(("label", *value.columns)))].reset_index(drop=True).assign(**{name: decided})
    try:
        worth = np.asarray(function(given), dtype=float)
    except Exception as error:
        raise PerennialError(
            f"Use case {use_case.name!r}: {where} failed on {len(rows)} rows with columns"
            f" {', '.join(given.columns)}: {type(error).__name__}: {error}",
            "Fix it; its columns are `label`, what was decided, and those that value.columns names.",
        ) from error
    if worth.shape != label.shape or not np.isfinite(worth).all():
        raise PerennialError(
            f"Use case {use_case.name!r}: {where} must return a finite number for each of {len(rows)} rows.",
            "Return a Series or an array as long as the frame it is given, without nulls.",
        )
    return worth
