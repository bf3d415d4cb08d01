"""Compares a partition with the champion's own training profile, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from perennial.drift.bins import Bins, count
from perennial.drift.distances import (
    NEW,
    NULLS,
    SCALE,
    SMALLEST,
    VALUES,
    VANISHED,
    column_distances,
    deviation,
    mean_differences,
)
from perennial.drift.limits import Limits, distance_method, limits
from perennial.drift.profile import ColumnProfile, Profile
from perennial.lake import prediction_columns
from perennial.partitions import Partition
from perennial.use_case import UseCase
from perennial.use_case.classes import PREDICTION

#: A category that should have been met this often, in the window where it was rarest, does not vanish by chance.
VANISHES_FROM = 10
#: A scale off by this much (log2) looks like another unit.
UNIT_FROM = 1.5


@dataclass(frozen=True)
class ColumnDrift:
    """Drift of one column of one partition, by the aspect of it that moved most.

    Attributes:
        column: A feature, or `PREDICTION`.
        method: How the distance of the values is measured.
        distance: How far the aspect moved; unit by `why`.
        reference: The baseline: the most that it moved between windows of the training data.
        ratio: distance / reference.
        importance: The column's feature importance, 0 to 1.
        drifted: The ratio is above the policy's.
        why: `values`: the distance by `method`. `nulls`: change of their share. `scale`: log2 of how many times wider
            or narrower the numbers are spread, as after a change of unit. `new`: share of values never seen.
            `vanished`: the share that was the least of a category that is gone.
        explanation: The same in words, to follow the column's name.
        limit: The distance of the values above which the column would have drifted by them.
        cost: By how much the gate's metric is worse because of the column's shift; None: not known.
        detectable: The smallest shift of a number, in standard deviations of training, that would have been found in
            nine of ten partitions of this size and season, whichever way it went. None: of a category, of another
            distance than Wasserstein's, or where nothing is known of windows.
        of_class: Whether it is the predicted probability of a class.
    """

    column: str
    method: str
    distance: float
    reference: float
    ratio: float
    importance: float
    drifted: bool
    why: str = VALUES
    explanation: str = ""
    limit: float = float("nan")
    cost: float | None = None
    detectable: float | None = None
    of_class: bool = False

    @property
    def is_prediction(self) -> bool:
        """Whether it is no input, but what the version predicted."""
        return self.of_class or self.column == PREDICTION

    @property
    def is_broken(self) -> bool:
        """Whether it drifted as data do that were made wrongly, not as the world does."""
        return self.drifted and self.why != VALUES and (self.why != SCALE or self.distance > UNIT_FROM)

    def as_json(self) -> dict[str, Any]:
        """Its fields under the names of the lake's columns."""
        row = asdict(self)
        del row["of_class"]
        row["told"] = row.pop("explanation")
        return row


@dataclass(frozen=True)
class ColumnCounts:
    """The rows of a partition, counted as the champion's profile is.

    Attributes:
        rows: How many there are; all of them are counted.
        columns: Column -> (size,) counts.
    """

    rows: int
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, profile: Profile, batches: Iterable[pa.RecordBatch | pa.Table]) -> ColumnCounts:
        """Count in one pass.

        Args:
            profile: Its columns are counted in its bins.
            batches: The rows. A column that they lack is counted as nulls.
        """
        rows = 0

        def counted() -> Iterable[pa.RecordBatch | pa.Table]:
            nonlocal rows
            for batch in batches:
                rows += batch.num_rows
                yield batch

        bins = {name: column.bins for name, column in profile.columns.items()}
        counts = count(bins, counted())
        for name in bins.keys() - counts.keys():
            counts[name] = np.zeros(bins[name].size, dtype=int)
            counts[name][-1] = rows
        return cls(rows, counts)


def compare(
    use_case: UseCase, profile: Profile, partition: Partition, counted: ColumnCounts, normal: Limits | None = None
) -> list[ColumnDrift]:
    """Compare a partition with the champion's profile, and with the same season in it.

    A column within its baseline for the season has not drifted, however far that is from the whole year.

    Args:
        use_case: Its drift policy applies.
        profile: The champion's.
        partition: Its season is the one compared with.
        counted: The partition's rows.
        normal: The limits for a partition of this size; None: computed here.

    Returns:
        Every column of the profile that the policy does not ignore; without the probabilities of classes that are not
        declared any more, which no prediction has.
    """
    normal = normal or limits(use_case, profile, counted.rows)
    seasonal = profile.blocks.season(partition)
    return [
        _column(use_case, name, column, counted.columns[name], normal, seasonal, profile.importance.get(name, 0.0))
        for name, column in profile.columns.items()
        if not (name in use_case.drift.columns and use_case.drift.columns[name].ignore)
        and not prediction_columns.is_of_removed_class(use_case, name)
    ]


def score(columns: list[ColumnDrift]) -> float:
    """The drift score: the drifted columns' share of the feature importance, 0 to 1."""
    return float(sum(column.importance for column in columns if column.drifted))


def _column(
    use_case: UseCase,
    name: str,
    column: ColumnProfile,
    now: np.ndarray,
    normal: Limits,
    seasonal: np.ndarray,
    importance: float,
) -> ColumnDrift:
    policy = use_case.drift
    method = distance_method(policy, name, column.bins)
    allowed = policy.ratio_of(name)
    most = normal.most[name]
    moves = {
        aspect: (distance, most[aspect])
        for aspect, distance in _distances(column, method, now, seasonal, policy.min_rows).items()
    }
    gone = _vanished(column.bins, now, normal.least[name]) if name in normal.least else None
    if gone is not None:
        moves[VANISHED] = gone[1:]
    ratios = {aspect: distance / reference for aspect, (distance, reference) in moves.items()}
    why = max(ratios, key=lambda aspect: ratios[aspect])
    distance, reference = moves[why]
    return ColumnDrift(
        column=name,
        method=method,
        distance=distance,
        reference=reference,
        ratio=ratios[why],
        importance=importance,
        drifted=ratios[why] > allowed,
        why=why,
        explanation=_explanation(column, now, why, distance, reference, method, gone[0] if gone else ""),
        limit=most[VALUES] * allowed,
        of_class=name in prediction_columns.probabilities(use_case),
        detectable=_detectable(
            column, most[VALUES] * allowed, normal.mean_deviation.get(name), seasonal, policy.min_rows
        ),
    )


def _detectable(
    column: ColumnProfile, limit: float, mean_deviation: float | None, seasonal: np.ndarray, min_rows: int
) -> float | None:
    """A shift that exceeds the limit even where the window's own mean, or its season, lies on the other side.

    The Wasserstein distance is never less than the difference of means. A window may already be off by its
    `mean_deviation`, and a season by the distance of its mean from the year's: a shift back to that looks usual. What
    is near a season that varies more than the year is compared with that, in its larger standard deviations.
    """
    if mean_deviation is None:
        return None
    season = _of_season(column, seasonal, min_rows)
    if season is None:
        return limit + mean_deviation
    its, all_year = season[None, :], _total(column)[None, :]
    apart = np.nan_to_num(mean_differences(column.bins, its, all_year)[0])
    wider = max(1.0, deviation(column.bins, its)[0] / deviation(column.bins, all_year)[0])
    return float((limit + mean_deviation) * wider + abs(apart))


def _distances(
    column: ColumnProfile, method: str, now: np.ndarray, seasonal: np.ndarray, min_rows: int
) -> dict[str, float]:
    """By aspect, the distance from the whole profile or from its season, whichever is nearer."""
    season = _of_season(column, seasonal, min_rows)
    references = [_total(column)] if season is None else [_total(column), season]
    distances = [column_distances(column.bins, method, now[None, :], reference[None, :]) for reference in references]
    # An aspect that cannot be measured (a column without values) did not move; its nulls did.
    return {aspect: float(np.nan_to_num(min(one[aspect][0] for one in distances))) for aspect in distances[0]}


def _total(column: ColumnProfile) -> np.ndarray:
    return np.asarray(column.counts.sum(axis=0))


def _of_season(column: ColumnProfile, seasonal: np.ndarray, min_rows: int) -> np.ndarray | None:
    """The counts of the blocks of the partition's season; None: too few rows."""
    counts = column.counts[seasonal].sum(axis=0) if seasonal.any() else None
    return counts if counts is not None and counts.sum() >= min_rows else None


def _vanished(bins: Bins, now: np.ndarray, least: np.ndarray) -> tuple[str, float, float] | None:
    """The most frequent category that is gone, the smallest share it ever had, and the share that chance can hide."""
    seen = int(now[:-1].sum())
    missing = np.where(now[: len(least)] == 0, least, 0.0)
    if not seen or not len(missing) or missing.max() < SMALLEST[NEW]:
        return None
    most = int(missing.argmax())
    return str(bins.values[most]), float(missing[most]), VANISHES_FROM / seen


def _explanation(
    column: ColumnProfile, now: np.ndarray, why: str, distance: float, reference: float, method: str, gone: str
) -> str:
    """In words, after "column x:"."""
    if why == NULLS:
        before, after = (float(c[-1] / max(c.sum(), 1)) for c in (_total(column), now))
        return f"{after:.1%} nulls, {before:.1%} in training"
    if why == SCALE:
        unit = "; did its unit change?" if distance > UNIT_FROM else ""
        return f"spread {2**distance:.1f} times wider or narrower than in training{unit}"
    if why == NEW:
        return f"{distance:.1%} of the values were never seen in training"
    if why == VANISHED:
        return f"value {gone!r}, in training never below {distance:.1%}, is gone"
    return f"{method} {distance:.2f}, {distance / reference:.1f} times its baseline"
