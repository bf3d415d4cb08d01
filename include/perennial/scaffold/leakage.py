"""Finds leakage: columns that predict the label so well that they were probably known only after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold.profiling import Look, ProfiledColumn

#: A column that alone predicts the label better than this has seen it: ROC AUC, or share of variance explained.
_AUC, _R2 = 0.99, 0.98
_SAMPLE = 20_000
_LEAVES = 64


@dataclass(frozen=True)
class Suspect:
    """A column that may be known only when the label is, and why that is thought."""

    column: ProfiledColumn
    why: str


def find(look: Look, label: ProfiledColumn, truth: str, task: str, but: set[str]) -> list[Suspect]:
    """The suspects among the columns.

    Args:
        look: The profiled data.
        label: The label's column.
        truth: The label as a number, an expression over table `timed`; null where unknown.
        task: "binary" or "regression".
        but: Names of columns that are the time, a key or the label.
    """
    others = [column for column in look.columns if column.name not in but and column.distinct > 0]
    if not others:
        return []
    selected = ", ".join(_as_number(column) for column in others)
    frame = look.connection.execute(
        f"SELECT CAST({truth} AS DOUBLE) AS truth__, epoch(moment) AS moment__, {selected} FROM timed"  # noqa: S608
        f" USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE (7)"
    ).df()
    known = frame["truth__"].notna().to_numpy()
    suspects = []
    for column in others:
        values = frame[column.name].to_numpy(dtype=float)
        why = _why(column, values, frame["moment__"].to_numpy(), frame["truth__"].to_numpy(), known, task)
        if why:
            suspects.append(Suspect(column, why))
    return suspects


def _as_number(column: ProfiledColumn) -> str:
    """A column as a number that a tree can part: text by its hash, which keeps equal values equal."""
    name = quote_ident(column.name)
    if column.kind == "time":
        return f"epoch({name}) AS {name}"
    if column.kind == "text":
        return (
            f"CAST(hash({name}) % 1000003 AS DOUBLE) AS {name}"
            if column.distinct > 1000
            else (f"CASE WHEN {name} IS NOT NULL THEN dense_rank() OVER (ORDER BY {name}) END AS {name}")
        )
    return f"CAST({name} AS DOUBLE) AS {name}"


def _why(
    column: ProfiledColumn, values: np.ndarray, moments: np.ndarray, truth: np.ndarray, known: np.ndarray, task: str
) -> str:
    filled = ~np.isnan(values)
    if known.mean() < 0.99 and (filled == known).mean() > 0.99:
        return "it is filled only where the label is"
    if column.kind == "time" and filled.any() and (values[filled] > moments[filled]).mean() > 0.5:
        return "it holds moments after the row's own"
    values, truth = values[known], truth[known]
    if len(truth) < 50 or np.unique(truth).size < 2:
        return ""
    both = ~np.isnan(values)
    if both.mean() > 0.5 and np.unique(values[both]).size > 1:
        share = abs(np.corrcoef(values[both], truth[both])[0, 1]) if np.unique(truth[both]).size > 1 else 0.0
        if share > 0.9999:
            return "it is a copy of the label"
    # Many different texts tell rows apart, and a tree would only learn them by heart.
    if column.kind == "text" and column.distinct > len(values) / 3:
        return ""
    skill = _skill(values, truth, task)
    limit, what = (_AUC, "ROC AUC") if task == "binary" else (_R2, "R²")
    return f"it alone predicts the label nearly perfectly ({what} {skill:.3f})" if skill > limit else ""


def _skill(values: np.ndarray, truth: np.ndarray, task: str) -> float:
    """What a tree on this column alone is worth on rows that it was not fitted on."""
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    features = pd.DataFrame({"value": values})
    leaf = max(3, len(truth) // (20 * _LEAVES))
    if task == "binary":
        if min(np.bincount(truth.astype(int), minlength=2)) < 3:
            return 0.0
        tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, min_samples_leaf=leaf, random_state=7)
        folds = StratifiedKFold(3, shuffle=True, random_state=7)
        guess = cross_val_predict(tree, features, truth.astype(int), cv=folds, method="predict_proba")[:, 1]
        return float(roc_auc_score(truth, guess))
    tree = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=leaf, random_state=7)
    guess = cross_val_predict(tree, features, truth, cv=KFold(3, shuffle=True, random_state=7))
    return float(r2_score(truth, guess))
