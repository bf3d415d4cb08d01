"""Training: plan a run, build its training set, search for parameters, fit the estimator, register the challenger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.training.fit import fit_challenger
    from perennial.training.planning import TrainingPlan, build_training_set, plan_and_rows, plan_training
    from perennial.training.search.searching import search_params
    from perennial.training.training_set import TrainingSet

__all__ = [
    "TrainingPlan",
    "TrainingSet",
    "build_training_set",
    "fit_challenger",
    "plan_and_rows",
    "plan_training",
    "search_params",
]

# Each imports MLflow or Great Expectations: a DAG file, which is parsed every few seconds, must not.
__getattr__ = attributes_of(
    __name__,
    {
        ".fit": ("fit_challenger",),
        ".planning": ("TrainingPlan", "build_training_set", "plan_and_rows", "plan_training"),
        ".search.searching": ("search_params",),
        ".training_set": ("TrainingSet",),
    },
)
