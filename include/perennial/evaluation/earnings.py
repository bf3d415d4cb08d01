"""Money by month: what the champions' decisions were worth, beside the first model's and the baseline model's.

All three are measured by the monitor on the same labelled predictions. Light to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.evaluation.regret import BASELINE, CHAMPION, FIRST_MODEL
from perennial.use_case import UseCase
from perennial.use_case.metric_names import VALUE
from perennial.use_case.value import written


@dataclass(frozen=True)
class Month:
    """The partitions that begin in one calendar month, UTC.

    Attributes:
        month: Such as `2024-01`.
        partitions: How many of its partitions were measured.
        rows: Predictions whose label is known: what the money is of.
        champion: Money of what served.
        over_baseline, over_first: By how much that is more than what the baseline model's decisions, and the first
            model's, were worth on the same rows; None: not measured on all of them.
    """

    month: str
    partitions: int
    rows: int
    champion: float
    over_baseline: float | None
    over_first: float | None


@dataclass(frozen=True)
class Earnings:
    """Money of a use case, or of a part of its partitions.

    Attributes:
        months: Oldest first; at least one.
        total: Of all of them.
        over_baseline, over_first: Sums over the months in which they are known, see `where`; None: in none.
        currency: Shown behind amounts.
    """

    months: tuple[Month, ...]
    total: float
    over_baseline: float | None
    over_first: float | None
    currency: str

    def written(self, amount: float, *, signed: bool = False) -> str:
        """An amount for people.

        Args:
            amount: One of these.
            signed: Whether a plus is shown, as of a difference.
        """
        return written(amount, self.currency, signed=signed)

    def in_words(self, part: Earnings | Month) -> str:
        """The amounts of a month, or of all."""
        money, where = (part.total, part.where) if isinstance(part, Earnings) else (part.champion, lambda _: "")
        over = {"over_baseline": "the baseline model", "over_first": "the first model, never retrained"}
        more = [
            f"{self.written(amount, signed=True)} over {name}{where(field)}"
            for field, name in over.items()
            if (amount := getattr(part, field)) is not None
        ]
        return ", ".join([self.written(money), *more])

    def where(self, field: str) -> str:
        """In which months a difference is known, for people; empty: in all of them.

        Args:
            field: `over_baseline` or `over_first`.
        """
        known = [each for each in self.months if getattr(each, field) is not None]
        if len(known) == len(self.months):
            return ""
        return f" (in {len(known)} of {len(self.months)} months: {_span(known)})"

    @property
    def span(self) -> str:
        """The months, for people."""
        return _span(self.months)


def of(use_case: UseCase, metrics: Iterable[Mapping[str, Any]], version: int | None = None) -> Earnings | None:
    """What decisions were worth, by month.

    Args:
        use_case: Its `value` says so.
        metrics: Rows of the table `metrics`.
        version: Only partitions that this version scored; None: all.

    Returns:
        None where no value is declared, or none was measured.
    """
    if use_case.value is None:
        return None
    newest: dict[str, Mapping[str, Any]] = {}
    beside: dict[tuple[str, str, Any], float] = {}
    for row in sorted((row for row in metrics if row["metric"] == VALUE), key=lambda row: row["recorded_at"]):
        if row["role"] == CHAMPION:
            newest[row["partition"]] = row
        beside[row["role"], row["partition"], row["recorded_at"]] = row["value"]
    by_month: dict[str, list[Month]] = {}
    for key, row in sorted(newest.items()):
        if version in (None, row["model_version"]):
            month = f"{use_case.cadence.partition(key).start:%Y-%m}"
            # Measured together with the champion: an earlier measurement was on other labels.
            references = (beside.get((role, key, row["recorded_at"])) for role in (BASELINE, FIRST_MODEL))
            by_month.setdefault(month, []).append(_of_partition(month, row, *references))
    if not by_month:
        return None
    months = tuple(
        Month(
            month,
            len(parts),
            sum(each.rows for each in parts),
            sum(each.champion for each in parts),
            _sum_of_all([each.over_baseline for each in parts]),
            _sum_of_all([each.over_first for each in parts]),
        )
        for month, parts in by_month.items()
    )
    return Earnings(
        months,
        sum(each.champion for each in months),
        _sum_of_all([each.over_baseline for each in months if each.over_baseline is not None] or [None]),
        _sum_of_all([each.over_first for each in months if each.over_first is not None] or [None]),
        use_case.value.currency,
    )


def _span(months: Sequence[Month]) -> str:
    first, last = months[0].month, months[-1].month
    return first if first == last else f"{first} to {last}"


def _of_partition(month: str, row: Mapping[str, Any], baseline: float | None, first: float | None) -> Month:
    rows, value = row["labelled"], row["value"]
    over = (None if each is None else (value - each) * rows for each in (baseline, first))
    return Month(month, 1, rows, value * rows, *over)


def _sum_of_all(values: list[float | None]) -> float | None:
    """The sum; None if one of them is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
