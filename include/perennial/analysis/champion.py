"""The version of a use case's model that serves, loaded, with its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from perennial import discovery
from perennial._common.heavy_imports import fast_imports
from perennial.errors import UnknownVersion
from perennial.registry import ledger

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class LoadedChampion:
    """A champion that can predict.

    Attributes:
        use_case: The use case's name.
        version: Its number in the MLflow registry.
        run_id: The MLflow run that trained it.
        since: When it became champion (UTC, processing time).
        effective_from: Event time (UTC) from which it may predict.
        actor: Who decided: `gate`, or a person.
        reason: Why, in a sentence.
        params: The training run's parameters, as text.
        metrics: What the training run logged, the metrics on the holdout among them (`holdout_roc_auc`): of a refit,
            those of the version that was evaluated in its place.
    """

    use_case: str
    version: int
    run_id: str
    since: datetime
    effective_from: datetime
    actor: str
    reason: str
    params: dict[str, str]
    metrics: dict[str, float]
    _predict: Callable[[pd.DataFrame], np.ndarray] = field(repr=False)

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Predict rows that hold the model's features, as `perennial.training_set` and `features_as_of` give them.

        Returns:
            (n,) float64: probabilities of 1 for a binary use case, else values.

        Raises:
            PerennialError: a feature that the model was trained on is missing.
        """
        return self._predict(rows)


def champion(use_case: str) -> LoadedChampion:
    """The version of a use case that serves now, by the ledger, loaded from the registry.

    Args:
        use_case: Its name.

    Raises:
        UnknownUseCase: there is no such use case.
        UnknownVersion: no version is in production yet.
        PerennialError: the model is stored in a format that can run code on load, and settings do not allow that.
        ServiceUnavailable: the lake or MLflow cannot be reached.
    """
    with fast_imports():
        from perennial.registry import model_loading, tracking

    declared = discovery.load(use_case)
    entry = ledger.champion(declared)
    if entry is None:
        raise UnknownVersion(
            f"Use case {use_case!r} has no champion in production yet.",
            f"Train one: `perennial trigger {use_case} training --wait`.",
        )
    run = tracking.training_run(declared, entry.model_version)
    evaluated = ledger.evaluated_for(ledger.entries(declared), entry.model_version)
    measured = tracking.training_run(declared, evaluated).metrics if evaluated is not None else {}
    holdout = {name: value for name, value in measured.items() if name.startswith("holdout_")}
    return LoadedChampion(
        use_case=use_case,
        version=entry.model_version,
        run_id=run.id,
        since=entry.recorded_at,
        effective_from=entry.effective_from,
        actor=entry.actor,
        reason=entry.reason,
        params=dict(run.params),
        metrics=holdout | dict(run.metrics),
        _predict=model_loading.load(declared, entry.model_version),
    )
