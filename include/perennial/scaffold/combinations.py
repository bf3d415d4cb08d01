"""Finds pairs of columns of which the label is a sum, difference, product or ratio, and sums and products of several.

All pairs are looked at together: what a regression of the label on two columns needs are sums over rows, and those of
all pairs are a few products of matrices.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from perennial.scaffold import totals

Array = np.ndarray

#: More rows than so many add nothing.
_MOST = 1_000
#: So many columns are paired with all others at once, which bounds the memory.
_BLOCK = 128
#: Two columns more alike than this are one column twice.
_ALIKE = 0.9998
#: So many pairs are looked at closely, those that explain the most first.
_CLOSELY = 50
_LARGE = 1e50

#: A form, such as `{0} + {1}`, and the value that it has.
_FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "{0} + {1}": np.add,
    "{0} - {1}": np.subtract,
    "{0} * {1}": np.multiply,
    "{0} / {1}": np.divide,
    "{1} / {0}": lambda first, second: second / first,
}


class Combination(NamedTuple):
    """Columns that give the label together.

    Attributes:
        members: Their places.
        form: A formula with their places in it: `{0} + {1}`.
    """

    members: tuple[int, ...]
    form: str


def find(values: Array, truth: Array, task: str) -> list[Combination]:
    """The combinations that give the label, none of whose columns does so alone.

    Args:
        values: (n, columns) numbers; nan where missing.
        truth: (n,) labels, at least two different ones.
        task: "binary": a combination tells the classes apart without an error, by one threshold. "regression": it
            explains nearly all of the label, whatever its scale and offset.
    """
    if len(truth) > _MOST:
        some = np.random.default_rng(7).choice(len(truth), _MOST, replace=False)
        values, truth = values[some], truth[some]
    # The square of a very large number is none.
    largest = np.nanmax(np.abs(values), axis=0, initial=0.0)
    values, truth = np.where(largest > _LARGE, np.nan, values), truth.astype(float)
    tells = _separates if task == "binary" else totals.explains
    likely: dict[tuple[int, int], float] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for explained, pairs in _explained(values, truth):
            limit = 0.02 if task == "binary" else totals.EXPLAINED
            rows, columns = np.nonzero(explained >= limit)
            for row, column in zip(rows, columns, strict=True):
                low, high = sorted((int(pairs[row]), int(column)))
                likely[low, high] = max(likely.get((low, high), 0.0), float(explained[row, column]))
        best = sorted(likely, key=lambda pair: -likely[pair])[:_CLOSELY]
        found = [Combination(pair, form) for pair in best if (form := _form(values, truth, pair, tells))]
        if task == "regression":
            free = np.ones(values.shape[1], bool)
            free[[member for each in found for member in each.members]] = False
            found += [Combination(*each) for each in totals.find(values, truth, free)]
    return found


def _form(values: Array, truth: Array, pair: tuple[int, int], tells: Callable[[Array, Array], bool]) -> str:
    """How two columns give the label; empty: not at all."""
    first, second = values[:, pair[0]], values[:, pair[1]]
    both = np.isfinite(first) & np.isfinite(second)
    for form, combine in _FORMS.items():
        combined = combine(first, second)
        usable = both & np.isfinite(combined)
        if usable.sum() >= max(totals.FEWEST, both.sum() / 2) and tells(combined[usable], truth[usable]):
            return form
    if tells is totals.explains and both.sum() >= totals.FEWEST:
        (a, b, c), *_ = np.linalg.lstsq(np.stack([first, second, np.ones(len(first))], 1)[both], truth[both])
        if tells((a * first + b * second + c)[both], truth[both]):
            sign = "+" if b >= 0 else "-"
            return f"{a:.4g} * {{0}} {sign} {abs(b):.4g} * {{1}}"
    return ""


def _separates(combined: Array, truth: Array) -> bool:
    """Whether one threshold tells the classes apart without an error."""
    positive, negative = combined[truth == 1], combined[truth == 0]
    if min(len(positive), len(negative)) < 20:
        return False
    return bool(positive.min() > negative.max() or positive.max() < negative.min())


def _explained(values: Array, truth: Array) -> Iterator[tuple[Array, Array]]:
    """By blocks of columns: what share of the label a pair explains, as a linear combination, product or ratio.

    Yields:
        (block, columns) shares, and (block,) the places of the block's columns.
    """
    filled = np.isfinite(values)
    centre, scale = np.nanmean(values, 0), np.nanstd(values, 0)
    scale = np.where(scale > 0, scale, 1.0)
    plain = np.where(filled, values, 0.0) / scale
    centred = np.where(filled, (values - centre) / scale, 0.0)
    label = ((truth - truth.mean()) / truth.std())[:, None]
    inverse = np.where(filled & (values != 0), 1 / plain, 0.0)
    divides = filled & (values != 0)
    for first in range(0, values.shape[1], _BLOCK):
        block = slice(first, first + _BLOCK)
        mine = _Moments(filled[:, block], label, filled)
        best = mine.of_sums(centred[:, block], centred)
        best = np.fmax(best, mine.of_products(plain[:, block], plain))
        ratio = _Moments(filled[:, block], label, divides).of_products(plain[:, block], inverse)
        best = np.fmax(best, ratio)
        places = np.arange(values.shape[1])[block]
        best[np.arange(len(places)), places] = 0.0
        yield np.where(mine.rows >= totals.FEWEST, np.nan_to_num(best), 0.0), places


class _Moments:
    """Sums over the rows in which both columns of a pair have a value."""

    def __init__(self, mine: Array, label: Array, other: Array) -> None:
        self._mine, self._other, self._label = mine.astype(float), other.astype(float), label
        self.rows = self._mine.T @ self._other
        self._sum = (self._mine * label).T @ self._other
        self._square = (self._mine * label**2).T @ self._other - self._sum**2 / self.rows

    def of_sums(self, mine: Array, other: Array) -> Array:
        """What the best linear combination of two columns explains; 0 where they are one column twice."""
        rows, label = self.rows, self._label
        first, second = mine.T @ self._other, self._mine.T @ other
        aa = (mine**2).T @ self._other - first**2 / rows
        bb = self._mine.T @ other**2 - second**2 / rows
        ab = mine.T @ other - first * second / rows
        ay = (mine * label).T @ self._other - first * self._sum / rows
        by = (self._mine * label).T @ other - second * self._sum / rows
        explained = (bb * ay**2 - 2 * ab * ay * by + aa * by**2) / ((aa * bb - ab**2) * self._square)
        return np.where(ab**2 < _ALIKE * aa * bb, explained, 0.0)

    def of_products(self, mine: Array, other: Array) -> Array:
        """What the product of two columns explains."""
        total = mine.T @ other
        square = (mine**2).T @ other**2 - total**2 / self.rows
        with_label = (mine * self._label).T @ other - total * self._sum / self.rows
        return with_label**2 / (square * self._square)
