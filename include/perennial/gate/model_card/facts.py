"""What a model card says, gathered from MLflow and the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perennial.errors import PerennialError
from perennial.evaluation.quality import Quality
from perennial.gate import GateDecision
from perennial.registry import ledger, mlflow_tags, tracking
from perennial.use_case import UseCase

_RECORDS = (
    *("plan.json", "training_set.json", "provenance.json", "quality.json", "gate.json"),
    "code/changes.json",
)


@dataclass(frozen=True)
class Feature:
    """One input of the model.

    Attributes:
        importance: Its share in the model's skill, 0 to 1; None where that is not recorded.
        spread: How far a window of the training data was from all other training rows, at most: what is normal.
        method: The distance that monitoring judges it by.
    """

    name: str
    importance: float | None
    spread: float | None
    method: str


@dataclass(frozen=True)
class Card:
    """What is known of one version of a use case's model; None, or empty, where nothing is recorded.

    Attributes:
        plan, training_set, provenance, gate: As the training and the gate logged them (`plan.json` and so on).
        history: The ledger's rows about this version, and about the one that took its place; oldest first.
        window: First and last partition that it was trained on.
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
    quality: Quality | None
    gate: dict[str, Any]
    history: list[ledger.Entry]

    @property
    def decision(self) -> ledger.Entry | None:
        """The ledger's row of the decision on this version; None: not decided yet."""
        return ledger.decision_on(self.history, self.version)

    @property
    def has_intervals(self) -> bool:
        """Whether there were enough blocks of time to say how sure a metric is."""
        return self.quality is not None and any(one.low is not None for one in self.quality.metrics.values())

    @property
    def unlabelled(self) -> int | None:
        """Examples of the window whose label had not matured by its end, and which it was therefore not trained on."""
        return self.training_set.get("unlabelled")


def _features(use_case: UseCase, run_id: str, rows: int | None) -> list[Feature]:
    """The model's inputs and its predictions, as its drift profile knows them.

    Args:
        rows: How large a window is taken to be: a small one is farther from the rest by chance alone.
    """
    from perennial.drift import Profile
    from perennial.drift.distances import VALUES
    from perennial.drift.limits import distance_method, limits

    try:
        profile = Profile.load(run_id)
    except PerennialError:
        return []
    normal = limits(use_case, profile, rows or 0).most
    return [
        Feature(
            name, profile.importance.get(name), normal[name][VALUES], distance_method(use_case.drift, name, column.bins)
        )
        for name, column in profile.columns.items()
    ]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def gather(use_case: UseCase, version: int) -> Card:
    """Read all that is recorded of a version.

    Raises:
        PerennialError: there is no such version, or its run is gone.
    """
    run = tracking.training_run(use_case, version)
    held = tracking.recorded(run.id, _RECORDS)
    provenance = held.get("provenance.json", {})
    tags, numbers = run.tags, run.metrics
    measured = held.get("quality.json")
    return Card(
        use_case=use_case,
        version=version,
        run_id=run.id,
        run_url=run.page,
        algorithm=tags.get(mlflow_tags.ALGORITHM, ""),
        commit=tags.get(mlflow_tags.GIT_COMMIT, "unknown"),
        window=tags.get(mlflow_tags.WINDOW, "unknown"),
        tags=tags,
        params=held.get("plan.json", {}).get("params", {}),
        features=_features(use_case, run.id, _whole(numbers.get("rows_holdout"))),
        rows_fit=_whole(numbers.get("rows_fit")),
        rows_holdout=_whole(numbers.get("rows_holdout")),
        training_set=held.get("training_set.json", {}),
        provenance=provenance,
        changes=held.get("code/changes.json", {}),
        quality=Quality(**measured) if measured else None,
        gate=GateDecision(**held["gate.json"]).model_dump(mode="json") if "gate.json" in held else {},
        history=[e for e in ledger.entries(use_case) if version in (e.model_version, e.previous_version)],
    )
