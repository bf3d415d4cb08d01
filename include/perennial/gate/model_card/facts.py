"""Gathers what a model card says from MLflow and the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perennial import lake_cache
from perennial.errors import PerennialError
from perennial.evaluation import earnings, regret
from perennial.evaluation.earnings import Earnings
from perennial.evaluation.quality import Quality
from perennial.evaluation.regret import Regret
from perennial.gate.decision import GateDecision
from perennial.registry import ledger, mlflow_artifacts, mlflow_tags, run_documents, tracking
from perennial.use_case import UseCase

_RECORDS = (*mlflow_artifacts.TRAINING_DOCUMENTS, mlflow_artifacts.CODE_CHANGES)


@dataclass(frozen=True)
class Feature:
    """One input of the model, or its predictions.

    Attributes:
        name: The column.
        importance: Its feature importance, 0 to 1; None where that is not recorded.
        baseline: How far a window of the training data was at most from all other training rows.
        method: The distance that monitoring measures its drift by.
    """

    name: str
    importance: float | None
    baseline: float | None
    method: str


@dataclass(frozen=True)
class Card:
    """What is recorded of one version of a use case's model; None, or empty, where nothing is.

    Attributes:
        use_case: The use case as it is now.
        version: The registered version.
        run_id, run_url: Of the MLflow run that trained it.
        algorithm: The class of the estimator; of a pipeline, of its steps.
        commit: The code's git commit, with `+dirty` when the code differed from it.
        window: First and last partition that it was trained on.
        tags: Of the MLflow run.
        params: Of the training run.
        features: The model's inputs and its predictions.
        rows_fit, rows_holdout: Rows fitted on and rows of the holdout.
        training_set, provenance, changes: As the training logged them (`training_set.json` and so on).
        refit_of: The version that was evaluated in its place; None: it was evaluated itself.
        holdout_start: Event time, ISO 8601, from which on rows were held out: of a refit, from that version.
        quality: The metrics on the holdout; of a refit, those of that version.
        gate: The gate's decision.
        regret: Its production performance beside that of models which served nobody; None: it was not measured.
        earnings: What its decisions were worth, by month; None: no value is declared, or none was measured.
        cost: What its training run cost, in words; empty: it was not recorded, as before the run has ended.
        history: The ledger's rows about this version, and about the one that replaced it; oldest first.
    """

    use_case: UseCase
    version: int
    run_id: str
    run_url: str
    algorithm: str
    commit: str
    window: str
    tags: dict[str, str]
    params: dict[str, Any]
    features: list[Feature]
    rows_fit: int | None
    rows_holdout: int | None
    training_set: dict[str, Any]
    provenance: dict[str, Any]
    changes: dict[str, Any]
    refit_of: int | None
    holdout_start: str | None
    quality: Quality | None
    gate: GateDecision | None
    history: list[ledger.Entry]
    regret: Regret | None = None
    earnings: Earnings | None = None
    cost: str = ""

    @property
    def final_entry(self) -> ledger.Entry | None:
        """The ledger's row of the decision on this version; None: not decided yet."""
        return ledger.decision_on(self.history, self.version)

    @property
    def has_intervals(self) -> bool:
        """Whether there were enough blocks of time for intervals of the metrics."""
        return self.quality is not None and any(one.low is not None for one in self.quality.metrics.values())

    @property
    def rows(self) -> int:
        """Labelled examples of the window."""
        return (self.rows_fit or 0) + (0 if self.refit_of else self.rows_holdout or 0)

    @property
    def unlabelled(self) -> int | None:
        """Examples of the window whose label had not matured by its end, and which it was therefore not trained on."""
        return self.training_set.get("unlabelled")


def gather(use_case: UseCase, version: int) -> Card:
    """Read all that is recorded of a version.

    Args:
        use_case: Whose model.
        version: The registered version.

    Raises:
        PerennialError: there is no such version, or its run is gone.
    """
    run = tracking.training_run(use_case, version)
    records = run_documents.read_json(use_case, run.id, _RECORDS)
    tags, numbers = run.tags, run.metrics
    refit_of = records.get(mlflow_artifacts.PLAN, {}).get("refit_of")
    evaluated, quality = run, records.get(mlflow_artifacts.QUALITY)
    if refit_of is not None:
        evaluated = tracking.training_run(use_case, refit_of)
        quality = run_documents.read_json(use_case, evaluated.id, _RECORDS).get(mlflow_artifacts.QUALITY)
    rows_holdout = _whole(evaluated.metrics.get("rows_holdout"))
    return Card(
        use_case=use_case,
        version=version,
        run_id=run.id,
        run_url=run.page,
        algorithm=tags.get(mlflow_tags.ALGORITHM, ""),
        commit=tags.get(mlflow_tags.GIT_COMMIT, "unknown"),
        window=tags.get(mlflow_tags.WINDOW, "unknown"),
        tags=tags,
        params=records.get(mlflow_artifacts.PLAN, {}).get("params", {}),
        features=_features(use_case, run.id, rows_holdout),
        rows_fit=_whole(numbers.get("rows_fit")),
        rows_holdout=rows_holdout,
        training_set=records.get(mlflow_artifacts.TRAINING_SET, {}),
        provenance=records.get(mlflow_artifacts.PROVENANCE, {}),
        changes=records.get(mlflow_artifacts.CODE_CHANGES, {}),
        refit_of=refit_of,
        holdout_start=evaluated.tags.get(mlflow_tags.HOLDOUT_START),
        quality=Quality(**quality) if quality else None,
        gate=GateDecision(**records[mlflow_artifacts.GATE]) if mlflow_artifacts.GATE in records else None,
        history=[e for e in ledger.entries(use_case) if version in ledger.versions_of(e)],
        regret=_regret(use_case, version),
        earnings=_earnings(use_case, version),
        cost=run.cost,
    )


def _regret(use_case: UseCase, version: int) -> Regret | None:
    """On the partitions that the version scored."""
    tables = use_case.tables
    rows = lake_cache.records([tables.metrics, tables.backtests])
    live = regret.live(rows[tables.metrics], use_case.gate.metric, version)
    return regret.of(use_case, live, rows[tables.backtests])


def _earnings(use_case: UseCase, version: int) -> Earnings | None:
    """On the partitions that the version scored."""
    name = use_case.tables.metrics
    return earnings.of(use_case, lake_cache.records([name])[name], version) if use_case.value is not None else None


def _features(use_case: UseCase, run_id: str, rows: int | None) -> list[Feature]:
    """The model's inputs and its predictions, from its drift profile.

    Args:
        use_case: Whose drift policy applies.
        run_id: The MLflow run that logged the profile.
        rows: How large a window is taken to be: a small one is farther from the rest by chance alone.
    """
    from perennial.drift import Profile
    from perennial.drift.distances import VALUES
    from perennial.drift.limits import distance_method, limits

    try:
        profile = Profile.load(use_case, run_id)
    except PerennialError:
        return []
    baselines = limits(use_case, profile, rows or 0).most
    return [
        Feature(
            name=name,
            importance=profile.importance.get(name),
            baseline=baselines[name][VALUES],
            method=distance_method(use_case.drift, name, column.bins),
        )
        for name, column in profile.columns.items()
    ]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
