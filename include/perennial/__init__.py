"""Perennial keeps machine-learning models alive. This module is the vocabulary a use case is written in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.partitions import Cadence, Partition
    from perennial.use_case import (
        ColumnPolicy,
        DriftPolicy,
        Examples,
        FeatureTable,
        Gate,
        RawTable,
        Retraining,
        TrainingParams,
        UseCase,
    )

__all__ = [
    "Cadence",
    "ColumnPolicy",
    "DriftPolicy",
    "Examples",
    "FeatureTable",
    "Gate",
    "Partition",
    "RawTable",
    "Retraining",
    "TrainingParams",
    "UseCase",
]


# The command line's help needs none of them, so each is imported when it is first used.
__getattr__ = attributes_of(
    __name__,
    {
        ".partitions": ("Cadence", "Partition"),
        ".use_case": [name for name in __all__ if name not in ("Cadence", "Partition")],
    },
)
