"""What a search for parameters found, and what it cost: part of the plan of a training run."""

from __future__ import annotations

from typing import Any

from perennial.use_case.declarations import Declaration


class SearchOutcome(Declaration):
    """What a search found.

    Attributes:
        study: Its record in the database; another run on the same rows, code and space continues it.
        trials: Sets of parameters that were tried, the run's own included.
        pruned: Of these, how many were stopped early, because they were worse than half of the others so far.
        failed: Of these, how many the estimator could not be fitted with.
        folds: Parts of time that each was tried on.
        seconds: That the trials took, of all attempts that finished them (processing time).
        improvement: Of the best set over the run's own on the folds, in the gate's metric; positive if it is better.
            None: no other set was tried to its end.
        low: Its lower bound, corrected for the number of sets.
        found: The parameters that take the place of the run's own; empty: none are significantly better.
        reason: All of it in a sentence.
    """

    study: str
    trials: int
    pruned: int
    failed: int
    folds: int
    seconds: float
    improvement: float | None
    low: float | None
    found: dict[str, Any]
    reason: str
