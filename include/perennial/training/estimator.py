"""Fits the estimator of a use case's `model.py`, with the weights of the rows where the use case declares some."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from perennial.errors import BadFeatures, TrainingFailed
from perennial.registry import model_loading
from perennial.use_case import TrainingParams, UseCase
from perennial.use_case.classes import MULTICLASS

#: The argument of `fit` that takes weights, by the conventions of scikit-learn.
_WEIGHTS = "sample_weight"


def fit_estimator(
    use_case: UseCase, params: TrainingParams, rows: pd.DataFrame, columns: Sequence[str]
) -> tuple[Any, float]:
    """Fit the use case's estimator.

    Args:
        use_case: Its `model.py` builds the estimator.
        params: Of the training run.
        rows: (n,) with the columns, `label`, and the column of weights where `examples.weight` names one.
        columns: The model's inputs.

    Returns:
        The fitted estimator, and the seconds that the fit took.

    Raises:
        BadFeatures: the weights are missing or no weights.
        TrainingFailed: there is no `build()`, it or the fit raises, or the estimator or one inside it takes no weights.
    """
    where = f"include/use_cases/{use_case.name}/model.py"
    build = getattr(use_case.module("model"), "build", None)
    if build is None:
        raise TrainingFailed(f"{where} has no function build(params).", "Write one that returns an unfitted estimator.")
    weights = weights_of(use_case, rows)
    started = time.monotonic()
    try:
        estimator = build(params)
        _check_weights_of_value(use_case, estimator)
        further = {} if weights is None else {_argument(use_case, estimator): weights}
        with warnings.catch_warnings():
            if further:  # Some estimators of scikit-learn only warn that one inside them is fitted without the weights.
                warnings.filterwarnings("error", message=".*does not appear to accept sample_weight")
            fitted = estimator.fit(rows[list(columns)], rows["label"], **further)
        seconds = time.monotonic() - started
        if (between := model_loading.quantile_predictor(use_case, fitted)) is not None:
            between(rows[list(columns)].head(1))  # What fails is to fail here: a refit's are not asked for by the gate.
        return fitted, seconds
    except TrainingFailed:
        raise
    except Exception as error:
        raise TrainingFailed(
            f"Use case {use_case.name!r}: the estimator of build() in {where} failed on {len(rows)} rows with"
            f" columns {', '.join(columns)}: {type(error).__name__}: {error}",
            "Fix build(), or the parameters of this run; nothing was registered."
            + (" It is fitted on the names of classes: docs/classes.md." if use_case.task == MULTICLASS else ""),
        ) from error


def _check_weights_of_value(use_case: UseCase, estimator: Any) -> None:
    """Refuse quantiles beside a value that would be the mean of both and of the value."""
    voting = model_loading.voting_of(estimator) if use_case.interval is not None else None
    if voting is not None and voting.weights is None:
        raise TrainingFailed(
            f"Use case {use_case.name!r}: the VotingRegressor of build() has no weights: its prediction would be the"
            " mean of its estimators, the quantiles `lower` and `upper` among them.",
            "Say which of them predicts the value, such as weights=[0, 1, 0].",
        )


def weights_of(use_case: UseCase, rows: pd.DataFrame) -> np.ndarray | None:
    """How much each row counts in a fit.

    Args:
        use_case: Its `examples.weight` names the column.
        rows: (n,) with that column.

    Returns:
        (n,) finite floats of at least 0, some above it unless there are no rows; None: all rows count alike.

    Raises:
        BadFeatures: the column is missing, or its values are no such numbers.
    """
    name = use_case.examples.weight
    if name is None:
        return None
    subject = f"Use case {use_case.name!r}: examples.weight names {name!r}"
    if name not in rows:
        raise BadFeatures(
            f"{subject}, which is no column of the training set.",
            f"Return it from `examples` in include/use_cases/{use_case.name}/transforms.py; run the features again.",
        )
    weights = pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = int((~np.isfinite(weights) | (weights < 0)).sum())
    if wrong or (len(weights) and not weights.sum() > 0):
        what = f"{wrong} of {len(weights)} of its values are null, negative or no number" if wrong else "all are 0"
        raise BadFeatures(
            f"{subject}; {what}.",
            f"A weight is a number of at least 0: correct it in include/use_cases/{use_case.name}/transforms.py.",
        )
    return weights


def _argument(use_case: UseCase, estimator: Any) -> str:
    """The argument of the estimator's `fit` that takes the weights: of a pipeline, its last step's."""
    path, last = [], estimator
    while steps := getattr(last, "steps", None):
        name, last = steps[-1]
        path.append(name)
    accepted = inspect.signature(last.fit).parameters
    if _WEIGHTS not in accepted and not any(each.kind is each.VAR_KEYWORD for each in accepted.values()):
        raise TrainingFailed(
            f"Use case {use_case.name!r}: {type(last).__name__} takes no weights, which examples.weight declares.",
            f"Let build() in include/use_cases/{use_case.name}/model.py return an estimator whose fit() takes"
            f" {_WEIGHTS}, or remove examples.weight.",
        )
    return "__".join([*path, _WEIGHTS])
