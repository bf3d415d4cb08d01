"""Logs each trial of a search to MLflow, as a run below the training run, and what the search found to that run."""

from __future__ import annotations

import time
from collections.abc import Sequence

import mlflow
import numpy as np
from mlflow.entities import Metric, Param, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.trial import FrozenTrial, TrialState

from perennial.evaluation import plots
from perennial.registry import mlflow_tags, tracking
from perennial.training.search import study as studies
from perennial.training.search.outcome import SearchOutcome

_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
#: Of an outcome, what is logged as a metric of the training run.
_NUMBERS = ("trials", "pruned", "failed", "folds", "seconds", "improvement")


class TrialRuns:
    """The MLflow runs of the trials below one training run: one for each trial, however often they are logged.

    Args:
        parent: The training run, which is active.
        study: The name of the study.
    """

    def __init__(self, parent: str, study: str) -> None:
        self._parent, self._study = parent, study
        self._client = tracking.client()
        self._experiment = self._client.get_run(parent).info.experiment_id
        self._begun: dict[str, str] = {}
        self._logged: set[str] = set()
        query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and tags.`{mlflow_tags.STUDY}` = '{study}'"
        for run in mlflow.search_runs([self._experiment], query, output_format="list"):
            number = run.data.tags[mlflow_tags.TRIAL]
            self._begun[number] = run.info.run_id
            if RunStatus.is_terminated(RunStatus.from_string(run.info.status)):
                self._logged.add(number)

    def log(self, trials: Sequence[FrozenTrial]) -> None:
        """Log the trials that are not logged yet.

        Args:
            trials: All that have ended, in their order.
        """
        for place, trial in enumerate(trials, start=1):
            number = str(place)
            if number in self._logged:
                continue
            run_id = self._begun.get(number) or self._begin(number, trial)
            now = int(time.time() * 1000)
            folds = [Metric("fold_improvement", value, now, at + 1) for at, value in trial.intermediate_values.items()]
            whole = [Metric("improvement", trial.values[0], now, 0)] if trial.state == TrialState.COMPLETE else []
            seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
            params = [Param(name, str(value)) for name, value in trial.params.items()]
            self._client.log_batch(run_id, [*folds, *whole, Metric("seconds", seconds, now, 0)], params)
            if studies.ERROR in trial.user_attrs:
                self._client.set_tag(run_id, mlflow_tags.REASON, trial.user_attrs[studies.ERROR])
            self._client.set_terminated(run_id, _STATUS[trial.state])
            self._logged.add(number)

    def _begin(self, number: str, trial: FrozenTrial) -> str:
        tags = {MLFLOW_PARENT_RUN_ID: self._parent, mlflow_tags.STUDY: self._study, mlflow_tags.TRIAL: number}
        begun = trial.datetime_start
        run = self._client.create_run(
            self._experiment, int(begun.timestamp() * 1000) if begun else None, tags, f"trial {number}"
        )
        return str(run.info.run_id)

    def log_outcome(self, outcome: SearchOutcome, trials: Sequence[FrozenTrial]) -> None:
        """Log to the training run what the search found, what it cost, and its plot.

        Args:
            outcome: What was found.
            trials: All that have ended, in their order.
        """
        numbers = outcome.model_dump(include=set(_NUMBERS)) | {"found": bool(outcome.found)}
        numbers["improvement_low"] = outcome.low
        mlflow.log_metrics({f"search_{name}": float(value) for name, value in numbers.items() if value is not None})
        mlflow.set_tags({mlflow_tags.STUDY: outcome.study, mlflow_tags.SEARCH: outcome.reason})
        values = np.array([each.values[0] if each.state == TrialState.COMPLETE else np.nan for each in trials])
        names = list(trials[0].params)
        plots.log_search(values, {name: [each.params[name] for each in trials] for name in names})
