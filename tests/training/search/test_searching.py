"""The search for parameters: on folds, recorded in PostgreSQL and MLflow, killed and continued."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState
from pipelines import decide, run_features_until
from search_cases import search_until_stuck, searching_energy, undisturbed

from perennial.errors import TrainingFailed
from perennial.registry import mlflow_tags, tracking
from perennial.reproduce import recipe
from perennial.training import planning
from perennial.training.planning import TrainingPlan
from perennial.training.search import searching, trying
from perennial.training.search import study as studies
from perennial.training.training_set import TrainingSet
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


@pytest.fixture(scope="module")
def energy(project, mlflow_server) -> UseCase:
    """Three days of data."""
    energy = searching_energy()
    run_features_until(energy, "2024-01-03")
    return energy


@pytest.fixture(scope="module")
def planned(energy: UseCase) -> TrainingPlan:
    return planning.plan_training(energy, None, {"window_end": "2024-01-03"})


@pytest.fixture(scope="module")
def rows(energy: UseCase, planned: TrainingPlan) -> TrainingSet:
    return planning.build_training_set(energy, planned)


@pytest.fixture(scope="module")
def searched(energy: UseCase, planned: TrainingPlan, rows: TrainingSet) -> TrainingPlan:
    return searching.search_params(energy, planned, rows, "first")


def trials_of(name: str) -> list[optuna.trial.FrozenTrial]:
    with studies.storage() as kept_in:
        return optuna.load_study(study_name=name, storage=kept_in).trials


def runs_below(made_by: str) -> list[Run]:
    """The trials of an Airflow run, in their order."""
    server, energy = tracking.client(), searching_energy()
    parent = tracking.find_run(energy, "training", made_by)
    experiment = server.get_run(parent).info.experiment_id
    below = server.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return sorted(below, key=lambda run: int(run.data.tags[mlflow_tags.TRIAL]))


def measured(trial: optuna.trial.FrozenTrial) -> dict[int, float | None]:
    """By fold; below -1 of all folds."""
    return trial.intermediate_values | {-1: trial.value}


def shown(trials: list[optuna.trial.FrozenTrial]) -> list[tuple]:
    """What was tried and found; another process may round the last bits of a sum in another way."""
    return [(trial.params, trial.state, pytest.approx(measured(trial), rel=1e-9)) for trial in trials]


def test_what_is_found_is_in_the_plan(planned: TrainingPlan, searched: TrainingPlan) -> None:
    found = searched.search
    assert (found.trials, found.failed, found.folds) == (8, 0, 3)
    assert found.found == {"alpha": searched.params["alpha"]}
    assert searched.params == planned.params | found.found
    assert searched.params["alpha"] < 90
    assert 0 < found.low < found.improvement
    assert found.reason.startswith("8 sets of parameters tried on 3 folds in ")
    assert f"alpha {searched.params['alpha']:.4g} instead of 90" in found.reason


def test_the_runs_own_parameters_are_tried_first(planned: TrainingPlan, searched: TrainingPlan) -> None:
    first = trials_of(searched.search.study)[0]
    assert first.params == {"alpha": planned.params["alpha"]}
    assert (first.state, first.value) == (TrialState.COMPLETE, 0)


def test_each_trial_is_a_run_below_the_training_run(energy: UseCase, searched: TrainingPlan) -> None:
    kept, logged = trials_of(searched.search.study), runs_below("first")
    assert [float(run.data.params["alpha"]) for run in logged] == [trial.params["alpha"] for trial in kept]
    for run, trial in zip(logged, kept, strict=True):
        assert run.data.metrics.get("improvement") == trial.value or trial.state == TrialState.PRUNED
        assert run.data.metrics["fold_improvement"] == pytest.approx(max(trial.intermediate_values.items())[1])
        assert run.info.status == {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED"}[trial.state]


def test_the_training_run_says_what_it_cost(energy: UseCase, searched: TrainingPlan) -> None:
    server = tracking.client()
    run = server.get_run(tracking.find_run(energy, "training", "first"))
    assert run.data.metrics["search_trials"] == 8
    assert run.data.metrics["search_improvement_low"] == searched.search.low
    assert run.data.metrics["search_seconds"] == searched.search.seconds > 0
    assert run.data.tags[mlflow_tags.SEARCH] == searched.search.reason
    assert "plots/search.png" in [file.path for file in server.list_artifacts(run.info.run_id, "plots")]


def test_the_version_is_fitted_and_refitted_with_what_was_found(energy: UseCase, searched: TrainingPlan) -> None:
    decision = decide(energy, "first", window_end="2024-01-03")
    assert decision.promote
    assert searched.search.reason in decision.reason
    for version in (decision.evaluated, decision.challenger):
        assert recipe.read(energy, version).plan.params == searched.params
    run = tracking.client().get_run(tracking.run_of(energy, decision.evaluated))
    assert float(run.data.params["alpha"]) == searched.params["alpha"]
    assert run.info.run_id == tracking.find_run(energy, "training", "first")


def test_searched_again_nothing_is_tried_again(energy, planned, rows, searched, monkeypatch) -> None:
    monkeypatch.setattr(trying, "fit_estimator", None)
    assert searching.search_params(energy, planned, rows, "again") == searched
    assert len(runs_below("again")) == 8


def test_the_holdout_is_not_read(energy, planned, rows, searched, monkeypatch) -> None:
    monkeypatch.setattr(TrainingSet, "holdout", property(lambda data: pytest.fail("The holdout is the gate's.")))
    other = searching_energy(folds=2)
    assert searching.search_params(other, planned, rows, "holdout").search.folds == 2


def test_killed_and_continued_it_ends_as_undisturbed(energy, planned, rows, tmp_path) -> None:
    case = searching_energy(trials=8)
    plan = planned.model_copy(update={"params": planned.params | {"seed": 7}})
    marker = tmp_path / "stuck"
    arguments = plan.model_dump(mode="json"), rows.model_dump(mode="json"), "killed", str(marker)
    child = multiprocessing.get_context("spawn").Process(target=search_until_stuck, args=arguments)
    child.start()
    deadline = time.monotonic() + 120
    while not marker.exists():
        assert child.is_alive(), "the search ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert len(_runs_so_far()) == 2
    result = searching.search_params(case, plan, rows, "killed")
    kept = trials_of(result.search.study)
    killed = [trial for trial in kept if trial.state == TrialState.FAIL]
    assert len(killed) == 1
    alone = undisturbed(case, plan, rows)
    continued = [trial for trial in kept if trial not in killed]
    assert [(trial.params, trial.state, measured(trial)) for trial in continued] == shown(alone)
    assert [run.data.tags[mlflow_tags.TRIAL] for run in runs_below("killed")] == [str(n) for n in range(1, 9)]


def _runs_so_far() -> list[Run]:
    if tracking.find_run(searching_energy(), "training", "killed") is None:
        return []
    return [run for run in runs_below("killed") if run.info.end_time is not None]


def test_what_a_person_sets_is_not_searched(energy: UseCase, planned: TrainingPlan, rows: TrainingSet) -> None:
    plan = planned.model_copy(update={"params": planned.params | {"alpha": 3.0}})
    kept = searching.search_params(energy, plan, rows, "by hand")
    assert kept.params["alpha"] == 3.0
    assert kept.search.reason == "no search for parameters: the run sets all parameters itself"
    assert tracking.find_run(energy, "training", "by hand") is None


def test_too_few_rows_for_folds_are_no_search(energy: UseCase, planned: TrainingPlan, rows: TrainingSet) -> None:
    strict = energy.model_copy(update={"gate": energy.gate.model_copy(update={"min_rows": len(rows.fit)})})
    kept = searching.search_params(strict, planned, rows, "few")
    assert kept.params == planned.params
    assert kept.search.reason == "no search for parameters: 0 of 3 folds have enough rows"


def test_without_a_declared_search_the_plan_stays(energy: UseCase, planned: TrainingPlan, rows: TrainingSet) -> None:
    assert searching.search_params(energy.model_copy(update={"search": None}), planned, rows, "none") is planned


def test_a_set_that_cannot_be_fitted_is_a_failed_trial(energy, planned, rows, monkeypatch) -> None:
    fit = trying.fit_estimator

    def fails_when_weak(use_case, params, *data):
        if params.alpha < 1:
            raise TrainingFailed("the solver diverged", "Scale the inputs.")
        return fit(use_case, params, *data)

    monkeypatch.setattr(trying, "fit_estimator", fails_when_weak)
    plan = planned.model_copy(update={"params": planned.params | {"seed": 8}})
    found = searching.search_params(energy, plan, rows, "failing").search
    assert 0 < found.failed < found.trials == 8
    failed = [run for run in runs_below("failing") if run.info.status == "FAILED"]
    assert {run.data.tags[mlflow_tags.REASON] for run in failed} == {"the solver diverged"}
    assert len(failed) == found.failed


class _Breaks:
    """An estimator that is fitted, and predicts nothing that counts."""

    def __init__(self, how: str) -> None:
        self._how = how

    def predict(self, frame):
        if self._how == "raises":
            raise AttributeError("it has no such method")
        return np.full(len(frame), np.nan)


@pytest.mark.parametrize(
    ("how", "reason", "seed"), [("raises", "it has no such method", 20), ("no numbers", "that are no numbers", 21)]
)
def test_a_set_that_cannot_predict_is_a_failed_trial(energy, planned, rows, monkeypatch, how, reason, seed) -> None:
    fit = trying.fit_estimator

    def breaks_when_weak(use_case, params, *data):
        return (_Breaks(how), 0.0) if params.alpha < 1 else fit(use_case, params, *data)

    monkeypatch.setattr(trying, "fit_estimator", breaks_when_weak)
    plan = planned.model_copy(update={"params": planned.params | {"seed": seed}})
    found = searching.search_params(energy, plan, rows, how).search
    assert 0 < found.failed < found.trials == 8
    failed = [run for run in runs_below(how) if run.info.status == "FAILED"]
    assert all(reason in run.data.tags[mlflow_tags.REASON] for run in failed)


def test_the_runs_own_parameters_must_be_fitted(energy, planned, rows, monkeypatch) -> None:
    def fails(*arguments: object) -> None:
        raise TrainingFailed("the solver diverged", "Scale the inputs.")

    monkeypatch.setattr(trying, "fit_estimator", fails)
    plan = planned.model_copy(update={"params": planned.params | {"seed": 9}})
    with pytest.raises(TrainingFailed, match="diverged"):
        searching.search_params(energy, plan, rows, "broken")


def test_after_the_timeout_nothing_more_is_tried(energy, planned, rows) -> None:
    from datetime import timedelta

    hurried = searching_energy(timeout=timedelta(microseconds=1))
    plan = planned.model_copy(update={"params": planned.params | {"seed": 10}})
    assert searching.search_params(hurried, plan, rows, "hurried").search.trials == 1
