"""What a team writes down about one prediction problem: its tables, examples, gate, policies and parameters.

- `definition`: the use case itself, its tables, examples and parameters of training;
- `ahead`: how examples are predicted before their moment;
- `policies`: its gate and policies of drift, retraining and serving; `metric_names`: the metrics that these may name;
- `interval`: prediction intervals of a regression;
- `refreshing`: how often the partition under way is refreshed;
- `rollout`: how a challenger is tried on live requests;
- `value`: what a decision is worth, in money;
- `search`: how a training run searches for better parameters;
- `declarations`: the base of all of them; `table_names`: the use case's tables in the lake;
- `folders`: where use cases are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.use_case.ahead import Ahead
    from perennial.use_case.deadlines import Deadlines
    from perennial.use_case.definition import Examples, FeatureTable, RawTable, TrainingParams, UseCase, load_module
    from perennial.use_case.interval import PredictionInterval
    from perennial.use_case.policies import Approval, ColumnPolicy, DriftPolicy, Gate, Retraining, ServingPolicy
    from perennial.use_case.refreshing import Refresh
    from perennial.use_case.rollout import CanaryStage, Rollout
    from perennial.use_case.search import Range, Search
    from perennial.use_case.value import Value

__all__ = [
    "Ahead",
    "Approval",
    "CanaryStage",
    "ColumnPolicy",
    "Deadlines",
    "DriftPolicy",
    "Examples",
    "FeatureTable",
    "Gate",
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
    "load_module",
]

__getattr__ = attributes_of(
    __name__,
    {
        ".ahead": ["Ahead"],
        ".deadlines": ["Deadlines"],
        ".definition": ["Examples", "FeatureTable", "RawTable", "TrainingParams", "UseCase", "load_module"],
        ".interval": ["PredictionInterval"],
        ".policies": ["Approval", "ColumnPolicy", "DriftPolicy", "Gate", "Retraining", "ServingPolicy"],
        ".refreshing": ["Refresh"],
        ".rollout": ["CanaryStage", "Rollout"],
        ".search": ["Range", "Search"],
        ".value": ["Value"],
    },
)
