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
from datetime import datetime
from typing import TYPE_CHECKING, Any

from perennial.registry import ledger, rollouts
from perennial.registry.ledger import Entry
from perennial.use_case import UseCase
from perennial.use_case.interval import LOWER, UPPER

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

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
        recorded_at: When, processing time.
        by: The column whose values have margins of their own; None: none does.
        margins: These, by the name of a value: see `intervals.groups`.
        width: Mean width of the intervals on the holdout, each block by the margin of the others; None: not recorded.
        blocks: Blocks of time of the holdout that the share of covered labels was measured on; None: not recorded.
        block_deviation: Standard deviation of that share between them; None: not recorded.
    """

    margin: float
    coverage: float
    rows: int
    decision: int
    recorded_at: datetime | None = None
    by: str | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    width: float | None = None
    blocks: int | None = None
    block_deviation: float | None = None

    def of_rows(self, values: Iterable[Any]) -> np.ndarray:
        """(n,) the margin of each row.

        Args:
            values: n values of the column `by`.
        """
        from perennial.evaluation import intervals

        return intervals.by_row(intervals.groups(values), self.margins, self.margin)

    def of_frame(self, rows: pd.DataFrame) -> np.ndarray | float:
        """The margin of all rows, or (n,) that of each where the values of a column have their own.

        Args:
            rows: (n,) rows; without the column `by`, all have that of other values.
        """
        return self.of_rows(rows[self.by]) if self.by is not None and self.by in rows else self.margin


def recorded(
    use_case: UseCase,
    entries: Iterable[Entry],
    version: int | None,
    partition: str | None = None,
    at: datetime | None = None,
) -> RecordedMargin | None:
    """The margin by which a version's predictions get their intervals.

    A rollout counts from its first entry on: the challenger serves with its margin, and the champion's is renewed.

    Args:
        use_case: Its `interval`.
        entries: Of the ledger, oldest first.
        version: The version in the registry.
        partition: The partition that is predicted: decisions on its own or later data do not count. None: all do, as in
            an answer given now.
        at: Processing time: only what was recorded by then counts. None: all of it.

    Returns:
        None where no interval is declared, or the gate evaluated the version before one was.
    """
    if use_case.interval is None or version is None:
        return None
    own: tuple[str, RecordedMargin] | None = None
    later: list[tuple[str, RecordedMargin]] = []
    for entry in entries:
        if at is not None and entry.recorded_at > at:
            continue
        evidence = entry.evidence.get(rollouts.DECISION, entry.evidence)
        is_own = version in (entry.model_version, evidence.get(ledger.EVALUATED))
        kept = _of(evidence, OF_CHALLENGER, entry) if is_own else None
        if kept is not None and own is None:
            own = (entry.partition, kept)
        # Names of partitions sort as their times do.
        is_known = partition is None or entry.partition < partition
        renewed = _of(evidence, OF_CHAMPION, entry) if evidence.get("champion") == version else None
        # The stages of a rollout, and the decision that ends it, repeat what its first entry recorded.
        is_new = renewed is not None and all(each.decision != renewed.decision for _, each in later)
        if renewed is not None and is_new and is_known and entry.action in ledger.HANDLING:
            later.append((entry.partition, renewed))
    # Also on the same newest partition: a version is the champion only after the decision on itself.
    newer = [each for each in later if own is None or each[0] >= own[0]]
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
        (n,) lower and (n,) upper bounds, both NaN where a quantile is not finite; None where there is no margin.
    """
    if use_case.interval is None or known is None:
        return None
    import numpy as np

    from perennial.evaluation import intervals

    lower, upper = intervals.bounds(prediction, predict.quantiles(rows), known.of_frame(rows))
    is_finite = np.isfinite(lower) & np.isfinite(upper)
    return np.where(is_finite, lower, np.nan), np.where(is_finite, upper, np.nan)


def columns_of(
    use_case: UseCase, version: int, partition: str, predict: Predictor, rows: pd.DataFrame, prediction: np.ndarray
) -> dict[str, pa.Array] | None:
    """The intervals of predictions as the columns `lower` and `upper`; null where a quantile is not finite.

    Args:
        use_case: Its `interval`.
        version: Who predicts.
        partition: The partition that is predicted, as for `recorded`.
        predict: The version.
        rows: As for `bounds_of`.
        prediction: Likewise.

    Returns:
        None where there is no margin.
    """
    if use_case.interval is None:
        return None
    import pyarrow as pa

    known = recorded(use_case, ledger.entries(use_case), version, partition)
    both = bounds_of(use_case, predict, known, rows, prediction)
    if both is None:
        return None
    named = zip((LOWER, UPPER), both, strict=True)
    return {name: pa.array(each, pa.float64(), from_pandas=True) for name, each in named}


def _of(evidence: Mapping[str, Any], key: str, entry: Entry) -> RecordedMargin | None:
    kept = evidence.get(key) or {}
    if kept.get("margin") is None:
        return None
    return RecordedMargin(
        margin=float(kept["margin"]),
        coverage=float(kept["coverage"]),
        rows=int(kept["rows"]),
        decision=entry.model_version,
        recorded_at=entry.recorded_at,
        by=kept.get("by"),
        margins=kept.get("margins") or {},
        width=kept.get("width"),
        blocks=kept.get("blocks"),
        block_deviation=kept.get("block_deviation"),
    )
