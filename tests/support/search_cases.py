"""Searches for parameters: of `energy`, of nothing but noise, and one that is slow enough to be killed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from pydantic import Field

from perennial import Range, Search, TrainingParams, UseCase, discovery
from perennial.gate import challenger, rules
from perennial.gate.decision import Outcome
from perennial.training.planning import TrainingPlan
from perennial.training.search import searching, trying
from perennial.training.search import study as studies
from perennial.training.search.folds import Fold, split
from perennial.training.search.outcome import SearchOutcome
from perennial.training.training_set import TrainingSet

#: Fits: of three folds each, those of the run's own parameters, of a second set, and one of the third.
STUCK_AFTER = 7


class StrongRidge(TrainingParams):
    """Far too strong by default, so that there is something to find."""

    alpha: float = Field(default=90.0, ge=0, le=100)


def searching_energy(**changes: Any) -> UseCase:
    """`energy` with a search for the strength of its ridge."""
    fields = {"space": {"alpha": Range(low=0.01, high=100, log=True)}, "trials": 8, "folds": 3} | changes
    energy = discovery.load("energy")
    gate = energy.gate.model_copy(update={"refit": True})
    return energy.model_copy(update={"params": StrongRidge, "search": Search(**fields), "gate": gate})


def search_until_stuck(planned: dict[str, Any], rows: dict[str, Any], made_by: str, marker: str) -> None:
    """A search in a process of its own: stuck in the third set of parameters, it makes the file `marker`."""
    fit, fits = trying.fit_estimator, count(1)

    def stuck(*arguments: Any) -> Any:
        if next(fits) > STUCK_AFTER:
            Path(marker).touch()
            time.sleep(3600)
        return fit(*arguments)

    trying.fit_estimator = stuck
    searching.search_params(searching_energy(), TrainingPlan(**planned), TrainingSet(**rows), made_by)


def undisturbed(energy: UseCase, planned: TrainingPlan, rows: TrainingSet) -> list[optuna.trial.FrozenTrial]:
    """The trials of the same search, kept in memory only."""
    predict = trying.fitted_on_each(energy, planned.params, rows.fit)
    attempts = trying.Trying(energy, rows.fit, split(energy, rows.fit, energy.search.folds), predict)
    space = studies.distributions(energy.params, energy.search.space)
    own = {name: planned.params[name] for name in space}
    study = studies.Study(optuna.storages.InMemoryStorage(), "memory", space, own, planned.params["seed"])
    searching.run_trials(energy, energy.search, study, attempts)
    return study.trials


class Simulated:
    """A search among models of which nothing is fitted: each set of parameters errs in its own way, by hours and rows.

    Args:
        seed: Of all noise.
        gain: By how much the error of a set is smaller than that of the run's own if `alpha` is below 1; 0: all are
            equally good.
    """

    DAYS = 12

    def __init__(self, seed: int, gain: float = 0.0) -> None:
        self.energy, self.seed, self.gain = searching_energy(trials=10, folds=4), seed, gain
        drawn = np.random.default_rng(seed)
        moments = pd.date_range("2024-01-01", periods=self.DAYS * 24 * 12, freq="5min", tz="UTC")
        label = drawn.normal(10, 3, len(moments)) + 2 * np.sin(np.arange(len(moments)) / 40)
        matured = moments + pd.Timedelta(hours=1)
        site = np.where(np.arange(len(moments)) % 2, "site-0", "site-1")
        columns = {"event_timestamp": moments, "label_timestamp": matured, "label": label, "site": site}
        self.rows = pd.DataFrame(columns)
        self.holdout_start = moments[-1].floor("D")

    @property
    def fit(self) -> pd.DataFrame:
        return self.rows[self.rows["event_timestamp"] < self.holdout_start]

    @property
    def holdout(self) -> pd.DataFrame:
        return self.rows[self.rows["event_timestamp"] >= self.holdout_start]

    def predict(self, rows: pd.DataFrame, fitted: str, alpha: float) -> np.ndarray:
        """Predictions by the model of one fit: rows of an hour err alike."""
        name = f"{self.seed}:{fitted}:{alpha}".encode()
        drawn = np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8]))
        hours = np.repeat(drawn.normal(0, 0.7, len(rows) // 12 + 1), 12)[: len(rows)]
        size = 1 - self.gain * (alpha < 1)
        return rows["label"].to_numpy() + size * (hours + drawn.normal(0, 1, len(rows)))

    def search(self) -> SearchOutcome:
        """What the search finds on the folds."""
        folds = split(self.energy, self.fit, self.energy.search.folds)

        def predict(fold: Fold, found: Mapping[str, Any]) -> np.ndarray:
            alpha = found.get("alpha", 90.0)
            return self.predict(self.fit.iloc[fold.test], str(fold.start), alpha)

        space = studies.distributions(self.energy.params, self.energy.search.space)
        study = studies.Study(optuna.storages.InMemoryStorage(), "memory", space, {"alpha": 90.0}, self.seed)
        attempts = trying.Trying(self.energy, self.fit, folds, predict)
        return searching.run_trials(self.energy, self.energy.search, study, attempts)

    def decide(self, outcome: SearchOutcome) -> Outcome:
        """What the gate's rules say of a challenger with what was found, against a champion with the defaults."""
        mine = self.predict(self.holdout, "challenger", outcome.found.get("alpha", 90.0))
        its = self.predict(self.holdout, "champion", 90.0)
        results = challenger.apply_rules(rules.Pair.of(self.energy, self.holdout, mine, its), self.holdout)
        return results.outcome(self.energy.gate.margin)
