"""Perennial keeps machine-learning models alive. This module is the vocabulary a use case is written in."""

from perennial.partitions import Cadence, Partition
from perennial.use_case import (
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
