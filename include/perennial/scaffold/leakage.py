"""Finds leakage: columns that predict the label so well that they were probably known only after it.

Columns are looked at one by one, and two by two (`combinations`), on a sample of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold import combinations
from perennial.scaffold.profiling import Look, ProfiledColumn

#: A column that alone predicts the label better than this has seen it: ROC AUC, or share of variance explained.
_AUC, _R2 = 0.99, 0.98
#: What a column must reach by a coarse estimate before a tree is fitted on it.
_PROMISING = 0.8
_SAMPLE = 20_000
_LEAVES, _BINS = 64, 256
#: Where a larger share of the labels is known, the others may be lacking with everything else.
_OUTAGE = 0.9
#: Fewer rows with a label say nothing.
_FEWEST = 50

Array = np.ndarray


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
        but: Names of columns that are the time, a key, the label, or no features anyway.
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
    moments, answers = frame["moment__"].to_numpy(), frame["truth__"].to_numpy()
    reasons: dict[str, str] = {}
    if not _is_outage(frame[[column.name for column in others]].notna().to_numpy(), known):
        together = [column for column in others if _is_filled_with(frame[column.name].notna().to_numpy(), known)]
        reasons = {column.name: "it is filled only where the label is" for column in together}
    for column in others:
        if column.name in reasons:
            continue
        why = _why(column, frame[column.name].to_numpy(dtype=float), moments, answers, known, task)
        if why:
            reasons[column.name] = why
    reasons |= _combined(others, frame[known], answers[known], task, set(reasons), label)
    return [Suspect(column, reasons[column.name]) for column in others if column.name in reasons]


def _is_filled_with(filled: Array, known: Array) -> bool:
    """Whether a column is filled in just the rows that have a label, which some have not."""
    return bool(known.mean() < 0.99 and (filled == known).mean() > 0.99)


def _is_outage(filled: Array, known: Array) -> bool:
    """Whether rows without a label have nothing at all, or are few and lack most: nobody measured anything then.

    Args:
        filled: (n, columns) which values are there.
        known: (n,) which labels are.
    """
    together = sum(_is_filled_with(column, known) for column in filled.T)
    columns = filled.shape[1]
    return (together == columns >= 2) or (together >= max(3, columns / 2) and known.mean() > _OUTAGE)


def _combined(
    columns: Sequence[ProfiledColumn], rows: pd.DataFrame, truth: Array, task: str, but: set[str], label: ProfiledColumn
) -> dict[str, str]:
    """Column -> how it gives the label away together with others."""
    # A fee that is due or not has two values, and so has a mark, which gives a class away only with chance's help.
    fewest = 2 if task == "regression" else 3
    numbers = [each for each in columns if each.is_number and each.distinct >= fewest and each.name not in but]
    if len(truth) < _FEWEST or np.unique(truth).size < 2 or len(numbers) < 2:
        return {}
    values = rows[[column.name for column in numbers]].to_numpy(dtype=float)
    reasons: dict[str, str] = {}
    for members, form in combinations.find(values, truth, task):
        formula = form.format(*(numbers[member].source for member in members))
        for member in members:
            others = " and ".join(numbers[other].source for other in members if other != member)
            why = f"with {others} it gives the label: {label.source} follows from {formula}"
            reasons.setdefault(numbers[member].name, why)
    return reasons


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


def _why(column: ProfiledColumn, values: Array, moments: Array, truth: Array, known: Array, task: str) -> str:
    filled = ~np.isnan(values)
    if column.kind == "time" and filled.any() and (values[filled] > moments[filled]).mean() > 0.5:
        return "it holds moments after the row's own"
    values, truth = values[known], truth[known]
    if len(truth) < _FEWEST or np.unique(truth).size < 2:
        return ""
    both = ~np.isnan(values)
    if both.mean() > 0.5 and np.unique(values[both]).size > 1:
        # The square of a very large number is none.
        scaled = values[both] / np.abs(values[both]).max()
        share = abs(np.corrcoef(scaled, truth[both])[0, 1]) if np.unique(truth[both]).size > 1 else 0.0
        if share > 0.9999:
            is_same = np.array_equal(values[both], truth[both])
            return "it is a copy of the label" if is_same else "it rises or falls in proportion to the label"
    # Many different texts tell rows apart, and a tree would only learn them by heart.
    if column.kind == "text" and column.distinct > len(values) / 3:
        return ""
    if coarse_skill(values, truth, task) < _PROMISING:
        return ""
    skill = _skill(values, truth, task)
    limit, what = (_AUC, "ROC AUC") if task == "binary" else (_R2, "R²")
    return f"it alone predicts the label nearly perfectly ({what} {skill:.3f})" if skill > limit else ""


def coarse_skill(values: Array, truth: Array, task: str) -> float:
    """What a column alone is worth, about, by the mean label of other rows with nearly its value.

    It is a hundred times as fast as a tree, and never far below one that predicts nearly perfectly.

    Args:
        values: (n,) of the column; nan where missing.
        truth: (n,) labels.
        task: "binary" or "regression".

    Returns:
        ROC AUC, or share of variance explained.
    """
    rows = len(truth)
    last = min(_BINS, rows // 5)
    ordered = np.where(np.isnan(values), np.inf, values)
    order = np.argsort(ordered, kind="stable")
    ordered, labels = ordered[order], truth[order].astype(float)
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    # Equal values share a bin; a bin of missing ones is of its own.
    begins = np.maximum.accumulate(np.where(first, np.arange(rows), 0))
    bins = np.where(np.isinf(ordered), last, begins * last // rows)
    counts = np.bincount(bins, minlength=last + 1).astype(float)
    sums = np.bincount(bins, weights=labels, minlength=last + 1)
    others = np.maximum(counts - 1, 1)
    overall = labels.mean()
    if task == "binary":
        guesses = np.concatenate([np.where(counts > 1, (sums - label) / others, overall) for label in (1, 0)])
        return _auc(guesses, np.concatenate([sums, 0 * sums]), np.concatenate([0 * counts, counts - sums]))
    guess = np.where(counts[bins] > 1, (sums[bins] - labels) / others[bins], overall)
    return float(1 - np.square(labels - guess).sum() / np.square(labels - overall).sum())


def _auc(scores: Array, positives: Array, negatives: Array) -> float:
    """ROC AUC of groups of rows with one score each; ties are half."""
    levels, group = np.unique(scores, return_inverse=True)
    positive, negative = (np.bincount(group, weights=each, minlength=len(levels)) for each in (positives, negatives))
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def _skill(values: Array, truth: Array, task: str) -> float:
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
