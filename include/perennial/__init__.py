"""Perennial keeps machine-learning models alive. This module is the vocabulary a use case is written in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """A word of the vocabulary, imported when it is first used: the command line's help needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "perennial.partitions" if name in ("Cadence", "Partition") else "perennial.use_case"
    # Kept, so that the next use case's import finds it without coming here.
    word = globals()[name] = getattr(import_module(module), name)
    return word
