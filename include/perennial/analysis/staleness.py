"""Prices staleness: what a model predicts, on its own holdout, from features that are published sooner or later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.analysis.staleness_report import ALL_VIEWS, Effect, StalenessReport
from perennial.errors import PerennialError, UnknownVersion
from perennial.evaluation import bootstrap, metrics, thresholds
from perennial.evaluation.bootstrap import Interval
from perennial.feature_store import repository
from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.gate.rules import Pair
from perennial.lake import labels
from perennial.partitions import Cadence
from perennial.registry import ledger, model_loading
from perennial.reproduce import recipe
from perennial.reproduce.recipe import Recipe
from perennial.training import estimator, training_set
from perennial.use_case import UseCase

#: How long a partition is; of a month it is thirty days, because a grid has one length.
_PARTITIONS = {
    Cadence.HOURLY: timedelta(hours=1),
    Cadence.DAILY: timedelta(days=1),
    Cadence.WEEKLY: timedelta(days=7),
    Cadence.MONTHLY: timedelta(days=30),
}
#: Called with the view that comes next, how many of all retrievals are done, and how many there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Trial:
    """The recipe of a version, to be tried on features of any freshness.

    Attributes:
        entities: Its training set without features; only the holdout where nothing is fitted.
        features: View -> which of its features the version was fitted on.
        refit: Whether the estimator is fitted again on the features that it is tried on.
    """

    use_case: UseCase
    recorded: Recipe
    entities: pa.Table
    columns: list[str]
    features: Mapping[str, list[str]]
    refit: bool

    def holdout(self, publications: Mapping[str, Publication]) -> tuple[pd.DataFrame, np.ndarray]:
        """The holdout with features of a freshness, and what is predicted from them.

        Args:
            publications: View -> when its rows count as published; those not named as they declare.
        """
        rows = repository.historical_features(
            self.use_case.feature_service,
            self.entities,
            snapshots=self.recorded.data.snapshots,
            features=self.columns,
            publications=publications,
        )
        start = self.recorded.data.holdout_start
        holdout = training_set.rows_to_judge(rows, start).to_pandas()
        if not self.refit:
            return holdout, model_loading.load(self.use_case, self.recorded.version)(holdout)
        fit = training_set.rows_to_fit(rows, start).to_pandas()
        params = recipe.estimator_params(self.use_case, self.recorded)
        model, _ = estimator.fit_estimator(self.use_case, params, fit, self.columns)
        return holdout, model_loading.predictor(self.use_case, model)(holdout[self.columns])

    def missing(self, holdout: pd.DataFrame, view: str) -> float:
        """The share of the holdout's values of a view, or of all views, that are null."""
        names = [name for each, names in self.features.items() if view in (each, ALL_VIEWS) for name in names]
        return float(holdout[names].isna().to_numpy().mean())


def measure(
    use_case: UseCase,
    version: int | None = None,
    *,
    refit: bool = False,
    progress: Progress = lambda view, done, count: None,
) -> StalenessReport:
    """Predict a version's holdout with features as declared, and with each view's at once, hourly, once a partition.

    Reads only. The rows are those of the version's training set, the features those of the snapshots it was built from.

    Args:
        use_case: Whose model.
        version: The registered version; None: the champion. Of a refit, the version that was evaluated in its place.
        refit: Fit the same estimator again on the features of each freshness, instead of asking the version.
        progress: Called before each retrieval.

    Raises:
        UnknownVersion: there is no champion.
        PerennialError: the version, its run, its training set or a snapshot is gone.
    """
    trial = _trial(use_case, version, refit)
    declared = repository.publications(use_case.feature_service)
    variants = list(_variants(use_case, {view: declared[view] for view in trial.features if view in declared}))
    count = len(variants) + 1
    progress("as declared", 0, count)
    holdout, prediction = trial.holdout({})
    effects = []
    for done, (view, publication) in enumerate(variants, 1):
        progress(view, done, count)
        views = trial.features if view == ALL_VIEWS else (view,)
        other, predicted = trial.holdout(dict.fromkeys(views, publication))
        pair = Pair.of(use_case, holdout, predicted, prediction)
        change, interval = _change(pair)
        effects.append(
            Effect(
                view=view,
                publication=publication,
                metric=_metric(use_case, holdout, predicted),
                change=change,
                low=interval.low if interval else None,
                high=interval.high if interval else None,
                missing=trial.missing(other, view),
            )
        )
    data = trial.recorded.data
    return StalenessReport(
        use_case=use_case.name,
        version=trial.recorded.version,
        refit=refit,
        metric=use_case.gate.metric,
        value=_metric(use_case, holdout, prediction),
        start=data.holdout_start,
        end=data.end,
        rows=len(holdout),
        confidence=use_case.gate.confidence,
        declared={view: declared.get(view, AT_ONCE) for view in trial.features},
        missing={view: trial.missing(holdout, view) for view in trial.features},
        effects=tuple(effects),
    )


def _trial(use_case: UseCase, version: int | None, refit: bool) -> _Trial:
    if version is None:
        champion = ledger.champion(use_case)
        if champion is None:
            raise UnknownVersion(
                f"Use case {use_case.name!r} has no champion in production yet.",
                "Train one, or name a registered version: --version 1.",
            )
        version = champion.model_version
    recorded = recipe.read(use_case, version)
    if recorded.plan.refit_of is not None:  # It has seen every row; the version that was evaluated has a holdout.
        recorded = recipe.read(use_case, recorded.plan.refit_of)
    recipe.check_snapshots(use_case, recorded)
    try:
        rows = recorded.data.table
    except FileNotFoundError as error:
        raise PerennialError(
            f"The training set of version {version} of {use_case.name!r}, {recorded.data.path}, is gone.",
            f"Make it again: `perennial reproduce {use_case.name} {version}` says whether that is possible.",
        ) from error
    columns = recipe.inputs(use_case, recorded)
    views = repository.feature_views(use_case.feature_service)
    features = {
        name: used
        for name, view in views.items()
        if (used := [feature.name for feature in view.features if feature.name in columns])
    }
    served = set(repository.feature_names(use_case.feature_service))
    entities = rows.select([name for name in rows.column_names if name not in served])
    if not refit:
        entities = training_set.rows_to_judge(entities, recorded.data.holdout_start)
    return _Trial(use_case, recorded, entities, columns, features, refit)


def _variants(use_case: UseCase, declared: Mapping[str, Publication]) -> Iterator[tuple[str, Publication]]:
    """Each view, then all together, with each freshness to try that is not the declared one."""
    lengths = dict.fromkeys((timedelta(hours=1), _PARTITIONS[use_case.cadence]))
    tried = [AT_ONCE, *(Publication(length) for length in lengths)]
    for view, publication in declared.items():
        yield from ((view, other) for other in tried if other != publication)
    if len(declared) > 1:
        yield from ((ALL_VIEWS, other) for other in tried if {*declared.values()} != {other})


def _metric(use_case: UseCase, holdout: pd.DataFrame, prediction: np.ndarray) -> float | None:
    label, worth = labels.encoded(use_case, holdout["label"]), thresholds.judged(use_case, holdout, prediction)
    return metrics.evaluate_one(use_case, use_case.gate.metric, label, prediction, worth)


def _change(pair: Pair) -> tuple[float | None, Interval | None]:
    """By how much the metric is better than as declared, and its interval by the gate's blocks if they suffice."""
    if not pair.varies:
        return None, None
    improvement, gate = pair.improvement(), pair.use_case.gate
    change = float(improvement(np.ones((1, pair.blocks)))[0])
    enough = pair.informative_blocks >= max(2, gate.min_blocks)
    return change, bootstrap.interval(improvement, pair.blocks, gate.confidence) if enough else None
