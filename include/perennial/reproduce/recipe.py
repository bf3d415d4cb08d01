"""Reads what was recorded of a training, and checks that it can still be done again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from perennial import lake
from perennial.errors import PerennialError
from perennial.registry import mlflow_artifacts, mlflow_tags, model_loading, run_documents, tracking
from perennial.registry.provenance import Provenance
from perennial.training import planning
from perennial.training.planning import TrainingPlan
from perennial.training.training_set import TrainingSet
from perennial.use_case import TrainingParams, UseCase

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIRTY = "+dirty"


@dataclass(frozen=True)
class Recipe:
    """What a version was made from.

    Attributes:
        provenance: Code and environment to the file and package; None: trained before that was recorded.
        commit: The git commit, without `+dirty`; empty: it was not trained in a checkout.
        is_dirty: Whether the code differed from that commit.
        changes_digest: SHA-256 of the difference that the run keeps; empty: it keeps none.
    """

    version: int
    run_id: str
    plan: TrainingPlan
    data: TrainingSet
    provenance: Provenance | None
    commit: str
    is_dirty: bool
    lock: str
    changes_digest: str
    changes: dict[str, Any]


def read(use_case: UseCase, version: int) -> Recipe:
    """Read what was recorded of a version.

    Args:
        use_case: Whose model.
        version: The registered version.

    Raises:
        PerennialError: the version, its run, or what the run recorded is gone.
    """
    run = tracking.training_run(use_case, version)
    required = (mlflow_artifacts.PLAN, mlflow_artifacts.TRAINING_SET)
    documents = run_documents.read_json(
        use_case, run.id, (*required, mlflow_artifacts.PROVENANCE, mlflow_artifacts.CODE_CHANGES)
    )
    absent = [name for name in required if name not in documents]
    if absent:
        raise PerennialError(
            f"The MLflow run {run.id} of version {version} of model {use_case.name!r} no longer holds"
            f" {' and '.join(absent)}, which say what it was trained on.",
            "Restore MLflow's artifacts from a backup.",
        )
    made = Provenance(**documents[mlflow_artifacts.PROVENANCE]) if mlflow_artifacts.PROVENANCE in documents else None
    # Tags only where nothing else is recorded: whoever can write to MLflow can write them.
    commit, dirty, _ = (made.commit if made else run.tags.get(mlflow_tags.GIT_COMMIT, "")).partition(_DIRTY)
    return Recipe(
        version=version,
        run_id=run.id,
        plan=TrainingPlan(**documents[mlflow_artifacts.PLAN]),
        data=TrainingSet(**documents[mlflow_artifacts.TRAINING_SET]),
        provenance=made,
        # It goes into git's arguments.
        commit=commit if _COMMIT.fullmatch(commit) else "",
        is_dirty=bool(dirty),
        lock=made.environment.lock if made else run.tags.get(mlflow_tags.LOCK_DIGEST, "unknown"),
        changes_digest=run.tags.get(mlflow_tags.CODE_CHANGES, ""),
        changes=documents.get(mlflow_artifacts.CODE_CHANGES, {}),
    )


def inputs(use_case: UseCase, recipe: Recipe) -> list[str]:
    """The columns that a version was fitted on, in their order.

    Args:
        use_case: Whose model.
        recipe: What was recorded of the version.
    """
    return recipe.provenance.columns if recipe.provenance else model_loading.inputs(use_case, recipe.version)


def estimator_params(use_case: UseCase, recipe: Recipe) -> TrainingParams:
    """The parameters that a version's estimator was built with.

    Not those of the run (its window, its approval): the window is recorded itself.

    Args:
        use_case: Whose model.
        recipe: What was recorded of the version.

    Raises:
        InvalidParams: the use case does not know one of them any more, or its value.
    """
    names = {"seed", *recipe.plan.params} - (TrainingParams.model_fields.keys() - {"seed"})
    return planning.validate_params(use_case, {name: recipe.plan.params[name] for name in names})


def check_snapshots(use_case: UseCase, recipe: Recipe) -> None:
    """Refuse a version whose lake snapshots are gone.

    Args:
        use_case: Whose model.
        recipe: What was recorded of the version.

    Raises:
        PerennialError: naming the tables and snapshots.
    """
    gone = []
    for name, number in sorted(recipe.data.snapshots.items()):
        table = lake.table(name)
        if table is None or table.snapshot_by_id(number) is None:
            gone.append(f"{name} (snapshot {number})")
    if gone:
        raise PerennialError(
            f"Version {recipe.version} of {use_case.name!r} cannot be built again: the lake no longer holds"
            f" {', '.join(gone)}.",
            f"The snapshots have expired, or the table was dropped: restore the lake from a backup. The rows themselves"
            f" were kept as {recipe.data.path}.",
        )
