"""The trials of a search: the run's own first, the same whatever was killed, none of them twice."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from perennial.training.search import study as studies
from perennial.training.search.comparison import Improvement
from perennial.training.search.study import Study

SPACE = {"alpha": FloatDistribution(0.01, 100, log=True)}


def opened(kept_in: InMemoryStorage, space: dict = SPACE, own: dict | None = None, seed: int = 1) -> Study:
    return Study(kept_in, "energy", space, own or {"alpha": 1.0}, seed)


def finish(study: Study, trial: optuna.trial.Trial) -> None:
    """Every third one is pruned, the others are better the nearer to 7 they are."""
    value = -abs(trial.params["alpha"] - 7)
    trial.report(value, 0)
    if len(study.trials) % 3 == 2:
        study.prune(trial)
    else:
        study.complete(trial, Improvement(value, 0.1, 20))


def drawn(killed: set[int]) -> list[dict]:
    """The parameters of twenty trials; before each of these places a process was killed in its trial."""
    kept_in = InMemoryStorage()
    study = opened(kept_in)
    for place in range(20):
        if place in killed:
            study.ask().report(0.0, 0)
            study = opened(kept_in)
        finish(study, study.ask())
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("killed", [{0}, {1}, {0, 5, 11}, set(range(20))])
def test_what_is_drawn_does_not_depend_on_kills(killed: set[int]) -> None:
    assert drawn(killed) == drawn(set())


def test_another_seed_draws_others_after_the_runs_own() -> None:
    one, other = (opened(InMemoryStorage(), seed=seed) for seed in (1, 2))
    for study in (one, other):
        for _ in range(3):
            finish(study, study.ask())
    assert one.trials[0].params == other.trials[0].params == {"alpha": 1.0}
    assert [trial.params for trial in one.trials[1:]] != [trial.params for trial in other.trials[1:]]


def test_a_killed_trial_is_no_trial() -> None:
    kept_in = InMemoryStorage()
    opened(kept_in).ask()
    assert opened(kept_in).trials == []


def test_a_failed_trial_says_why() -> None:
    study = opened(InMemoryStorage())
    study.fail(study.ask(), "the solver diverged")
    assert [trial.user_attrs[studies.ERROR] for trial in study.trials] == ["the solver diverged"]


def test_the_same_set_is_tried_once() -> None:
    space = {"loss": CategoricalDistribution(("squared", "absolute"))}
    study = opened(InMemoryStorage(), space, {"loss": "squared"})
    tried = 0
    for _ in range(12):
        trial = study.ask()
        if study.repeat(trial):
            continue
        tried += 1
        if trial.params["loss"] == "squared":
            study.complete(trial, Improvement(0.0, 0.0, 20))
        else:
            study.fail(trial, "no such loss")
    assert tried == 2
    assert len(study.trials) == 12
    assert {(trial.params["loss"], trial.state, trial.value) for trial in study.trials} == {
        ("squared", TrialState.COMPLETE, 0.0),
        ("absolute", TrialState.FAIL, None),
    }


def test_a_study_is_named_by_all_that_its_trials_depend_on() -> None:
    parts = {"rows": "abc", "space": {"alpha": [0, 1]}}
    assert studies.name_of("energy", **parts) == studies.name_of("energy", **parts)
    others = [studies.name_of("energy", **parts | {"rows": "abd"}), studies.name_of("flights", **parts)]
    assert studies.name_of("energy", **parts) not in others
