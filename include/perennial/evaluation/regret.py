"""Regret: the production performance beside that of models which served nobody, on the same partitions.

What the champions reached is what was really served. The first model is measured by the monitor on the same rows;
retraining at every partition, and the baseline model, are measured by `perennial backtest`, which replays them.

Light to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.use_case import UseCase
from perennial.use_case.metric_names import gain

#: Roles of rows of the lake's table `metrics`; the names are stored, so they never change.
CHAMPION = "champion"
#: The use case's first model, never retrained: measured on the same rows as the champion.
FIRST_MODEL = "first"
#: Reference policies in the lake's table `backtests`, likewise.
ALWAYS, BASELINE = "always", "baseline"


@dataclass(frozen=True)
class Regret:
    """Means of the gate's metric over the same partitions.

    Attributes:
        metric: Its name.
        partitions: How many partitions the means are of.
        measured: How many have a production performance; more than `partitions` where a backtest covers only some.
        first, last: The first and the last of the partitions.
        champion: Of what served.
        first_model: Of the first model, never retrained; None: not measured on them.
        always: Of the recipe refitted at every partition; None: not measured.
        baseline: Of the baseline model; None: not measured.
        at: When the backtest recorded the oldest of its values; processing time, UTC; None: there is none.
        gained: By how much the champion is better than the first model; below 0: worse.
        left: By how much it is worse than the recipe refitted at every partition; below 0: better.
    """

    metric: str
    partitions: int
    measured: int
    first: str
    last: str
    champion: float
    first_model: float | None = None
    always: float | None = None
    baseline: float | None = None
    at: datetime | None = None
    gained: float | None = None
    left: float | None = None

    @property
    def references(self) -> list[tuple[str, float | None, float | None]]:
        """Each reference for people, its mean, and by how much the champion is better than it; None: not measured."""
        left = self.left
        over = None if self.baseline is None else gain(self.metric, self.champion, self.baseline)
        return [
            ("never retrained", self.first_model, self.gained),
            ("retrained at every partition", self.always, None if left is None else -left),
            ("baseline model", self.baseline, over),
        ]

    def __str__(self) -> str:
        values = [f"champion {self.champion:.4f}"]
        for name, value, better in self.references:
            if value is not None and better is not None:
                values.append(f"{name} {value:.4f} (champion {better:+.4f})")
        dated = f"; backtest of {self.at:%Y-%m-%d}" if self.at else ""
        return f"mean {self.metric} of {self.span}: {', '.join(values)}{dated}"

    @property
    def span(self) -> str:
        """The partitions, for people."""
        some = f"{self.partitions} of {self.measured}" if self.partitions < self.measured else f"{self.partitions}"
        plural = "s" if self.measured != 1 else ""
        return f"{some} partition{plural}, {self.first}" + (f" to {self.last}" if self.last != self.first else "")


def of(
    use_case: UseCase,
    live: Mapping[str, tuple[float | None, float | None]],
    backtests: Iterable[Mapping[str, Any]],
) -> Regret | None:
    """The regret of a use case, or of a part of its partitions.

    Args:
        use_case: Whose gate's metric it is.
        live: Partition -> the gate's metric of what served, and of the first model on the same rows.
        backtests: Rows of the table `backtests`.

    Returns:
        None where nothing that served was measured.
    """
    metric = use_case.gate.metric
    champion = {key: value for key, (value, _) in live.items() if value is not None}
    if not champion:
        return None
    replayed = newest(row for row in backtests if row["metric"] == metric)
    keys = sorted(champion)
    both = [key for key in keys if (key, ALWAYS) in replayed and (key, BASELINE) in replayed]
    compared = both or keys
    first = [live[key][1] for key in compared]
    ours = _mean([champion[key] for key in compared])
    first_model = _mean([value for value in first if value is not None]) if None not in first else None
    always, baseline = (
        _mean([replayed[key, name]["value"] for key in both]) if both else None for name in (ALWAYS, BASELINE)
    )
    return Regret(
        metric=metric,
        partitions=len(compared),
        measured=len(champion),
        first=compared[0],
        last=compared[-1],
        champion=ours,
        first_model=first_model,
        always=always,
        baseline=baseline,
        at=min((replayed[key, ALWAYS]["recorded_at"] for key in both), default=None),
        gained=None if first_model is None else gain(metric, ours, first_model),
        left=None if always is None else gain(metric, always, ours),
    )


def live(
    metrics: Iterable[Mapping[str, Any]], metric: str, version: int | None = None
) -> dict[str, tuple[float | None, float | None]]:
    """Partition -> the newest value of what served, and of the first model, measured together with it.

    Args:
        metrics: Rows of the table `metrics`.
        metric: The gate's metric.
        version: Only partitions that this version scored; None: all.
    """
    rows = sorted((row for row in metrics if row["metric"] == metric), key=lambda row: row["recorded_at"])
    served = {row["partition"]: row for row in rows if row["role"] == CHAMPION}
    first = {(row["partition"], row["recorded_at"]): row["value"] for row in rows if row["role"] == FIRST_MODEL}
    return {
        key: (row["value"], first.get((key, row["recorded_at"])))
        for key, row in served.items()
        if version in (None, row["model_version"])
    }


def newest(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(partition, policy) -> its newest row.

    Args:
        rows: Of the table `backtests`.
    """
    return {(row["partition"], row["policy"]): row for row in sorted(rows, key=lambda row: row["recorded_at"])}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
