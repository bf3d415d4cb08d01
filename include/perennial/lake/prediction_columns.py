"""How predictions are arrays in memory and columns in tables, of each task; nobody else knows both.

Of a binary use case and a regression a prediction is a number, in one column. Of a multi-class use case it is a
probability for each class: (n, K) in the order of `classes` in memory; in tables `prediction`, the name of the most
probable class, and `probability_<class>` for each of them.

Versions, and rows of tables, may know other classes than are declared now. Of a class that they do not know the
probability is 0. The probabilities that a removed class had are left out, and the others are of all rows that are none
of it: they are divided by their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.errors import PerennialError
from perennial.use_case.classes import MULTICLASS, PREDICTION, PROBABILITY

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from perennial.use_case import UseCase

Array = np.ndarray
#: Rows whose probabilities add up to 1 but for this are left as they are: nothing was removed, libraries round.
_ROUNDING = 1e-9


def names(use_case: UseCase) -> tuple[str, ...]:
    """The columns that hold a prediction: `prediction`, and the probabilities of a multi-class use case."""
    return (PREDICTION, *probabilities(use_case))


def probabilities(use_case: UseCase) -> tuple[str, ...]:
    """The columns of the classes' probabilities, in the order of `classes`; none of another task."""
    return tuple(PROBABILITY + name for name in use_case.classes) if use_case.task == MULTICLASS else ()


def is_of_removed_class(use_case: UseCase, column: str) -> bool:
    """Whether a column that a version knows is the probability of a class that is not declared any more."""
    is_probability = use_case.task == MULTICLASS and column.startswith(PROBABILITY)
    return is_probability and column not in probabilities(use_case)


def likeliest(use_case: UseCase, predicted: Array) -> list[str]:
    """(n,) the name of each row's most probable class; of equal ones the first in the order of `classes`.

    Args:
        use_case: A multi-class one.
        predicted: (n, K) probabilities.
    """
    return [use_case.classes[place] for place in predicted.argmax(axis=1)]


def written(use_case: UseCase, predicted: Array) -> dict[str, pa.Array]:
    """Predictions as columns of a table.

    Args:
        use_case: Whose task and classes.
        predicted: (n,) floats; of a multi-class use case (n, K).
    """
    import pyarrow as pa

    if use_case.task != MULTICLASS:
        return {PREDICTION: pa.array(predicted, pa.float64())}
    columns = zip(probabilities(use_case), predicted.T, strict=True)
    return {PREDICTION: pa.array(likeliest(use_case, predicted), pa.string())} | {
        name: pa.array(np.ascontiguousarray(column), pa.float64()) for name, column in columns
    }


def gathered(use_case: UseCase, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a table with predictions as in memory: `prediction` holds numbers, or arrays of K of them.

    Args:
        use_case: Whose task and classes.
        rows: With those columns of `names` that the table has.
    """
    import polars as pl

    if use_case.task != MULTICLASS:
        return rows
    columns = probabilities(use_case)
    known = [
        rows[name].cast(pl.Float64).fill_null(0.0).to_numpy() if name in rows.columns else np.zeros(rows.height)
        for name in columns
    ]
    values = _of_declared(np.column_stack(known))
    if PREDICTION in rows.columns:  # Where nothing was predicted, all are null.
        values[rows[PREDICTION].is_null().to_numpy()] = np.nan
    array = pl.Series(PREDICTION, values, dtype=pl.Array(pl.Float64, len(columns)))
    return rows.drop(*(name for name in columns if name in rows.columns)).with_columns(array)


def array(column: pd.Series) -> Array:
    """(n,) or (n, K) floats of a column of predictions as `gathered` has them, once it is pandas'."""
    values = column.to_numpy()
    return np.stack(list(values)) if values.dtype == object and len(values) else values


def aligned(use_case: UseCase, classes: Sequence[Any], predicted: Array) -> Array:
    """(n, K) the probabilities that an estimator gives, in the order of the declared classes.

    Args:
        use_case: A multi-class one.
        classes: (C,) the names of the classes that the estimator was fitted on.
        predicted: (n, C) their probabilities.

    Raises:
        PerennialError: the estimator knows none of the declared classes.
    """
    place = {str(name): number for number, name in enumerate(np.ravel(classes))}
    known = [number for number, name in enumerate(use_case.classes) if name in place]
    if not known:
        raise PerennialError(
            f"Use case {use_case.name!r}: the estimator knows {', '.join(place)}, none of which is a declared class.",
            f"Correct classes in include/use_cases/{use_case.name}/use_case.py, or train a new model.",
        )
    values = np.zeros((len(predicted), len(use_case.classes)))
    values[:, known] = np.asarray(predicted, dtype=float)[:, [place[use_case.classes[number]] for number in known]]
    return _of_declared(values)


def _of_declared(values: Array) -> Array:
    """Rows that add up to 1; where all probability was of a removed class, every other one is as probable."""
    # Row by row: a prediction does not depend on those beside it. What is no number stays none.
    total = values.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.where(total == 0, 1 / values.shape[1], values / total)
    return np.where(np.abs(total - 1) <= _ROUNDING, values, shared)
