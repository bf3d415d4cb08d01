"""Chooses the bins in which a column is counted, on the rows a model was trained on, and counts rows in them.

A column's counts are an array of whole numbers: one for each bin in a fixed order, the last one for nulls. All later
work is on counts: they add up over time, have a bounded size, and one pass over the rows makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Bins with equal shares of a number's training values, and bins of equal width: the first are fine where the values
#: are, the others where few are.
QUANTILES, WIDTHS = 100, 50
#: The edges of the bins are computed from so many training values, evenly over time; their extremes are of all.
EDGES_FROM = 200_000
#: Categories with a bin of their own, the most frequent ones; the others share one.
CATEGORIES = 500
#: Whole numbers of at most this many values are categories: a value that vanishes or appears then is seen.
WHOLE_NUMBERS = 20
#: How far the bins reach beyond the values of training, in units of their range.
BEYOND = 2.0 ** np.arange(-4, 11)


@dataclass(frozen=True)
class Bins:
    """The bins of one column.

    Attributes:
        kind: `number`: the bins lie between `edges`; `category`: a bin for each of `values`, then one for all others.
        edges: Ascending; bin i holds `edges[i-1] <= x < edges[i]`.
        centres: The mean of the training values in each bin, one more than `edges`.
        values: The categories, most frequent first; floats if the column is of whole numbers.
        complete: Whether `values` are all that occurred in training: another one is then new.
    """

    kind: Literal["number", "category"]
    edges: Sequence[float] = ()
    centres: Sequence[float] = ()
    values: Sequence[str] | Sequence[float] = ()
    complete: bool = True

    @classmethod
    def of(cls, values: pa.ChunkedArray) -> Bins:
        """The bins for a column like `values`."""
        if not _is_number(values.type):
            return cls._of_categories(values.cast(pa.string()))
        if pa.types.is_integer(values.type):
            distinct = pc.unique(values.drop_null())
            if len(distinct) <= WHOLE_NUMBERS:
                return cls("category", values=sorted(float(value) for value in distinct.to_pylist()))
        return cls._of_numbers(_floats(values))

    @classmethod
    def _of_categories(cls, values: pa.ChunkedArray) -> Bins:
        counted = sorted((-item["counts"], item["values"]) for item in pc.value_counts(values.drop_null()).to_pylist())
        names = [name for _, name in counted]
        return cls("category", values=names[:CATEGORIES], complete=len(names) <= CATEGORIES)

    @classmethod
    def _of_numbers(cls, numbers: np.ndarray) -> Bins:
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return cls("number", edges=(), centres=(0.0,))
        low, high = float(numbers.min()), float(numbers.max())
        sample = np.sort(numbers[:: len(numbers) // EDGES_FROM + 1])
        inner = sample[(np.linspace(0, 1, QUANTILES + 1) * (len(sample) - 1)).astype(int)]
        reach = BEYOND * ((high - low) or abs(high) or 1.0)
        # The largest value of training lies inside; only what is larger lies beyond.
        even = np.linspace(low, high, WIDTHS + 1)[:-1]
        edges = np.unique([*(low - reach), *even, *inner, np.nextafter(high, np.inf), *(high + reach)])
        centres = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
        codes = np.searchsorted(edges, sample, side="right")
        counts = np.bincount(codes, minlength=len(centres))
        sums = np.bincount(codes, weights=sample, minlength=len(centres))
        centres = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
        return cls("number", edges=edges.tolist(), centres=centres.tolist())

    @property
    def size(self) -> int:
        """Bins, the one for nulls included."""
        return (len(self.edges) if self.kind == "number" else len(self.values)) + 2

    def count(self, values: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """How many of `values` lie in each bin: (size,) whole numbers."""
        if self.kind == "category":
            return np.bincount(self.codes(values), minlength=self.size)
        numbers = _floats(values)
        counts = np.bincount(np.searchsorted(self._edges, numbers, side="right"), minlength=self.size)
        # A missing number sorts behind every edge; counting them is cheaper than setting each aside.
        nulls = int(np.count_nonzero(np.isnan(numbers)))
        counts[-2] -= nulls
        counts[-1] += nulls
        return counts

    def codes(self, values: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """The bin of each of `values`: (n,) whole numbers."""
        null = self.size - 1
        if self.kind == "number":
            numbers = _floats(values)
            return np.where(np.isnan(numbers), null, np.searchsorted(self._edges, numbers, side="right"))
        if self.is_whole:
            numbers = _floats(values)
            places = np.searchsorted(self._edges, numbers).clip(max=max(len(self.values) - 1, 0))
            is_value = self._edges[places] == numbers if len(self.values) else np.zeros(len(numbers), bool)
            return np.where(np.isnan(numbers), null, np.where(is_value, places, len(self.values)))
        index = pc.index_in(values.cast(pa.string()), self._lookup, skip_nulls=True)
        codes = pc.if_else(pc.is_null(values), null, pc.fill_null(index, len(self.values)))
        return np.asarray(codes.to_numpy(zero_copy_only=False) if isinstance(codes, pa.Array) else codes.to_numpy())

    @cached_property
    def _edges(self) -> np.ndarray:
        return np.asarray(self.edges if self.kind == "number" else self.values, dtype=float)

    @cached_property
    def _lookup(self) -> pa.Array:
        return pa.array(self.values, pa.string())

    @property
    def is_whole(self) -> bool:
        """Whether the categories are whole numbers."""
        return bool(self.values) and isinstance(self.values[0], float)


def count(bins: Mapping[str, Bins], batches: Iterable[pa.RecordBatch | pa.Table]) -> dict[str, np.ndarray]:
    """Count every column of `bins` that the rows have, in one pass; memory for one batch.

    Args:
        bins: Column -> its bins.
        batches: The rows.

    Returns:
        Column -> (size,) counts; without the columns that no batch has.
    """
    counts: dict[str, np.ndarray] = {}
    for batch in batches:
        for name in set(bins) & set(batch.schema.names):
            more = bins[name].count(batch.column(name))
            counts[name] = counts[name] + more if name in counts else more
    return counts


def count_by_block(bins: Bins, values: pa.ChunkedArray, block: np.ndarray, blocks: int) -> np.ndarray:
    """Count a column block by block.

    Args:
        bins: The column's.
        values: (n,) the column.
        block: (n,) the block of each row, below `blocks`.
        blocks: How many blocks there are.

    Returns:
        (blocks, size) counts.
    """
    places = block * bins.size + bins.codes(values)
    return np.bincount(places, minlength=blocks * bins.size).reshape(blocks, bins.size)


def _floats(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Numbers as (n,) float64, nulls as NaN."""
    if not pa.types.is_float64(values.type):
        values = values.cast(pa.float64(), safe=False) if _is_number(values.type) else _parsed(values)
    return values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy()


def _parsed(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """A column that was of numbers and is not any more: nothing of it counts as a number."""
    return pa.nulls(len(values), pa.float64())


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
