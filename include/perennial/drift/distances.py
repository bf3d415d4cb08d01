"""Distances between counts: effect sizes, which don't grow with the sample as p-values shrink with it.

Everything is computed for many windows of time at once: counts are (windows, bins), and each result is (windows,).
The distances are those of Evidently by the same name, on the profile's bins.
"""

from __future__ import annotations

import numpy as np

from perennial.drift.bins import Bins

#: What may move about a column: its values, its share of nulls, its scale (a change of unit), values never seen.
VALUES, NULLS, SCALE, NEW, VANISHED = "values", "nulls", "scale", "new", "vanished"
#: What is never called drift: shares below half a percent, a scale off by less than a tenth, distances of sampling.
SMALLEST = {VALUES: 0.01, NULLS: 0.005, SCALE: float(np.log2(1.1)), NEW: 0.005}
#: Fewer values than this tell no distance.
MIN_VALUES = 30
_EMPTY_SHARE = 1e-4


def default_method(bins: Bins) -> str:
    """Wasserstein for numbers, Jensen-Shannon for categories."""
    return "wasserstein" if bins.kind == "number" else "jensenshannon"


def column_distances(bins: Bins, method: str, now: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """How far each window is from its reference, by aspect; NaN where there are too few values.

    Args:
        bins: The column's.
        method: The distance of its values.
        now: (windows, size) counts.
        reference: (windows, size) or (1, size) counts.

    Returns:
        `values`: the distance by `method`; `nulls`: change of their share; for numbers `scale`: |log2| of how many
        times wider they are spread; for categories `new`: the share of values that do not occur in the reference.
    """
    p, seen = _shares(now)
    q, reference_seen = _shares(reference)
    enough = (seen >= MIN_VALUES) & (reference_seen >= MIN_VALUES)
    distances = {
        VALUES: np.where(enough, _DISTANCES[method](p, q, bins), np.nan),
        NULLS: np.abs(_null_share(now) - _null_share(reference)),
    }
    if bins.kind == "number":
        with np.errstate(divide="ignore", invalid="ignore"):
            wider = np.abs(np.log2(_spread(p, bins) / _spread(q, bins)))
        distances[SCALE] = np.where(enough & np.isfinite(wider), wider, np.nan)
    elif bins.complete:
        distances[NEW] = np.where(enough, (p * (q == 0)).sum(axis=1), np.nan)
    return distances


def mean_differences(bins: Bins, now: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """By how much the mean of each window is above its reference's, in standard deviations of the reference.

    Never more than the Wasserstein distance, whatever the sign. NaN where there are too few values.

    Args:
        bins: Of a column of numbers.
        now: (windows, size) counts.
        reference: (windows, size) or (1, size) counts.
    """
    p, seen = _shares(now)
    q, reference_seen = _shares(reference)
    apart = (p - q) @ np.asarray(bins.centres) / _deviation(q, bins)
    return np.where((seen >= MIN_VALUES) & (reference_seen >= MIN_VALUES), apart, np.nan)


def deviation(bins: Bins, counts: np.ndarray) -> np.ndarray:
    """(windows,) the standard deviation of the values, in the unit of the bins' centres; never 0.

    Args:
        bins: Of a column of numbers.
        counts: (windows, size) counts.
    """
    return _deviation(_shares(counts)[0], bins)


def _shares(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of each bin among the values that are there, and how many are."""
    present = counts[:, :-1]
    total = present.sum(axis=1)
    return present / np.maximum(total, 1)[:, None], total


def _null_share(counts: np.ndarray) -> np.ndarray:
    return counts[:, -1] / np.maximum(counts.sum(axis=1), 1)


def _spread(p: np.ndarray, bins: Bins) -> np.ndarray:
    """From the 5% to the 95% quantile, each taken as its bin's centre: a few wild values do not widen it."""
    below = np.cumsum(p, axis=1)
    low, high = ((below < share).sum(axis=1).clip(max=p.shape[1] - 1) for share in (0.05, 0.95))
    centres = np.asarray(bins.centres)
    return np.asarray(centres[high] - centres[low])


def _deviation(p: np.ndarray, bins: Bins) -> np.ndarray:
    """Standard deviation of the values, each taken as its bin's centre; where all are equal, not 0 but little."""
    centres = np.asarray(bins.centres)
    mean = p @ centres
    return np.maximum(np.sqrt(np.maximum(p @ centres**2 - mean**2, 0)), 0.001)


def _wasserstein(p: np.ndarray, q: np.ndarray, bins: Bins) -> np.ndarray:
    """Area between the distribution functions, in standard deviations of the reference."""
    if bins.kind == "category":
        raise ValueError("wasserstein is a distance of numbers")
    apart = np.abs(np.cumsum(p - q, axis=1)[:, :-1]) @ np.diff(np.asarray(bins.centres))
    return np.asarray(apart / _deviation(q, bins))


def _jensenshannon(p: np.ndarray, q: np.ndarray, bins: Bins) -> np.ndarray:
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = (np.where(x > 0, x * np.log(x / middle), 0).sum(axis=1) for x in np.broadcast_arrays(p, q))
    return np.sqrt(np.maximum(left + right, 0) / 2)


def _hellinger(p: np.ndarray, q: np.ndarray, bins: Bins) -> np.ndarray:
    return np.sqrt(1 - np.clip(np.sqrt(p * q).sum(axis=1), 0, 1))


def _psi(p: np.ndarray, q: np.ndarray, bins: Bins) -> np.ndarray:
    """Population stability index; an empty share counts as 0.0001."""
    p, q = np.where(p == 0, _EMPTY_SHARE, p), np.where(q == 0, _EMPTY_SHARE, q)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=1))


_DISTANCES = {"wasserstein": _wasserstein, "jensenshannon": _jensenshannon, "hellinger": _hellinger, "psi": _psi}
