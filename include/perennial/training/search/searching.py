"""Searches for parameters that are better than a training run's own, and puts those it found into the plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from perennial.dag_names import TRAINING
from perennial.registry import provenance, tracking
from perennial.services import postgres
from perennial.training.fit import feature_columns
from perennial.training.planning import TrainingPlan
from perennial.training.search import choosing
from perennial.training.search import study as studies
from perennial.training.search.folds import split
from perennial.training.search.outcome import SearchOutcome
from perennial.training.search.study import Study
from perennial.training.search.trial_runs import TrialRuns
from perennial.training.search.trying import Trying, fitted_on_each
from perennial.training.training_set import TrainingSet
from perennial.use_case import Search, UseCase

log = logging.getLogger(__name__)

#: Parameters of a run that say what it is fitted on and what follows, not what the estimator is.
_OF_RUN = {"window_start", "window_end", "force", "require_approval"}


def search_params(use_case: UseCase, planned: TrainingPlan, data: TrainingSet, made_by: str) -> TrainingPlan:
    """Search for parameters of the estimator that are better than the plan's own, if the use case declares a search.

    The plan's own parameters are tried first. Others take their place only if they are significantly better on the
    folds of the rows to fit on; the holdout is not read. A parameter that the run sets to other than its default is
    what a person wants, and is not searched. Killed and run again, it goes on where it was; run again later on the same
    rows, code and space, it tries nothing that it has tried.

    Args:
        use_case: It declares what is searched, and the gate by whose metric sets of parameters are compared.
        planned: The run's own parameters, and its window.
        data: The training set of that window.
        made_by: Id of the Airflow run; each trial is an MLflow run below that of this run.

    Returns:
        The plan with the parameters to fit with, and what was found; unchanged where no search is declared.

    Raises:
        TrainingFailed: the estimator cannot be fitted with the run's own parameters.
        ServiceUnavailable: PostgreSQL or MLflow does not answer.
    """
    search = use_case.search
    if search is None:
        return planned
    folds, own = split(use_case, data.fit, search.folds), _own(use_case, search, planned)
    if len(folds) < 2 or not own:
        why = f"{len(folds)} of {search.folds} folds have enough rows" if own else "the run sets all parameters itself"
        return planned.model_copy(update={"search": choosing.no_search(why, len(folds))})
    predict = fitted_on_each(use_case, planned.params, data.fit)
    space = studies.distributions(use_case.params, {name: search.space[name] for name in own})
    name = _study_name(use_case, search, planned, data, own)
    with (
        postgres.advisory_lock("search", name),
        studies.storage() as kept_in,
        tracking.run(use_case, TRAINING, made_by, f"{planned.first}..{planned.last}") as active,
    ):
        study = Study(kept_in, name, space, own, planned.params["seed"])
        runs = TrialRuns(active.info.run_id, name)
        outcome = run_trials(use_case, search, study, Trying(use_case, data.fit, folds, predict), runs)
        runs.log_outcome(outcome, study.trials)
    log.info("%s", outcome.reason)
    return planned.model_copy(update={"params": planned.params | outcome.found, "search": outcome})


def run_trials(
    use_case: UseCase, search: Search, study: Study, trying: Trying, runs: TrialRuns | None = None
) -> SearchOutcome:
    """Try what is left to try, and say what was found.

    Args:
        use_case: Whose gate says how sure an improvement has to be.
        search: How many sets to try, and for how long.
        study: Those that were tried before.
        trying: Fits and compares.
        runs: Where each trial is logged; None: nowhere.

    Raises:
        TrainingFailed: the estimator cannot be fitted with the run's own parameters.
    """
    longest = search.timeout.total_seconds() if search.timeout is not None else float("inf")
    while True:
        trials = study.trials
        if runs is not None:
            runs.log(trials)
        if len(trials) >= search.trials or (trials and choosing.seconds_of(trials) >= longest):
            return choosing.choose(use_case, study.name, trials, len(trying.folds))
        trial = study.ask()
        if not study.repeat(trial):
            trying.try_one(study, trial)


def _own(use_case: UseCase, search: Search, planned: TrainingPlan) -> dict[str, Any]:
    """The run's own values of what is searched: the parameters that it leaves at their default."""
    defaults = use_case.params().model_dump(mode="json")
    return {name: defaults[name] for name in search.space if planned.params[name] == defaults[name]}


def _study_name(
    use_case: UseCase, search: Search, planned: TrainingPlan, data: TrainingSet, own: Mapping[str, Any]
) -> str:
    """Equal for searches whose trials have the same results."""
    gate = use_case.gate
    return studies.name_of(
        use_case.name,
        training_set=data.digest,
        holdout_start=data.holdout_start.isoformat(),
        space=search.model_dump(mode="json", include={"space", "folds"}),
        searched=sorted(own),
        params={name: value for name, value in planned.params.items() if name not in _OF_RUN},
        gate=[gate.metric, str(gate.block), gate.min_rows],
        columns=feature_columns(use_case),
        files=provenance.files(use_case),
        lock=provenance.lock_digest(),
    )
