"""What a holdout says of prediction intervals: the margin that each model needs there, and what its intervals reach."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from perennial.evaluation import blocks, bootstrap, intervals
from perennial.evaluation.intervals import Intervals
from perennial.evaluation.recorded_intervals import RecordedMargin
from perennial.gate import rules
from perennial.gate.decision import HoldoutInterval, Rule
from perennial.registry.model_loading import Predictor
from perennial.use_case import UseCase

Array = np.ndarray


@dataclass(frozen=True)
class Bounded:
    """The intervals of a model on rows of a holdout.

    Attributes:
        margin: Chosen on all of them; infinite with too few rows.
        rows: How many these were.
        lower, upper: (n,) by which the rows are judged, NaN where there is none.
        margins: Of the values of `interval.by`, by name.
    """

    margin: float
    rows: int
    lower: Array
    upper: Array
    margins: dict[str, float]

    def later(self, is_later: Array) -> Bounded:
        """The same intervals of some of the rows, by which they are judged; the margin stays.

        Args:
            is_later: (n,) which of them.
        """
        return replace(self, lower=self.lower[is_later], upper=self.upper[is_later])


def of_version(use_case: UseCase, predict: Predictor, holdout: pd.DataFrame, prediction: Array) -> Bounded | None:
    """`bounded`, cross-fitted, with the quantiles that a version predicts.

    Args:
        use_case: As for `bounded`.
        predict: The version.
        holdout: As for `bounded`, with the model's inputs.
        prediction: Likewise.
    """
    if use_case.interval is None:
        return None
    return bounded(use_case, holdout, prediction, predict.quantiles(holdout) if len(holdout) else None)


def of_champion(
    use_case: UseCase, predict: Predictor, holdout: pd.DataFrame, prediction: Array, known: RecordedMargin | None
) -> tuple[HoldoutInterval | None, HoldoutInterval | None]:
    """What a champion's intervals reach on a holdout of newer rows.

    Args:
        use_case: As for `bounded`.
        predict: The champion.
        holdout: (n,) rows, as for `bounded`, with the model's inputs; n > 0.
        prediction: (n,) its predictions.
        known: The margin that it serves with; None: it has none.

    Returns:
        With the margin that these rows ask for, cross-fitted: what is expected of it from then on. And with the margin
        that it served with, for comparison; None without one. Both None where no interval is declared.
    """
    if use_case.interval is None:
        return None, None
    quantiles = predict.quantiles(holdout)
    renewed = measure(use_case, holdout, bounded(use_case, holdout, prediction, quantiles))
    served = bounded(use_case, holdout, prediction, quantiles, known) if known is not None else None
    return renewed, measure(use_case, holdout, served)


def bounded(
    use_case: UseCase,
    holdout: pd.DataFrame,
    prediction: Array,
    quantiles: Array | None,
    known: RecordedMargin | None = None,
) -> Bounded | None:
    """The intervals of a model on a holdout: by the margin that it has, or cross-fitted by block of time.

    Args:
        use_case: Its `interval`, and what a block is.
        holdout: (n,) rows with `label`, `event_timestamp` and the column `interval.by`, which the model was
            not fitted on.
        prediction: (n,) of the model.
        quantiles: (n, 2) of the model; None: it predicts none.
        known: The margin that it serves with; None: it has none, each block is judged by that of the others.

    Returns:
        None where no interval is declared.
    """
    if use_case.interval is None:
        return None
    coverage, by = use_case.interval.coverage, use_case.interval.by
    group = intervals.groups(holdout[by]) if by is not None else None
    score = intervals.scores(holdout["label"].to_numpy(dtype=float), prediction, quantiles)
    if known is None:
        block = blocks.blocks_of(holdout["event_timestamp"], use_case.gate.block)
        judging: Array | float = (
            intervals.cross_fitted(score, block, coverage)
            if group is None
            else intervals.cross_fitted_by(score, block, group, coverage)
        )
    else:
        judging = known.of_frame(holdout)
    own = intervals.margins_by(score, group, coverage) if group is not None else {}
    lower, upper = intervals.bounds(prediction, quantiles, judging)
    return Bounded(intervals.margin(score, coverage), len(holdout), lower, upper, own)


def measure(use_case: UseCase, holdout: pd.DataFrame, its: Bounded | None) -> HoldoutInterval | None:
    """What intervals reach on a holdout; None where there are none.

    Args:
        use_case: Its `interval`, and its gate's blocks and confidence.
        holdout: (n,) rows with `label` and `event_timestamp`.
        its: The intervals of these rows.
    """
    if use_case.interval is None or its is None:
        return None
    coverage = use_case.interval.coverage
    there, known = Intervals.known(holdout["label"].to_numpy(dtype=float), its.lower, its.upper)
    measured, interval, deviation, count = there.metrics(coverage), None, None, 0
    if measured:
        block = blocks.blocks_of(holdout["event_timestamp"][known], use_case.gate.block)
        count = blocks.count_blocks(block)
        if count > 1:
            by_block = there.coverage_by_block(block)
            interval = bootstrap.interval(by_block, count, use_case.gate.confidence)
            deviation = float(np.std(by_block(np.eye(count)), ddof=1))
    return HoldoutInterval(
        coverage=coverage,
        margin=its.margin if np.isfinite(its.margin) else None,
        rows=its.rows,
        by=use_case.interval.by,
        margins=its.margins,
        reached=measured.get("interval_coverage"),
        judged=len(there.label) if measured else None,
        bounds=(max(interval.low, 0.0), min(interval.high, 1.0)) if interval is not None else None,
        blocks=count if measured else None,
        block_deviation=deviation,
        width=measured.get("interval_width"),
        score=measured.get("interval_score"),
    )


def coverage_rule(use_case: UseCase, mine: HoldoutInterval | None, its: HoldoutInterval | None) -> list[Rule]:
    """Whether the challenger's intervals cover as many labels as declared; none where no interval is.

    It fails where even the upper bound of the share is below the declared one by more than the tolerance.

    Args:
        use_case: Its `interval`.
        mine: Of the challenger, each block judged by the margin that was chosen on the others.
        its: Of the champion, by the margin that it served with; for comparison. None: it had none.
    """
    if use_case.interval is None or mine is None or mine.reached is None:
        return []
    threshold = use_case.interval.coverage - use_case.interval.tolerance
    upper = mine.bounds[1] if mine.bounds is not None else mine.reached
    note = "" if mine.bounds is None else f"between {mine.bounds[0]:.4g} and {mine.bounds[1]:.4g}; "
    note += f"mean width {mine.width:.4g}, of {mine.judged} rows"
    if its is not None and its.reached is not None:
        note += f", of the champion {its.width:.4g} with a coverage of {its.reached:.4g}"
    return [rules.rule("interval coverage", mine.reached, threshold, upper >= threshold, note)]
