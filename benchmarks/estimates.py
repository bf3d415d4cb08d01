"""How often the truth is within the 90% interval of an estimate that was made without labels.

- *flights*: a model of January to March predicts the rest of the year, by days, weeks and months; it is kept, or
  retrained after each three months.
- *simulated*: partitions of 500 rows, in which other rows come up from one to the next (*covariate shift*), or the same
  rows get other labels (*concept shift*), which no estimate from the rows can see.

    python benchmarks/estimates.py            # minutes on two cores
    python benchmarks/estimates.py simulated  # only that
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bare
import numpy as np
import pandas as pd
import polars as pl
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from perennial import discovery
from perennial.evaluation import blocks, estimation, metrics
from perennial.evaluation.estimation import Holdout
from perennial.monitoring.estimate import RECORD

Array = np.ndarray
SIMULATIONS, PARTITIONS, ROWS = 40, 30, 500


@dataclass(frozen=True)
class Case:
    """A partition: what is known when it is estimated, and its labels."""

    holdout: Holdout
    features: pd.DataFrame
    prediction: Array
    label: Array


@dataclass(frozen=True)
class Result:
    """What became of one estimate: how far it was off, and how wide its interval was to either side."""

    error: float
    off: float
    compared: int


def estimated(use_case: Any, cases: Iterator[Case]) -> list[Result]:
    """The estimates of one use case's partitions, one after the other."""
    results: list[Result] = []
    scores: list[float] = []
    holdout, fitted = None, None
    for case in cases:
        if case.holdout is not holdout:
            holdout, fitted = case.holdout, estimation.fit(use_case, case.holdout)
        truth = metrics.evaluate_one(use_case, use_case.gate.metric, case.label, case.prediction)
        if fitted is None or truth is None:
            continue
        margin = fitted.margin(len(case.label))
        error = abs(truth - fitted.estimate(case.features, case.prediction))
        results.append(Result(error, margin * estimation.conformal_factor(scores[-RECORD:]), len(scores)))
        scores.append(error / margin)
    return results


def line(name: str, results: list[Result]) -> str:
    """A row of the table: how often the truth was within, before and after there is a record of nine."""
    shares = []
    for some in (results, [r for r in results if r.compared < 9], [r for r in results if r.compared >= 9]):
        within = np.mean([each.error <= each.off for each in some]) if some else float("nan")
        shares.append(f"{within:.0%} of {len(some)}")
    error, off = np.mean([r.error for r in results]), np.median([r.off for r in results])
    return f"| {name} | {' | '.join(shares)} | {error:.4f} | {off:.4f} |"


def simulated(metric: str, shift: str) -> list[Result]:
    """All estimates of all simulations."""
    found = []
    for seed in range(SIMULATIONS):
        task = "regression" if metric in ("rmse", "mae") else "binary"
        use_case = SimpleNamespace(task=task, gate=SimpleNamespace(metric=metric), quantile=None)
        found += estimated(use_case, _partitions(use_case, shift, np.random.default_rng(seed)))
    return found


def _partitions(use_case: Any, shift: str, rng: np.random.Generator) -> Iterator[Case]:
    centre, slope, is_binary = np.zeros(3), np.array([1.0, -1.0, 0.5]), use_case.task == "binary"
    x, y = _draw(rng, 4_000, centre, slope, is_binary)
    kind = HistGradientBoostingClassifier if is_binary else HistGradientBoostingRegressor
    model = kind(max_iter=50, max_leaf_nodes=8, random_state=0).fit(x[:2_000], y[:2_000])
    block = np.arange(2_000) // 100
    holdout = Holdout(pd.DataFrame(x[2_000:]).add_prefix("x"), y[2_000:], _predict(model, x[2_000:]), block)
    for _ in range(PARTITIONS):
        centre = centre + rng.normal(0, 0.15, 3) * (shift == "covariate")
        slope = slope + rng.normal(0, 0.15, 3) * (shift == "concept")
        x, y = _draw(rng, ROWS, centre, slope, is_binary)
        yield Case(holdout, pd.DataFrame(x).add_prefix("x"), _predict(model, x), y)


def _draw(rng: np.random.Generator, rows: int, centre: Array, slope: Array, is_binary: bool) -> tuple[Array, Array]:
    x = rng.normal(centre, 1, (rows, 3))
    score = x @ slope
    if is_binary:
        return x, (rng.random(rows) < expit(score)).astype(int)
    return x, score + rng.normal(0, 1, rows) * np.exp(0.5 * x[:, 0])  # Some rows are harder than others.


def _predict(model: Any, x: Array) -> Array:
    return model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else model.predict(x)


def flights(every: str, trained: tuple[str, ...], folder: Path) -> list[Result]:
    """The year from April on, in partitions of a length such as `1w`; trained up to each of these months."""
    use_case = discovery.load("flights")
    return estimated(use_case, _flights(use_case, every, trained, folder))


def _flights(use_case: Any, every: str, trained: tuple[str, ...], folder: Path) -> Iterator[Case]:
    columns, ends = bare._columns(use_case), [*trained[1:], "2013-12"]
    for last, until in zip(trained, ends, strict=True):
        champion, held = bare.train(use_case, use_case.partition(last), folder)
        held = held.sort("event_timestamp").gather_every(-(-held.height // 20_000))
        features = held.select(columns).to_pandas()
        block = blocks.blocks_of(held["event_timestamp"].to_pandas(), use_case.gate.block)
        prediction = champion.model.predict_proba(features)[:, 1]
        holdout = Holdout(features, held["label"].to_numpy(), prediction, block)
        following = list(use_case.partition(last).next.through(use_case.partition(until)))
        rows = bare.joined(use_case, following, folder).filter(pl.col("label").is_not_null()).sort("event_timestamp")
        parts = rows.group_by_dynamic("event_timestamp", every=every).agg(pl.all())
        for part in parts.iter_rows(named=True):
            frame = pd.DataFrame({name: part[name] for name in columns})
            if len(frame) >= use_case.drift.min_rows:
                predicted = champion.model.predict_proba(frame)[:, 1]
                yield Case(holdout, frame, predicted, np.array(part["label"]))


def main(which: str = "all") -> None:
    """Print the table of benchmarks/README.md."""
    print("| partitions | within | record below nine | from nine on | mean error | half width |")
    print("|---|---|---|---|---|---|")
    if which in ("all", "flights"):
        use_case = discovery.load("flights")
        with tempfile.TemporaryDirectory(prefix="estimates-") as name:
            for partition in use_case.first.through(use_case.partition("2013-12")):
                bare.month(use_case, partition, Path(name))
            for what, trained in (("kept", ("2013-03",)), ("retrained", ("2013-03", "2013-06", "2013-09"))):
                for every in ("1d", "1w", "1mo"):
                    print(line(f"flights, {every}, {what}", flights(every, trained, Path(name))), flush=True)
    if which in ("all", "simulated"):
        for shift in ("none", "covariate", "concept"):
            for metric in estimation.ESTIMATED:
                print(line(f"{shift} shift, {metric}", simulated(metric, shift)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
