"""Slices of a holdout: the rows with one value in a column of `gate.slices`, evaluated by themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial._common.suggestions import did_you_mean
from perennial.errors import BadFeatures
from perennial.lake import prediction_columns
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS
from perennial.use_case.interval import reserved

#: Stands for the value of the rows that have none.
MISSING = "(missing)"


@dataclass(frozen=True)
class Slice:
    """Rows with one value in one column.

    Attributes:
        column: The column.
        value: In words; `MISSING` of the rows that have none.
        rows: (n,) int64, their places in the holdout.
    """

    column: str
    value: str
    rows: np.ndarray

    @property
    def name(self) -> str:
        """`column=value`."""
        return f"{self.column}={self.value}"


def slices_of(use_case: UseCase, holdout: pd.DataFrame, columns: Collection[str] | None = None) -> Iterator[Slice]:
    """Every slice of the gate's columns, in order of value, those without a value last: every row is in one a column.

    Args:
        use_case: Its `gate.slices` names the columns.
        holdout: (n,) rows.
        columns: Only of these columns; None: of all that the gate names.
    """
    for column in use_case.gate.slices:
        if columns is not None and column not in columns:
            continue
        codes, values = pd.factorize(holdout[column], sort=True)
        rows = pd.Series(codes).groupby(codes).indices
        # Rows without a value have the code -1.
        for code, value in [*enumerate(map(str, values)), (-1, MISSING)]:
            if code in rows:
                yield Slice(column, value, np.asarray(rows[code]))


def check_columns(use_case: UseCase, columns: Collection[str]) -> None:
    """Refuse columns of `gate.slices` and `value.columns` that a training set lacks, and those that predictions add.

    Args:
        use_case: It names the columns.
        columns: The training set's columns.

    Raises:
        BadFeatures: naming the column, and those that there are.
    """
    check_added(use_case, columns)
    of_value = use_case.value.columns if use_case.value is not None else ()
    named = [*(("gate.slices", each) for each in use_case.gate.slices), *(("value.columns", each) for each in of_value)]
    for field, column in named:
        if column not in columns:
            raise BadFeatures(
                f"Use case {use_case.name!r}: {field} names {column!r}, which is no column of its training sets:"
                f" {', '.join(columns)}.",
                f"{did_you_mean(column, columns)}Correct it in include/use_cases/{use_case.name}/use_case.py.",
            )


def check_added(use_case: UseCase, columns: Collection[str]) -> None:
    """Refuse columns whose names are those that predictions get: each would take the place of the other.

    Args:
        use_case: Its declarations say which these are.
        columns: Of a training set, or of rows that are to be predicted.

    Raises:
        BadFeatures: naming the column.
    """
    if use_case.value is not None and use_case.task == "binary" and "decision" in columns:
        raise BadFeatures(
            f"Use case {use_case.name!r}: its examples or features have a column 'decision', which is also what"
            " predictions get where a value is declared.",
            "Give that column another name, or leave out value.",
        )
    if use_case.interval is not None and (taken := reserved(columns)):
        raise BadFeatures(
            f"Use case {use_case.name!r}: its examples or features have a column {min(taken)!r}, which is also what"
            " predictions get where an interval is declared.",
            "Give that column another name, or leave out interval.",
        )
    of_classes = {name.lower() for name in prediction_columns.names(use_case)} if use_case.task == MULTICLASS else set()
    if clashing := [name for name in columns if name.lower() in of_classes]:
        raise BadFeatures(
            f"Use case {use_case.name!r}: its examples or features have a column {clashing[0]!r}, which is also what"
            " predictions of its classes get.",
            "Give that feature another name, or the class.",
        )
