"""Perennial keeps machine-learning models alive.

What `__all__` names is what use cases, their tests, feature definitions and notebooks may import; it is described in
docs/python_api.md. Everything else may change with any release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial import errors, expectations, sources, testing, transforms
    from perennial.analysis.champion import LoadedChampion, champion
    from perennial.analysis.explanation import Explanation, explain
    from perennial.analysis.tables import examples, features_as_of, predictions, status, training_set
    from perennial.feature_store.source import LakeSource
    from perennial.feature_store.views import LakeTables
    from perennial.partitions import Cadence, Partition
    from perennial.pushing import push
    from perennial.serving.predicting import predict
    from perennial.use_case import (
        Ahead,
        CanaryStage,
        ColumnPolicy,
        Deadlines,
        DriftPolicy,
        Examples,
        FeatureTable,
        Gate,
        PredictionInterval,
        Range,
        RawTable,
        Refresh,
        Retraining,
        Rollout,
        Search,
        ServingPolicy,
        TrainingParams,
        UseCase,
        Value,
    )

__all__ = [
    "Ahead",
    "Cadence",
    "CanaryStage",
    "ColumnPolicy",
    "Deadlines",
    "DriftPolicy",
    "Examples",
    "Explanation",
    "FeatureTable",
    "Gate",
    "LakeSource",
    "LakeTables",
    "LoadedChampion",
    "Partition",
    "PredictionInterval",
    "Range",
    "RawTable",
    "Refresh",
    "Retraining",
    "Rollout",
    "Search",
    "ServingPolicy",
    "TrainingParams",
    "UseCase",
    "Value",
    "champion",
    "errors",
    "examples",
    "expectations",
    "explain",
    "features_as_of",
    "predict",
    "predictions",
    "push",
    "sources",
    "status",
    "testing",
    "training_set",
    "transforms",
]

# The command line's help needs none of them, so each is imported when it is first used.
__getattr__ = attributes_of(
    __name__,
    {
        ".analysis.champion": ("LoadedChampion", "champion"),
        ".analysis.explanation": ("Explanation", "explain"),
        ".analysis.tables": ("examples", "features_as_of", "predictions", "status", "training_set"),
        ".feature_store.source": ("LakeSource",),
        ".feature_store.views": ("LakeTables",),
        ".partitions": ("Cadence", "Partition"),
        ".pushing": ("push",),
        ".serving.predicting": ("predict",),
        ".use_case": (
            *("Ahead", "CanaryStage", "ColumnPolicy", "DriftPolicy", "Examples", "FeatureTable", "Gate", "Range"),
            *("RawTable", "Refresh", "Retraining", "Rollout", "Search", "ServingPolicy", "TrainingParams", "UseCase"),
            *("Deadlines", "PredictionInterval", "Value"),
        ),
    },
    submodules=("errors", "expectations", "sources", "testing", "transforms"),
)
