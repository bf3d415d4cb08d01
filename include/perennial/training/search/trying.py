"""Tries sets of parameters on one fold after another, and compares each with the run's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import Trial

from perennial.errors import InvalidParams, TrainingFailed
from perennial.registry import model_loading
from perennial.training import planning
from perennial.training.estimator import fit_estimator
from perennial.training.fit import feature_columns
from perennial.training.search.comparison import improvement_on, over_folds
from perennial.training.search.folds import Fold
from perennial.training.search.study import Study
from perennial.use_case import UseCase

#: From a fold, and the parameters that differ from the run's own, to (m,) predictions of its rows to test on.
Predict = Callable[[Fold, Mapping[str, Any]], np.ndarray]


def fitted_on_each(use_case: UseCase, params: Mapping[str, Any], rows: pd.DataFrame) -> Predict:
    """Predictions of the use case's estimator, fitted on the rows of a fold that were known before it.

    Args:
        use_case: Its `model.py` builds the estimator.
        params: The run's own parameters.
        rows: (n,) to fit on, as `TrainingSet.fit` has them.

    Returns:
        It raises TrainingFailed for a set that is invalid, cannot be fitted, or predicts something else than numbers.
    """
    columns = feature_columns(use_case)

    def predict(fold: Fold, found: Mapping[str, Any]) -> np.ndarray:
        try:
            typed = planning.validate_params(use_case, {**params, **found})
        except InvalidParams as error:  # One by one they are valid, together they are not.
            raise TrainingFailed(error.problem, error.fix) from error
        fitted, tested = (rows.iloc[places] for places in (fold.fit, fold.test))
        model, _ = fit_estimator(use_case, typed, fitted, columns)
        try:
            predicted = model_loading.predictor(use_case, model)(tested[columns])
        except Exception as error:
            problem = f"the fitted estimator cannot predict: {type(error).__name__}: {error}"
            raise TrainingFailed(
                f"Use case {use_case.name!r}: {problem}", "Leave that value out of `search`."
            ) from error
        if not np.isfinite(predicted).all():
            raise TrainingFailed(
                f"Use case {use_case.name!r}: the fitted estimator predicts values that are no numbers.",
                "Leave that value out of `search`.",
            )
        return predicted

    return predict


class Trying:
    """Tries sets of parameters on the same folds.

    Args:
        use_case: Whose gate.
        rows: (n,) with `label` and `event_timestamp`.
        folds: Of these rows.
        predict: Fits and predicts; see `fitted_on_each`.
    """

    def __init__(self, use_case: UseCase, rows: pd.DataFrame, folds: Sequence[Fold], predict: Predict) -> None:
        self.folds = folds
        self._use_case, self._rows, self._predict = use_case, rows, predict
        self._own: dict[int, np.ndarray] = {}

    def try_one(self, study: Study, trial: Trial) -> None:
        """Try a set of parameters on one fold after another, and record how much better it is.

        Args:
            study: It keeps the result.
            trial: The set; the first one is the run's own.

        Raises:
            TrainingFailed: the estimator cannot be fitted, or not be measured, with the run's own parameters.
        """
        is_own = not study.trials
        parts, gains = [], []
        for step, fold in enumerate(self.folds):
            own = self._own_predictions(step)
            try:
                candidate = own if is_own else self._predict(fold, trial.params)
            except TrainingFailed as error:
                study.fail(trial, error.problem)
                return
            improvement, blocks = improvement_on(self._use_case, self._rows.iloc[fold.test], candidate, own)
            parts.append((improvement, blocks))
            gains.append(improvement(np.ones((1, blocks)))[0])
            if not np.isfinite(gains[-1]):
                problem = f"{self._use_case.gate.metric} cannot be computed on fold {step + 1}"
                if is_own:
                    raise TrainingFailed(f"Use case {self._use_case.name!r}: {problem}.", "Search with fewer folds.")
                study.fail(trial, problem)
                return
            # Relative to the run's own on the same rows, so that an easy fold is no merit of whoever saw it.
            trial.report(float(np.mean(gains)), step)
            if step < len(self.folds) - 1 and trial.should_prune():
                study.prune(trial)
                return
        study.complete(trial, over_folds(parts))

    def _own_predictions(self, step: int) -> np.ndarray:
        """Kept: every set is compared with them. Fitted again by an attempt that continues another."""
        if step not in self._own:
            self._own[step] = self._predict(self.folds[step], {})
        return self._own[step]
