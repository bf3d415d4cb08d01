"""Chooses the parameters to fit with from the trials of a search, and says why in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from perennial.training.search import study as studies
from perennial.training.search.comparison import Improvement
from perennial.training.search.outcome import SearchOutcome
from perennial.use_case import UseCase


def choose(use_case: UseCase, study: str, trials: Sequence[FrozenTrial], folds: int) -> SearchOutcome:
    """The best of the sets of parameters that are significantly better than the run's own, or none.

    Args:
        use_case: Whose gate says how sure that has to be.
        study: The name of the record.
        trials: All that have ended, in their order; the first has the run's own parameters.
        folds: That each was tried on.
    """
    compared = len({repr(sorted(each.params.items())) for each in trials}) - 1
    completed = [each for each in trials[1:] if each.state == TrialState.COMPLETE]
    lows = {each.number: _improvement(each).low(use_case.gate.confidence, compared) for each in completed}
    ranked = sorted(completed, key=lambda each: (lows[each.number] > 0, each.values[0]), reverse=True)
    best = ranked[0] if ranked else None
    low = lows[best.number] if best else -np.inf
    states = [each.state for each in trials]
    outcome = SearchOutcome(
        study=study,
        trials=len(trials),
        pruned=states.count(TrialState.PRUNED),
        failed=states.count(TrialState.FAIL),
        folds=folds,
        seconds=round(seconds_of(trials), 3),
        improvement=best.values[0] if best else None,
        low=low if np.isfinite(low) else None,
        found=best.params if best and low > 0 else {},
        reason="",
    )
    return outcome.model_copy(update={"reason": _reason(use_case, outcome, trials[0].params)})


def no_search(why: str, folds: int) -> SearchOutcome:
    """What is recorded where a search is declared and there is nothing to search.

    Args:
        why: For people.
        folds: How many there are.
    """
    numbers = {"trials": 0, "pruned": 0, "failed": 0, "seconds": 0.0, "improvement": None, "low": None}
    return SearchOutcome(study="", folds=folds, found={}, reason=f"no search for parameters: {why}", **numbers)


def seconds_of(trials: Sequence[FrozenTrial]) -> float:
    """How long the trials took together (processing time), without those that were killed."""
    return sum(each.duration.total_seconds() for each in trials if each.duration is not None)


def _improvement(trial: FrozenTrial) -> Improvement:
    return Improvement(trial.values[0], trial.user_attrs[studies.STANDARD_ERROR], trial.user_attrs[studies.BLOCKS])


def _reason(use_case: UseCase, outcome: SearchOutcome, own: Mapping[str, Any]) -> str:
    """The outcome in a sentence."""
    stopped = f", {outcome.pruned} of them stopped early" if outcome.pruned else ""
    failed = f", {outcome.failed} failed" if outcome.failed else ""
    cost = f"{outcome.folds} folds in {outcome.seconds:.3g} s{stopped}{failed}"
    tried = f"{outcome.trials} sets of parameters tried on {cost}"
    if outcome.improvement is None:
        return f"{tried}: the run's own parameters are kept"
    low = f"lower bound {outcome.low:+.4g}" if outcome.low is not None else "no lower bound"
    numbers = f"{use_case.gate.metric} improvement {outcome.improvement:+.4g}, {low}"
    if not outcome.found:
        return f"{tried}: none is significantly better than the run's own, which are kept (best: {numbers})"
    changed = [f"{name} {_shown(value)} instead of {_shown(own[name])}" for name, value in outcome.found.items()]
    return f"{tried}: {', '.join(changed)} ({numbers})"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
