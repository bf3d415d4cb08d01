"""The margins of prediction intervals that the gate recorded, by version and by what was known before a partition.

A version's margin is chosen on its holdout and recorded with the gate's decision on it. Each later challenger is
compared with the champion on newer data, and that decision records what margin the champion needs there: from then on
that is its margin. So intervals follow the data also where no newer model is better, and each is still a recorded
number.

Which decision counts for a partition is a question of event time, as for what is expected of a version
(`perennial.monitoring.expectation`): its data must end before the partition begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perennial.registry import ledger, rollouts
from perennial.registry.ledger import Entry
from perennial.use_case import UseCase

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from perennial.registry.model_loading import Predictor

#: What the ledger's evidence of a decision calls what it measured of the intervals of the challenger, of the champion.
OF_CHALLENGER, OF_CHAMPION = "prediction_interval", "champion_prediction_interval"


@dataclass(frozen=True)
class RecordedMargin:
    """The margin of a version's prediction intervals.

    Attributes:
        margin: Around each prediction, or beyond the model's own quantiles; in the unit of the label.
        coverage: The coverage that it was chosen for, whatever is declared by now.
        rows: How many rows of a holdout it was chosen from.
        decision: The version whose decision recorded it.
        by: The column whose values have margins of their own; None: none does.
        margins: These, by the name of a value: see `intervals.groups`.
    """

    margin: float
    coverage: float
    rows: int
    decision: int
    by: str | None = None
    margins: Mapping[str, float] = field(default_factory=dict)

    def of_rows(self, values: Iterable[Any]) -> np.ndarray:
        """(n,) the margin of each row.

        Args:
            values: n values of the column `by`.
        """
        from perennial.evaluation import intervals

        return intervals.by_row(intervals.groups(values), self.margins, self.margin)


def recorded(
    use_case: UseCase, entries: Iterable[Entry], version: int | None, partition: str | None = None
) -> RecordedMargin | None:
    """The margin by which a version's predictions get their intervals.

    Args:
        use_case: Its `interval`.
        entries: Of the ledger, oldest first.
        version: The version in the registry.
        partition: The partition that is predicted: decisions on its own or later data do not count. None: all do, as in
            an answer given now.

    Returns:
        None where no interval is declared, or the gate evaluated the version before one was.
    """
    if use_case.interval is None or version is None:
        return None
    own: tuple[str, RecordedMargin] | None = None
    later: list[tuple[str, RecordedMargin]] = []
    for entry in entries:
        evidence = entry.evidence.get(rollouts.DECISION, entry.evidence)
        is_own = version in (entry.model_version, evidence.get(ledger.EVALUATED))
        kept = _of(evidence, OF_CHALLENGER, entry.model_version) if is_own else None
        if kept is not None and own is None:
            own = (entry.partition, kept)
        # Names of partitions sort as their times do.
        is_known = partition is None or entry.partition < partition
        renewed = _of(evidence, OF_CHAMPION, entry.model_version) if evidence.get("champion") == version else None
        if renewed is not None and is_known and entry.action in ledger.DECISIONS:
            later.append((entry.partition, renewed))
    newer = [each for each in later if own is None or each[0] > own[0]]
    if newer:
        return max(reversed(newer), key=lambda each: each[0])[1]
    return own[1] if own is not None else None


def bounds_of(
    use_case: UseCase, predict: Predictor, known: RecordedMargin | None, rows: pd.DataFrame, prediction: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The intervals of predictions.

    Args:
        use_case: Its `interval`.
        predict: The version.
        known: Its margin.
        rows: (n,) rows with the model's inputs.
        prediction: (n,) its predictions of them.

    Returns:
        (n,) lower and (n,) upper bounds; None where there is no margin.
    """
    if use_case.interval is None or known is None:
        return None
    from perennial.evaluation import intervals

    margin = known.of_rows(rows[known.by]) if known.by is not None and known.by in rows else known.margin
    return intervals.bounds(prediction, predict.quantiles(rows), margin)


def _of(evidence: Mapping[str, Any], key: str, decision: int) -> RecordedMargin | None:
    kept = evidence.get(key) or {}
    if kept.get("margin") is None:
        return None
    by, margins = kept.get("by"), kept.get("margins") or {}
    return RecordedMargin(float(kept["margin"]), float(kept["coverage"]), int(kept["rows"]), decision, by, margins)
