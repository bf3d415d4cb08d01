"""The drift of every feature in every partition as a heat map, with an explanation of each cell."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from perennial.use_case import DriftPolicy, UseCase
from perennial.use_case.classes import is_prediction

#: The newest so many partitions are columns.
PARTITIONS = 48
#: So many features are rows at once, and so many more when they are unfolded: by importance.
FEATURES, FOLDED = 30, 90
#: From which part of the limit on a cell is one step darker; from 1 on it has drifted.
STEPS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Cell:
    """How far a column of a partition was from the training profile of the version that scored it.

    Attributes:
        ratio: Its distance as a multiple of its baseline, the largest distance within the training data.
        limit: The ratio above which the column has drifted.
        step: 0 to 9, how dark it is.
        explanation: The type of drift and its size, in words.
    """

    ratio: float
    limit: float
    drifted: bool
    step: int
    explanation: str
    version: int

    @property
    def written(self) -> str:
        """The ratio as a multiple of the limit, short enough for a cell."""
        fraction = self.ratio / self.limit
        return f"{fraction:.1f}" if fraction < 9.95 else f"{fraction:.0f}" if fraction < 999.5 else ">999"


@dataclass(frozen=True)
class FeatureRow:
    """One column of the model's input, or of its predictions; a cell a partition, None where it was not monitored.

    Attributes:
        importance: Of the feature, in the newest version that uses it; predictions have none.
        is_prediction: It is of the predictions, which come first.
    """

    column: str
    importance: float
    cells: tuple[Cell | None, ...]
    is_prediction: bool

    @property
    def drifted(self) -> int:
        """In how many of the partitions it drifted."""
        return sum(cell.drifted for cell in self.cells if cell)


@dataclass(frozen=True)
class HeatMap:
    """Rows by feature importance, the most important first, after the predictions.

    Attributes:
        partitions: Names of the columns, oldest first.
        versions: Which one scored each of them.
        left_out: How many earlier ones were monitored too.
        rows: Those to show.
        folded: Less important ones.
        omitted: How many even less important ones there are.
    """

    partitions: tuple[str, ...]
    versions: tuple[int, ...]
    left_out: int
    rows: tuple[FeatureRow, ...]
    folded: tuple[FeatureRow, ...]
    omitted: int


def heat_map(use_case: UseCase, drift: Iterable[Mapping[str, Any]], partitions: Sequence[str]) -> HeatMap:
    """The drift of the newest partitions that were monitored.

    Args:
        use_case: Its drift policy has the limits.
        drift: Rows of that table; of a column that was measured again, the newest row counts.
        partitions: The names of those that may be shown, oldest first.
    """
    keys = set(partitions)
    recorded = sorted((row for row in drift if row["partition"] in keys), key=itemgetter("recorded_at"))
    last = {(row["column"], row["partition"]): row for row in recorded}
    monitored = {partition for _, partition in last}
    shown = tuple(name for name in partitions if name in monitored)[-PARTITIONS:]
    versions = {row["partition"]: row["model_version"] for row in last.values()}
    rows = [_row(use_case, column, last, shown) for column in {column for column, _ in last}]
    rows = [row for row in rows if any(row.cells)]
    rows.sort(key=lambda row: (not row.is_prediction, -row.importance, row.column))
    return HeatMap(
        partitions=shown,
        versions=tuple(versions[partition] for partition in shown),
        left_out=len(monitored) - len(shown),
        rows=tuple(rows[:FEATURES]),
        folded=tuple(rows[FEATURES : FEATURES + FOLDED]),
        omitted=max(len(rows) - FEATURES - FOLDED, 0),
    )


def _row(
    use_case: UseCase, column: str, last: Mapping[tuple[str, str], Mapping[str, Any]], shown: Sequence[str]
) -> FeatureRow:
    newest = [last.get((column, partition)) for partition in shown]
    importances = [row["importance"] for row in newest if row]
    return FeatureRow(
        column,
        importances[-1] if importances else 0.0,
        tuple(_cell(use_case.drift, row) if row else None for row in newest),
        is_prediction(use_case, column),
    )


def _cell(policy: DriftPolicy, row: Mapping[str, Any]) -> Cell:
    limit = policy.ratio_of(row["column"])
    return Cell(
        ratio=row["ratio"],
        limit=limit,
        drifted=row["drifted"],
        step=bisect_right(STEPS, row["ratio"] / limit),
        explanation=row["told"] or "",
        version=row["model_version"],
    )
