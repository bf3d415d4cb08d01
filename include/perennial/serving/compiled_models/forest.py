"""Trees as flat arrays, of which NumPy walks all at once, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tree:
    """One tree, by node.

    Attributes:
        left: The left child; of a leaf anything.
        right: The right child, likewise.
        feature: Which column is compared.
        threshold: What is at most this goes left.
        nan_goes_left: Whether NaN does.
        is_leaf: Whether the node is a leaf.
        value: What a leaf predicts.
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    nan_goes_left: np.ndarray
    is_leaf: np.ndarray
    value: np.ndarray


class Forest:
    """Trees whose leaves' values are added up.

    The nodes have another order than in the trees: two children are neighbours, so that a comparison is subtracted from
    the place of the right one; a leaf leads to itself; and the deepest trees come first, so that each level walks only
    those that go on.

    Args:
        trees: The trees, in the order in which their values are added.
        columns: Of how many columns their features are.
    """

    def __init__(self, trees: Sequence[Tree], columns: int) -> None:
        laid = [_laid_out(tree, columns) for tree in trees]
        order = sorted(range(len(laid)), key=lambda number: -laid[number].depth)
        deepest_first = [laid[number] for number in order]
        sizes = np.array([len(each.feature) for each in deepest_first])
        self._roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
        self._columns = columns
        self._feature = np.concatenate([each.feature for each in deepest_first])
        self._threshold = np.concatenate([each.threshold for each in deepest_first])
        self._value = np.concatenate([each.value for each in deepest_first])
        starts = zip(deepest_first, self._roots, strict=True)
        self._right = np.concatenate([each.right + start for each, start in starts])
        depths = np.array([each.depth for each in deepest_first])
        self._walking = [int((depths > level).sum()) for level in range(depths.max(initial=0))]
        self._place = np.argsort(order)

    def sums(self, matrix: np.ndarray, start: float) -> np.ndarray:
        """(n,) the values of all trees, added one after the other.

        Args:
            matrix: (n, columns) float64.
            start: What they are added to.
        """
        count, columns = len(matrix), self._columns
        # A column as it is, for nodes where NaN goes right: no comparison with it holds. Then with NaN as the smallest
        # value, for the others. Then a constant, for leaves.
        wide = np.empty((count, 2 * columns + 1))
        wide[:, :columns] = matrix
        wide[:, columns:-1] = matrix
        wide[:, -1] = 0.0
        is_nan = np.isnan(matrix)
        if is_nan.any():
            wide[:, columns:-1][is_nan] = -np.inf
        flat = wide.ravel()
        rows = np.arange(count) * (2 * columns + 1)
        at = np.repeat(self._roots, count).reshape(len(self._roots), count)
        for trees in self._walking:
            here = at[:trees]
            wanted = self._feature.take(here)
            wanted += rows
            goes_left = flat.take(wanted) <= self._threshold.take(here)
            np.subtract(self._right.take(here), goes_left, out=here)
        added = np.empty((len(at) + 1, count))
        added[0] = start
        added[1:] = self._value.take(at[self._place])
        # One by one, as scikit-learn does: `sum` would add in pairs, and round differently.
        return np.cumsum(added, axis=0)[-1]


@dataclass(frozen=True)
class _LaidOut:
    feature: np.ndarray
    threshold: np.ndarray
    right: np.ndarray
    value: np.ndarray
    depth: int


def _laid_out(tree: Tree, columns: int) -> _LaidOut:
    """The nodes level by level, children as neighbours."""
    order, depth = [0], 0
    right = []
    level = [0]
    while level:
        below: list[int] = []
        for node in level:
            if tree.is_leaf[node]:
                right.append(-1)
            else:
                right.append(len(order) + 1)
                order += [int(tree.left[node]), int(tree.right[node])]
                below += order[-2:]
        level = below
        depth += bool(below)
    old, is_leaf = np.array(order), tree.is_leaf[order].astype(bool)
    feature = np.where(tree.nan_goes_left[old], tree.feature[old] + columns, tree.feature[old])
    return _LaidOut(
        feature=np.where(is_leaf, 2 * columns, feature).astype(np.intp),
        threshold=np.where(is_leaf, 0.0, tree.threshold[old]),
        # The constant is at most 0: a leaf goes to the left neighbour of the place after it, which is itself.
        right=np.where(is_leaf, np.arange(len(old)) + 1, right).astype(np.intp),
        value=np.where(is_leaf, tree.value[old], 0.0),
        depth=depth,
    )
