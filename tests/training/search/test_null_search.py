"""A search among equals promotes as seldom as the gate allows; one with something to find finds it."""

from __future__ import annotations

import pytest
from scipy import stats
from search_cases import Simulated

from perennial.gate.decision import PROMOTE

SEARCHES = 200


@pytest.mark.timeout(600)
def test_a_search_among_equals_promotes_in_at_most_5_percent() -> None:
    """Of so few searches 5% are some number around ten: what chance would not explain fails."""
    found = promoted = 0
    for seed in range(SEARCHES):
        simulated = Simulated(seed)
        outcome = simulated.search()
        found += bool(outcome.found)
        promoted += simulated.decide(outcome) == PROMOTE
    for count in (found, promoted):
        assert stats.binomtest(count, SEARCHES, 0.05, alternative="greater").pvalue > 0.01


def test_what_is_better_is_found() -> None:
    outcomes = [Simulated(seed, gain=0.1).search() for seed in range(20)]
    found = [outcome.found["alpha"] for outcome in outcomes if outcome.found]
    assert len(found) >= 18
    assert all(alpha < 1 for alpha in found)


def test_more_trials_are_no_more_false_finds() -> None:
    """The bound is corrected for their number: the best of many looks better than it is."""
    outcomes = [Simulated(seed).search() for seed in range(30)]
    best = [outcome.improvement for outcome in outcomes if outcome.improvement is not None]
    assert sum(each > 0 for each in best) > 0.8 * len(best), "the best of nine equals looks better nearly always"
    assert sum(bool(outcome.found) for outcome in outcomes) <= 2
