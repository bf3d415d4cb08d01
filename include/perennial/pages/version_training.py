"""What MLflow recorded of a version's training: window, training set, parameters, code, packages, quality."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from perennial.errors import ServiceUnavailable
from perennial.registry import mlflow_artifacts, mlflow_records, mlflow_tags, model_files
from perennial.registry.deployments import NOTHING
from perennial.registry.mlflow_records import MlflowRun
from perennial.use_case import UseCase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRecord:
    """The run that made a version, and those of its documents that are there, by their names."""

    run: MlflowRun
    documents: dict[str, Any]


def of(use_case: UseCase, run_id: str | None) -> tuple[TrainingRecord | None, str]:
    """What MLflow holds of a run, and what of that is not there, or is not what the training wrote.

    Args:
        use_case: Whose training run.
        run_id: The MLflow run; None: none is known.
    """
    changed: list[str] = []
    try:
        run = mlflow_records.quick.run(run_id) if run_id else None
        if run is None or run.is_deleted:
            return None, "MLflow no longer has the run that trained it: it was deleted."
        written = model_files.written(use_case, run.id)

        def is_unchanged(name: str, content: bytes) -> bool:
            digests = {files.files[name] for files in written if name in files.files}
            if not written or name in mlflow_artifacts.ADDED_LATER or model_files.digest(content) in digests:
                return True
            changed.append(name)
            return False

        documents = mlflow_records.quick.documents(run.id, mlflow_artifacts.TRAINING_DOCUMENTS, is_unchanged)
        is_or_are = "is" if len(changed) == 1 else "are"
        note = f"{', '.join(changed)} in MLflow {is_or_are} not what the training wrote." if changed else ""
        return TrainingRecord(run, documents), note
    except ServiceUnavailable as error:
        return None, error.problem


def airflow_run(made: TrainingRecord | None) -> tuple[str, str] | None:
    """The DAG and the run in Airflow that made it; None: not recorded, or not made by Airflow."""
    maker = made.run.tags.get(mlflow_tags.MADE_BY, "") if made else ""
    dag, _, run = maker.removesuffix(mlflow_tags.BY_REFIT).partition("/")
    return (dag, run) if run else None


def view(record: TrainingRecord) -> dict[str, Any]:
    """What the page shows of it; what is not recorded, or not in the form that a training writes, is None or empty."""
    try:
        return _view(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Whoever can write to MLflow can write anything there.
        log.warning("What MLflow recorded of run %s cannot be read", record.run.id, exc_info=True)
        return _view(TrainingRecord(replace(record.run, tags={}, params={}, metrics={}), {}))


def _view(record: TrainingRecord) -> dict[str, Any]:
    tags, metrics, documents = record.run.tags, record.run.metrics, record.documents
    training_set: Mapping[str, Any] = documents.get(mlflow_artifacts.TRAINING_SET, {})
    provenance: Mapping[str, Any] = documents.get(mlflow_artifacts.PROVENANCE, {})
    environment = provenance.get("environment", {})
    params = {**documents.get(mlflow_artifacts.PLAN, {}).get("params", {}), **record.run.params}
    return {
        "window": tags.get(mlflow_tags.WINDOW),
        "training_set": training_set,
        **{name: _moment(training_set.get(name)) for name in ("start", "holdout_start", "end")},
        "snapshots": training_set.get("snapshots", {}),
        "rows_fit": metrics.get("rows_fit"),
        "rows_holdout": metrics.get("rows_holdout"),
        "fit_seconds": metrics.get("fit_seconds"),
        "cost": record.run.cost,
        "algorithm": tags.get(mlflow_tags.ALGORITHM),
        "params": {name: _text(value) for name, value in params.items() if name != "seed"},
        "seed": params.get("seed"),
        "requests": json.loads(tags.get(mlflow_tags.REQUESTS) or "[]"),
        "commit": provenance.get("commit") or tags.get(mlflow_tags.GIT_COMMIT),
        "changes": tags.get(mlflow_tags.CODE_CHANGES),
        "environment": {
            name: environment[name] for name in ("python", "platform", "processor", "lock") if environment.get(name)
        },
        "packages": environment.get("packages", {}),
        "packages_page": record.run.artifact_page(mlflow_artifacts.PROVENANCE) if provenance else None,
        "quality": _quality(documents.get(mlflow_artifacts.QUALITY)),
    }


def _quality(quality: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What its predictions of the whole holdout were worth, beside the trivial baseline; and of its slices."""
    if not quality:
        return None
    return {
        "rows": quality["rows"],
        "blocks": quality["blocks"],
        "confidence": quality["confidence"],
        "metrics": [
            {"name": name, **measured, "baseline": quality["trivial"].get(name)}
            for name, measured in quality["metrics"].items()
        ],
        "slices": [
            {
                "column": each["column"],
                "value": each["value"],
                "rows": each["rows"],
                "measured": next(iter(each["metrics"].values()), None),
            }
            for each in quality["slices"]
        ],
    }


def _moment(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def _text(value: Any) -> str:
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
