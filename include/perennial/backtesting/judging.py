"""The gate of a simulated policy: the real one's rules that rows can answer, on labels known by the window's end.

What needs a stored model or a person is left out: smoke test, latency, size and approval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from perennial.backtesting.fits import Fit
from perennial.backtesting.history import History
from perennial.errors import NotEnoughData
from perennial.evaluation import baseline, thresholds
from perennial.gate import challenger as gate
from perennial.gate import rules
from perennial.gate.decision import CHALLENGER, CHAMPION, Outcome
from perennial.lake import labels
from perennial.training import training_set
from perennial.use_case import UseCase

Array = np.ndarray
#: Gives (n,) predictions of every row of the history, NaN where the fit may not predict.
Predict = Callable[[Fit], Array]


@dataclass(frozen=True)
class Judgement:
    """What the gate of a policy says.

    Attributes:
        outcome: As the gate's.
        challenger, champion: The gate's metric of both on the holdout; None: too little to tell.
        threshold: From which probability on the challenger acts; None: nothing is decided.
    """

    outcome: Outcome
    challenger: float | None
    champion: float | None
    threshold: float | None


def enough(use_case: UseCase, history: History, challenger: Fit) -> bool:
    """Whether the window has enough rows to fit on and to hold out, as training asks.

    Args:
        use_case: With the policy's gate.
        history: The rows.
        challenger: Whose window; part of it is held out.
    """
    assert challenger.until is not None, "a challenger holds rows back"  # noqa: S101
    window = history.rows.filter(pa.array(history.window(challenger.first, challenger.last)))
    try:
        training_set.check_enough(use_case, window, challenger.first, challenger.last, challenger.until)
    except NotEnoughData:
        return False
    return True


def judge(
    use_case: UseCase,
    history: History,
    challenger: Fit,
    champion: Fit | None,
    predict: Predict,
    threshold: float | None = None,
) -> Judgement:
    """Compare a challenger with the champion, on those rows of its holdout that neither was fitted on.

    Args:
        use_case: With the policy's gate.
        history: The rows.
        challenger: A fit whose window ends now.
        champion: The champion as it was evaluated; None: the challenger must beat the baseline model.
        predict: Gives the predictions of a fit.
        threshold: From which probability on the champion acts.
    """
    assert challenger.until is not None, "a challenger holds rows back"  # noqa: S101
    window = history.window(challenger.first, challenger.last)
    held_out = rows = window & ~history.is_before(challenger.until)
    if champion is not None:
        rows = held_out & ~history.is_before(champion.fitted_until)
    fitted = training_set.rows_to_fit(history.rows.filter(pa.array(window)), challenger.until).to_pandas()
    all_held_out = history.rows.filter(pa.array(held_out)).to_pandas()
    holdout = all_held_out[rows[held_out]]
    constant = None
    if champion is not None:
        its = predict(champion)[rows]
    else:
        label = labels.encoded(use_case, fitted["label"])
        its = baseline.predictions(use_case, label, holdout)
        constant = baseline.constant_predictions(use_case, label, len(holdout))
    predicted = predict(challenger)[held_out]
    mine = thresholds.choose(use_case, all_held_out, predicted)
    by_block = thresholds.cross_fitted(use_case, all_held_out, predicted)
    acting_from = by_block[rows[held_out]] if by_block is not None else None, threshold
    pair = rules.Pair.of(use_case, holdout, predict(challenger)[rows], its, constant, acting_from)
    if champion is None:
        pair = pair.against_baseline(holdout, fitted)
    results = gate.apply_rules(pair, holdout)
    columns = list(history.inputs)
    shares = rules.null_shares(fitted, all_held_out, columns)
    results = replace(results, safety=[*results.safety, *rules.missing_values(use_case, shares)])
    is_enough = all(rule.passed for rule in results.sufficiency)
    measured, champion_measured = (
        results.metrics.get(model, {}).get(use_case.gate.metric) if is_enough else None
        for model in (CHALLENGER, CHAMPION)
    )
    return Judgement(results.outcome(use_case.gate.margin), measured, champion_measured, mine)
