"""How often the gate errs: equal models promoted, better ones kept out, over many simulated holdouts of real flights.

Models are fitted on January to June; holdouts are stretches of days of July to December, so that what the gate sees is
what it meets in life: later data, days that differ, models that differ more on some days than on others.

- *equal, refitted*: champion and challenger are the same estimator on two bootstraps of the training rows. Neither is
  better by design, but in truth one of them is, by a little: see the column *wrongly*.
- *equal, swapped by day*: the same, with their predictions exchanged on a coin's toss for each day: equal in truth.
- *better by 0.01, less data*: the champion is a blend of the challenger with a model of far fewer rows, blended so that
  its AUC over all of July to December is 0.01 less.
- *better by 0.01, noise*: the champion is the challenger with noise added to its log-odds, likewise.

Holdouts are of 20,000 rows, some three weeks, and of the four weeks that the flights declare. *With shadow*: what three
weeks do not reject is compared on the four weeks after them, too, as in a rollout `after="with-holdout"`.

    python benchmarks/gate.py [SIMULATIONS]
    python benchmarks/gate.py simulated      # sizes of the interval in worlds that are not of flights

The naive gate promotes whenever the estimate is above the margin. The *knowing* one asks for 1.645
standard deviations of the estimates over all stretches more, which nobody knows beforehand: about what can be had.
*Wrongly* promoted is who is not better by the margin over all of July to December.

*Simulated*: two models of one quality, and how often either bound is on the wrong side of no difference.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import bare
import numpy as np
import pandas as pd
import polars as pl
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from perennial import UseCase, discovery
from perennial.evaluation import blocks, bootstrap
from perennial.gate.challenger import RuleResults, apply_rules
from perennial.gate.rules import Pair
from use_cases.flights.model import build
from use_cases.flights.use_case import FlightsParams

Array = np.ndarray
#: Two models' predictions of all later flights -> what one simulation makes of them: challenger's, champion's.
Scenario = Callable[[np.random.Generator], tuple[Array, Array]]
#: How many days -> by how much one simulated model is better than the other, in weights of the days.
World = Callable[[np.random.Generator, int], blocks.Statistic]

ROWS = 20_000  #: Of a holdout, in whole days.
DECLARED = 28  #: Days of the holdout that the flights declare, and of a shadow after one.
BETTER = 0.01  #: In AUC, over all later flights.
REFITS = 6
FIT_ROWS = 60_000
FEW_ROWS = 6_000
SIMULATIONS = 200
#: The plans of a holdout: some three weeks, what the flights declare, and three weeks with a shadow after them.
PLANS = THREE_WEEKS, DAYS, SHADOW = (f"{ROWS:,} rows", f"{DECLARED} days", f"{ROWS:,} rows with shadow")
SIZES = 500  #: Simulations of each interval that is no flights'.


def main() -> None:
    """Print the table."""
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else SIMULATIONS
    use_case, began = discovery.load("flights"), time.perf_counter()
    earlier, later = _flights(use_case)
    columns = bare._columns(use_case)
    random = np.random.default_rng(0)

    def fitted(rows: int) -> Array:
        """Predictions of all later flights by a model of so many training rows, drawn with replacement."""
        drawn = earlier.iloc[random.integers(len(earlier), size=rows)]
        model = build(FlightsParams()).fit(drawn[columns], drawn["label"].to_numpy())
        return np.asarray(model.predict_proba(later[columns])[:, 1])

    refits = [fitted(FIT_ROWS) for _ in range(REFITS)]
    scenarios = _scenarios(later, refits, fitted(FEW_ROWS))
    print(f"{len(earlier)} flights to fit on, {len(later)} later ones; {time.perf_counter() - began:.0f} s so far")
    margin = use_case.gate.margin
    print(f"margin {margin}, confidence {use_case.gate.confidence}, {simulations} holdouts of each\n")
    headings = ("holdout", "promoted", "wrongly", "inconclusive", "rejected", "naive promotes", "knowing promotes")
    print(f"| challenger | {' | '.join(headings)} | target |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (name, scenario), plan in product(scenarios.items(), PLANS):
        outcomes, gains, wrongly = _simulated(use_case, later, scenario, simulations, plan)
        share = {outcome: outcomes.count(outcome) / simulations for outcome in set(outcomes)}
        promoted = share.get("promote", 0.0)
        target, met = (
            ("at most 5%", promoted <= 0.05) if name.startswith("equal") else ("at least 90%", promoted >= 0.9)
        )
        print(
            f"| {name} | {plan} | {promoted:.1%} | {wrongly / simulations:.1%}"
            f" | {share.get('not-enough-evidence', 0):.1%} | {share.get('reject', 0):.1%}"
            f" | {np.mean(gains > margin):.1%} | {np.mean(gains > margin + 1.645 * gains.std()):.1%}"
            f" | {target}: {'met' if met else 'missed'} |",
            flush=True,
        )
    print(f"\n{time.perf_counter() - began:.0f} s in all")


def _flights(use_case: UseCase) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labelled flights with their features: of January to June, and of July to December."""
    partitions = list(use_case.first.through(use_case.partition("2013-12")))
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as name:
        for partition in partitions:
            bare.month(use_case, partition, Path(name))
        rows = bare.joined(use_case, partitions, Path(name)).filter(pl.col("label").is_not_null())
    frame = rows.to_pandas()
    is_later = frame["event_timestamp"] >= use_case.partition("2013-07").start
    return frame[~is_later], frame[is_later].reset_index(drop=True)


def _scenarios(later: pd.DataFrame, refits: list[Array], few: Array) -> dict[str, Scenario]:
    label, best = later["label"].to_numpy(), refits[0]
    day = later["event_timestamp"].dt.floor("D").factorize()[0]
    target_auc = roc_auc_score(label, best) - BETTER
    if roc_auc_score(label, few) >= target_auc:
        raise SystemExit("the model of few rows is too good to blend; lower FEW_ROWS")

    def blend(share: float) -> Array:
        return (1 - share) * best + share * few

    standard = np.random.default_rng(1).normal(size=len(label))

    def noisy(size: float, noise: Array = standard) -> Array:
        return expit(logit(best) + size * noise)

    blended = blend(brentq(lambda share: roc_auc_score(label, blend(share)) - target_auc, 0, 1, xtol=1e-3))
    size = brentq(lambda scale: roc_auc_score(label, noisy(scale)) - target_auc, 0, 5, xtol=1e-3)

    def two(random: np.random.Generator) -> tuple[Array, Array]:
        one, other = random.choice(len(refits), size=2, replace=False)
        return refits[one], refits[other]

    def swapped(random: np.random.Generator) -> tuple[Array, Array]:
        one, other = two(random)
        toss = random.random(day.max() + 1)[day] < 0.5
        return np.where(toss, one, other), np.where(toss, other, one)

    return {
        "equal, refitted": two,
        "equal, swapped by day": swapped,
        f"better by {BETTER}, less data": lambda _: (best, blended),
        f"better by {BETTER}, noise": lambda random: (best, noisy(size, random.normal(size=len(label)))),
    }


def _simulated(
    use_case: UseCase, later: pd.DataFrame, scenario: Scenario, times: int, plan: str
) -> tuple[list[str], Array, int]:
    """The gate's outcome and the estimated gain on each of so many holdouts, and how many were promoted wrongly."""
    outcomes, gains, margin, wrongly = [], [], use_case.gate.margin, 0
    label = later["label"].to_numpy()
    day = later["event_timestamp"].dt.floor("D").factorize()[0]
    starts = np.searchsorted(day, np.arange(day.max() + 2))
    last_day = np.searchsorted(starts, starts + ROWS) if plan != DAYS else np.arange(len(starts)) + DECLARED
    last_seen = last_day + DECLARED if plan == SHADOW else last_day
    possible = np.flatnonzero(last_seen < len(starts))
    for seed in range(times):
        random = np.random.default_rng(seed)
        begin = random.choice(possible)
        challenger, champion = scenario(random)

        def decide(first: int, last: int, one: Array = challenger, other: Array = champion) -> RuleResults:
            rows = later.iloc[starts[first] : starts[last]]
            return apply_rules(Pair.of(use_case, rows, one[rows.index], other[rows.index]), rows)

        decision = decide(begin, last_day[begin])
        if plan == SHADOW and decision.outcome(margin) != "reject":
            live = decide(last_day[begin], last_seen[begin])
            assert decision.improvement is not None
            assert live.improvement is not None
            both = bootstrap.combined(decision.improvement, live.improvement)
            decision = replace(decision, improvement=both, safety=live.safety)
        outcomes.append(decision.outcome(margin))
        gains.append(decision.improvement.estimate if decision.improvement else np.nan)
        if outcomes[-1] == "promote":
            wrongly += roc_auc_score(label, challenger) - roc_auc_score(label, champion) <= margin
    return outcomes, np.array(gains), wrongly


def _sizes() -> None:
    """How often either bound errs, of differences between two models of one quality."""
    print(f"Nominally 5%, at most; {SIZES} simulations each\n\n| metric | days | lower bound errs | upper bound errs |")
    print("|---|---|---|---|")
    for (name, made), days in product(WORLDS.items(), (5, 10, 22)):
        random, missed = np.random.default_rng(1), []
        for _ in range(SIZES):
            interval = bootstrap.interval(made(random, days), days, 0.95)
            missed += [(interval.low > 0, interval.high < 0)] if interval else []
        low, high = np.mean(missed, axis=0)
        print(f"| {name} | {days} | {low:.1%} | {high:.1%} |", flush=True)


def _of_labels(metric: str, base: float, rows: int, differ: float) -> World:
    """Two models that err by a level of their own each day (`differ`) and by noise; days have rates of their own."""

    def made(random: np.random.Generator, days: int) -> blocks.Statistic:
        day = np.repeat(np.arange(days), rows)
        truth = base + random.normal(size=days)[day] + random.normal(size=len(day))
        label = (random.random(len(day)) < expit(truth)).astype(int)
        label[:2] = 0, 1  # Both classes, whatever was drawn.
        both = [expit(truth + random.normal(0, differ, days)[day] + random.normal(0, 0.5, len(day))) for _ in "ab"]
        return _difference(metric, label, both, day)

    return made


def _of_numbers(metric: str, rows: int) -> World:
    """Two models whose errors have Student's t with three degrees of freedom by day, and noise that differs by day."""

    def made(random: np.random.Generator, days: int) -> blocks.Statistic:
        day = np.repeat(np.arange(days), rows)
        noise = np.exp(random.normal(size=days))[day]
        label = random.standard_t(3, days)[day] + noise * random.normal(size=len(day))
        both = [label + noise * random.normal(size=len(day)) + random.standard_t(3, days)[day] / 2 for _ in "ab"]
        return _difference(metric, label, both, day)

    return made


def _difference(metric: str, label: Array, both: list[Array], day: Array) -> blocks.Statistic:
    one, other = (blocks.metric(metric, label, each, day) for each in both)
    return lambda weights: one(weights) - other(weights)


WORLDS: dict[str, World] = {
    "AUC, 20% positive, days differ": _of_labels("roc_auc", -1.5, 200, 0.7),
    "AUC, 20% positive, days alike": _of_labels("roc_auc", -1.5, 200, 0.0),
    "AUC, 2% positive, days differ": _of_labels("roc_auc", -4.5, 400, 0.7),
    "log loss, 20% positive": _of_labels("log_loss", -1.5, 200, 0.7),
    "RMSE, heavy tails by day": _of_numbers("rmse", 100),
    "MAE, heavy tails by day": _of_numbers("mae", 100),
    "R², heavy tails by day": _of_numbers("r2", 100),
}

if __name__ == "__main__":
    _sizes() if "simulated" in sys.argv else main()
