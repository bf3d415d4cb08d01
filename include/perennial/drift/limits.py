"""The baselines of drift: how far windows of the training data are from the rest, at a partition's size.

There are two kinds of windows. Runs of consecutive blocks: the farthest of them is the baseline, and the policy's
`ratio` leaves room for seasons and weather beyond it. Random choices of blocks: their distances bound the effect of
chance, over all columns at once (Bonferroni), so that many columns do not make many false alarms. Chance needs less
room (`TAIL`): where its bound is the larger one, the baseline is raised only until the policy's `ratio` times it leaves
that much.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import gamma

from perennial.drift.bins import Bins
from perennial.drift.distances import (
    NEW,
    NULLS,
    SCALE,
    SMALLEST,
    VALUES,
    column_distances,
    default_method,
    mean_differences,
)
from perennial.drift.profile import ColumnProfile, Profile
from perennial.use_case import DriftPolicy, UseCase

#: Baselines where a profile has no times, or no window of it has enough values.
UNKNOWN = {VALUES: 0.1, NULLS: 0.05, SCALE: 1.0, NEW: 0.05}
#: The factor by which a distance may exceed the bound of chance: that is of windows drawn from the days of training,
#: and later windows also hold days like none of them.
TAIL = 1.2
#: A shift counts as one that can be found if so many windows would show it.
FOUND = 0.9
#: Windows this many times as large as the partition are thinned to its size.
THINNED_FROM = 1.25


@dataclass(frozen=True)
class Limits:
    """The baselines of each column.

    Attributes:
        most: Column -> aspect -> the most that it moved between windows of the training data; more where the policy's
            ratio would not reach the bound of chance.
        least: Column of categories -> (values,) the smallest share that each had in any window.
        mean_deviation: Number whose distance is Wasserstein's -> how far the mean of a window is from that of the rest
            in a given direction, in nine windows of ten at most; in standard deviations.
    """

    most: dict[str, dict[str, float]]
    least: dict[str, np.ndarray]
    mean_deviation: dict[str, float] = field(default_factory=dict)


def distance_method(policy: DriftPolicy, name: str, bins: Bins) -> str:
    """The distance by which a column's drift is measured: the policy's, else by its type.

    Args:
        policy: The use case's.
        name: The column.
        bins: Its bins; a distance that does not fit their kind is not used.
    """
    declared = policy.columns.get(name)
    fits = declared is not None and (bins.kind == "number" or declared.method != "wasserstein")
    return (declared.method if declared is not None and fits else None) or default_method(bins)


def limits(use_case: UseCase, profile: Profile, rows: int) -> Limits:
    """The limits for a partition of a given size: a small one is farther from the profile by chance alone.

    Args:
        use_case: Its cadence and drift policy apply.
        profile: The champion's.
        rows: Of the partition.
    """
    policy, blocks = use_case.drift, profile.blocks
    runs = blocks.runs(use_case.cadence)
    choices = blocks.choices(runs).astype(float)
    most: dict[str, dict[str, float]] = {}
    least: dict[str, np.ndarray] = {}
    mean_deviation: dict[str, float] = {}
    by_chance: dict[tuple[str, str], np.ndarray] = {}
    for name, column in profile.columns.items():
        method = distance_method(policy, name, column.bins)
        windows = _window_counts(column, runs)
        if column.bins.kind == "category":
            least[name] = _smallest_shares(column, windows)
        most[name] = _largest_distances(column, method, windows, rows)
        if len(choices):
            # In floats, which hold these counts exactly and which BLAS multiplies.
            random_windows = (choices @ column.counts.astype(float)).astype(int)
            for aspect, distances in _distances_from_rest(column, method, random_windows, rows).items():
                by_chance[name, aspect] = np.nan_to_num(distances)
            if method == "wasserstein":
                mean_deviation[name] = max(_mean_deviation(column, each, rows) for each in (windows, random_windows))
    for (name, aspect), bound in _bounds(by_chance, policy.false_alarms).items():
        # By the policy's own ratio: a column's other one stays a factor of what the policy would allow.
        most[name][aspect] = max(most[name][aspect], bound * min(TAIL / policy.ratio, 1))
    return Limits(most, least, mean_deviation)


def _window_counts(column: ColumnProfile, runs: np.ndarray) -> np.ndarray:
    """(windows, size) counts of the runs that hold at least half as many rows as usual."""
    if not len(runs):
        return np.empty((0, column.bins.size), dtype=int)
    summed = np.concatenate([np.zeros((1, column.bins.size), dtype=int), np.cumsum(column.counts, axis=0)])
    counts = summed[runs[:, 1]] - summed[runs[:, 0]]
    rows = counts.sum(axis=1)
    return counts[rows >= np.median(rows) / 2]


def _largest_distances(column: ColumnProfile, method: str, windows: np.ndarray, rows: int) -> dict[str, float]:
    """The largest distance of a run from all other rows, of each aspect."""
    if not len(windows):
        stored = {VALUES: column.reference} if column.reference is not None else {}
        return UNKNOWN | {aspect: max(value, SMALLEST[aspect]) for aspect, value in stored.items()}
    distances = _distances_from_rest(column, method, windows, rows)
    if column.holdout_counts is not None:
        in_training = column.counts.sum(axis=0)[None, :]
        on_holdout = column_distances(column.bins, method, column.holdout_counts[None, :], in_training)
        distances = {aspect: np.concatenate([distances[aspect], on_holdout[aspect]]) for aspect in distances}
    return SMALLEST | {aspect: _largest(aspect, values) for aspect, values in distances.items()}


def _largest(aspect: str, distances: np.ndarray) -> float:
    measured = distances[~np.isnan(distances)]
    return max(SMALLEST[aspect], float(measured.max())) if len(measured) else UNKNOWN[aspect]


def _distances_from_rest(column: ColumnProfile, method: str, windows: np.ndarray, rows: int) -> dict[str, np.ndarray]:
    """The distance of each window from all training rows outside it."""
    others = column.counts.sum(axis=0) - windows
    return column_distances(column.bins, method, _thinned(windows, rows), others)


def _mean_deviation(column: ColumnProfile, windows: np.ndarray, rows: int) -> float:
    """How far the mean of a window is from that of the rest in a given direction, in nine of ten at most."""
    others = column.counts.sum(axis=0) - windows
    off = mean_differences(column.bins, _thinned(windows, rows), others)
    off = off[~np.isnan(off)]
    return float(np.quantile([*off, *-off], FOUND)) if len(off) else 0.0


def _thinned(windows: np.ndarray, rows: int) -> np.ndarray:
    """Windows of at most `rows` rows, drawn from the larger ones."""
    total = windows.sum(axis=1)
    large = total > THINNED_FROM * rows
    if not large.any():
        return windows
    thinned = windows.copy()
    random = np.random.default_rng(rows)
    thinned[large] = random.multinomial(rows, windows[large] / total[large, None])
    return thinned


def _bounds(by_chance: dict[tuple[str, str], np.ndarray], false_alarms: float) -> dict[tuple[str, str], float]:
    """For each (column, aspect) what a random window stays below, in all of them at once but for `false_alarms`.

    Bonferroni's share of `false_alarms` is far in the tail, where few random windows are: a gamma distribution with
    their mean and variance extrapolates to it.
    """
    share = false_alarms / max(len(by_chance), 1)
    bounds = {}
    for key, distances in by_chance.items():
        mean, variance = float(distances.mean()), float(distances.var())
        tail = gamma.isf(share, mean**2 / variance, scale=variance / mean) if variance > 0 else mean
        bounds[key] = max(float(tail), float(distances.max()))
    return bounds


def _smallest_shares(column: ColumnProfile, windows: np.ndarray) -> np.ndarray:
    windows = windows if len(windows) else column.counts.sum(axis=0)[None, :]
    named = windows[:, : len(column.bins.values)]
    return np.asarray((named / np.maximum(windows[:, :-1].sum(axis=1), 1)[:, None]).min(axis=0))
