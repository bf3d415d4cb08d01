"""scikit-learn's estimators as functions from a matrix of floats to predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge

from perennial.serving.compiled_models.forest import Forest, Tree
from perennial.serving.compiled_models.steps import NotCompiled, Source

#: Losses of boosted regressors that predict what the trees add up to.
_IDENTITY = ("squared_error", "absolute_error", "quantile")


@dataclass(frozen=True)
class Estimator:
    """The last step of a model.

    Attributes:
        predict: From the raw matrix to (n,) floats.
        edges: Of each raw column the values at which a prediction changes, as far as they are known.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    edges: dict[int, np.ndarray] = field(default_factory=dict)


def compiled(model: Any, task: str, source: Source, columns: int, order: str) -> Estimator:
    """What a fitted estimator predicts of a source.

    Args:
        model: The estimator.
        task: `binary`: the probability of 1; `regression`: the value.
        source: What it is given.
        columns: The width of the raw matrix.
        order: How the matrix lies in memory, by which products may round: "C" or "F".

    Raises:
        NotCompiled: it is of a kind, or has options, that are not known here.
    """
    kind = type(model)
    if task == "binary" and kind in (HistGradientBoostingClassifier, RandomForestClassifier, LogisticRegression):
        if list(getattr(model, "classes_", [])) not in ([0, 1], [False, True]):
            raise NotCompiled("a classifier of other classes than 0 and 1 is not compiled")
    elif task == "binary" or kind not in (
        HistGradientBoostingRegressor,
        RandomForestRegressor,
        LinearRegression,
        Ridge,
        Lasso,
        ElasticNet,
    ):
        raise NotCompiled(f"{kind.__name__} is not compiled")
    if kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        return _boosted(model, source, columns)
    if kind in (RandomForestClassifier, RandomForestRegressor):
        return _averaged(model, source)
    return _linear(model, source, order)


def _boosted(model: Any, source: Source, columns: int) -> Estimator:
    if model.is_categorical_ is not None:
        raise NotCompiled("boosted trees with categories of their own are not compiled")
    is_binary = isinstance(model, HistGradientBoostingClassifier)
    if not is_binary and model.loss not in _IDENTITY:
        raise NotCompiled(f"boosted trees of loss {model.loss!r} are not compiled")
    # Not public: what the trees of a boosted model are is nowhere else. Equality is checked before it is used.
    rounds = model._predictors
    if any(len(each) != 1 for each in rounds):
        raise NotCompiled("more than one tree a round is not compiled")
    trees = [_boosted_tree(each[0].nodes) for each in rounds]
    start = float(np.ravel(model._baseline_prediction)[0])
    sums, edges = _forest(trees, source, columns)
    if is_binary:
        return Estimator(lambda matrix: expit(sums(matrix, start)), edges)
    return Estimator(lambda matrix: sums(matrix, start), edges)


def _boosted_tree(nodes: np.ndarray) -> Tree:
    return Tree(
        left=nodes["left"],
        right=nodes["right"],
        feature=nodes["feature_idx"].astype(np.intp),
        threshold=nodes["num_threshold"],
        nan_goes_left=nodes["missing_go_to_left"].astype(bool),
        is_leaf=nodes["is_leaf"].astype(bool),
        value=nodes["value"],
    )


def _averaged(model: Any, source: Source) -> Estimator:
    if model.n_jobs not in (None, 1):
        raise NotCompiled("a forest that predicts in parallel adds its trees in any order")
    if model.n_outputs_ != 1 or getattr(model, "monotonic_cst", None) is not None:
        raise NotCompiled("a forest with several outputs or monotonic constraints is not compiled")
    of_class = 1 if isinstance(model, RandomForestClassifier) else 0
    trees = [_averaged_tree(each.tree_, of_class) for each in model.estimators_]
    forest = Forest(trees, source.width)
    count = len(trees)

    def predict(matrix: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            single = source.compute(matrix).astype(np.float32)  # As these trees see them.
        if not np.isfinite(single).all():
            raise NotCompiled("a value is missing or infinite")
        return forest.sums(single.astype(float), 0.0) / count

    return Estimator(predict)


def _averaged_tree(tree: Any, of_class: int) -> Tree:
    is_leaf = tree.children_left == -1
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        feature=np.where(is_leaf, 0, tree.feature).astype(np.intp),
        threshold=tree.threshold,
        nan_goes_left=np.zeros(len(is_leaf), dtype=bool),
        is_leaf=is_leaf,
        value=tree.value[:, 0, of_class],
    )


def _forest(
    trees: Sequence[Tree], source: Source, columns: int
) -> tuple[Callable[[np.ndarray, float], np.ndarray], dict[int, np.ndarray]]:
    """The sums of a forest from the raw matrix, and where they change."""
    if source.raw is None:
        forest = Forest(trees, source.width)
        return (lambda matrix, start: forest.sums(source.compute(matrix), start)), {}
    # The columns are only chosen: the trees look at the raw matrix itself.
    raw = np.array(source.raw, dtype=np.intp)
    chosen = [Tree(**{**vars(tree), "feature": raw[tree.feature]}) for tree in trees]
    edges: dict[int, list[np.ndarray]] = {}
    for tree in chosen:
        for column in np.unique(tree.feature[~tree.is_leaf]).tolist():
            edges.setdefault(column, []).append(tree.threshold[~tree.is_leaf & (tree.feature == column)])
    return Forest(chosen, columns).sums, {column: np.concatenate(values) for column, values in edges.items()}


def _linear(model: Any, source: Source, order: str) -> Estimator:
    is_binary = isinstance(model, LogisticRegression)
    weights = np.asarray(model.coef_, dtype=float)
    if weights.ndim == 2:
        weights = weights.T
    intercept = model.intercept_

    def predict(matrix: np.ndarray) -> np.ndarray:
        given = np.asarray(source.compute(matrix), order=order)  # type: ignore[call-overload]
        if not np.isfinite(given).all():
            raise NotCompiled("a value is missing or infinite")
        scores = (given @ weights + intercept).reshape(-1)
        return expit(scores) if is_binary else scores

    return Estimator(predict)
