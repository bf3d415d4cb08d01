"""Fits a planned training run's estimator, logs everything to MLflow and registers it as the challenger."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

from perennial import drift
from perennial.dag_names import TRAINING
from perennial.errors import TrainingFailed
from perennial.evaluation import baseline, plots, quality
from perennial.feature_store import repository
from perennial.lake import labels
from perennial.registry import (
    ledger,
    mlflow_artifacts,
    mlflow_tags,
    model_files,
    model_format,
    model_loading,
    provenance,
    tracking,
    uncommitted_changes,
)
from perennial.registry.model_loading import Predict
from perennial.registry.run_files import RunFiles
from perennial.training import planning
from perennial.training.estimator import fit_estimator
from perennial.training.planning import TrainingPlan
from perennial.training.training_set import TrainingSet
from perennial.use_case import TrainingParams, UseCase


def feature_columns(use_case: UseCase) -> list[str]:
    """The model's inputs, in their fixed order: request-time facts, then the feature service's features."""
    features = [*use_case.examples.request_features, *repository.feature_names(use_case.feature_service)]
    return [name for name in dict.fromkeys(features) if name not in use_case.retired_features]


def fit_challenger(use_case: UseCase, planned: TrainingPlan, data: TrainingSet, made_by: str) -> int:
    """Fit the use case's estimator, log the candidate and register it; return its version.

    A refit is fitted on the holdout, too, so nothing can be measured on it: its drift profile counts all rows, but the
    importance of the features and the predictions are those of the version that was evaluated in its place.

    Args:
        use_case: Whose estimator.
        planned: Parameters and window, and whose refit it is.
        data: The training set of that window.
        made_by: Id of the Airflow run. One Airflow run makes one version: run again after a kill, the same MLflow run
            is completed; run again after it was registered, nothing is done.

    Raises:
        BadFeatures: the weights that `examples.weight` names are missing or no weights.
        TrainingFailed: `build()` or the fit raises, or the model holds types that are not trusted.
    """
    registered = tracking.version_made_by(use_case, made_by)
    if registered is not None:
        return registered
    params = planning.validate_params(use_case, planned.params)
    columns, rows, name = feature_columns(use_case), data, f"{planned.first}..{planned.last}"
    if planned.refit_of is not None:
        columns, rows = model_loading.inputs(use_case, planned.refit_of), data.without_holdout()
        name = f"{name}, refit of v{planned.refit_of}"
    files = RunFiles()
    with tracking.run(use_case, TRAINING, made_by, name) as active:
        run_id = active.info.run_id
        if complete := model_files.written(use_case, run_id):  # By an attempt that was killed before it registered it.
            return int(tracking.register(use_case, complete[0].address, run_id).version)
        _log_inputs(use_case, planned, rows, params, files)
        # A fit seldom fills all cores, and logging mostly waits: what needs neither is done aside.
        with ThreadPoolExecutor(max_workers=1) as aside:
            profiling = aside.submit(drift.Profile.of_features, use_case, rows.fit_table, columns)
            model, seconds = fit_estimator(use_case, params, rows.fit, columns)
            predict, importance = _evaluated(use_case, planned, model)
            completing = aside.submit(
                profiling.result().with_model, use_case, rows.fit, data.holdout, predict, importance
            )
            mlflow.log_metric("fit_seconds", seconds)
            mlflow.set_tag(mlflow_tags.ALGORITHM, _algorithm(model))
            # After the fit: it may have loaded libraries with threads of their own.
            files.log_json(
                provenance.of_training(use_case, columns).model_dump(mode="json"), mlflow_artifacts.PROVENANCE
            )
            if planned.refit_of is None:
                _log_quality(use_case, data, columns, predict, files)
            model_id, uri = _log_model(use_case, model, rows.fit[columns].head(100), files)
            profile = completing.result()
        plots.log_importance(profile.importance)
        _log_profile(profile, files)
        # First: a registered version always has a record of its files.
        model_files.record(use_case, planned.last, run_id, model_id, files.digests)
        return int(tracking.register(use_case, uri, run_id).version)


def _evaluated(use_case: UseCase, planned: TrainingPlan, model: Any) -> tuple[Predict, dict[str, float] | None]:
    """The model that can be measured on the holdout, and the importance of its inputs where that was measured before.

    That is the one just fitted; in the place of a refit, the version that it is made of.
    """
    if planned.refit_of is None:
        return model_loading.predictor(use_case, model), None
    profile = drift.Profile.load(use_case, tracking.run_of(use_case, planned.refit_of))
    return model_loading.load(use_case, planned.refit_of), profile.importance


def _algorithm(model: Any) -> str:
    """The kind of estimator, for people: of a pipeline its steps."""
    steps = [step for _, step in getattr(model, "steps", [("", model)])]
    return ", then ".join(type(step).__name__ for step in steps)


def _log_inputs(
    use_case: UseCase, planned: TrainingPlan, data: TrainingSet, params: TrainingParams, files: RunFiles
) -> None:
    """Everything that is needed to train this model again."""
    changed = uncommitted_changes.collect()
    champion = ledger.champion(use_case)
    mlflow.log_params({name: value for name, value in params.model_dump().items() if value is not None})
    mlflow.set_tags(
        {
            mlflow_tags.GIT_COMMIT: provenance.code_version(),
            mlflow_tags.USE_CASE: use_case.name,
            mlflow_tags.OWNER: use_case.owner,
            mlflow_tags.LOCK_DIGEST: provenance.lock_digest(),
            mlflow_tags.WINDOW: f"{planned.first}..{planned.last}",
            mlflow_tags.TRAINING_SET: data.digest,
            mlflow_tags.TRAINING_SET_PATH: data.path,
            mlflow_tags.HOLDOUT_START: data.holdout_start.isoformat(),
            mlflow_tags.END: data.end.isoformat(),
            mlflow_tags.SNAPSHOTS: json.dumps(data.snapshots, sort_keys=True),
            mlflow_tags.REQUESTS: json.dumps(planned.requests),
            mlflow_tags.CODE_CHANGES: changed.digest if changed else "",
            mlflow_tags.CHAMPION_THEN: str(champion.model_version if champion else ""),
        }
    )
    mlflow.log_metrics({"rows_fit": len(data.fit), "rows_holdout": len(data.holdout)})
    if planned.refit_of is not None:
        mlflow.set_tag(mlflow_tags.REFIT_OF, planned.refit_of)
    if use_case.examples.weight is not None:
        mlflow.set_tag(mlflow_tags.WEIGHT, use_case.examples.weight)
    files.log_json(data.model_dump(mode="json"), mlflow_artifacts.TRAINING_SET)
    files.log_json(planned.model_dump(mode="json"), mlflow_artifacts.PLAN)
    if changed is not None:
        files.log_text(changed.diff, mlflow_artifacts.CODE_DIFF)
        files.log_json(changed.model_dump(mode="json", exclude={"diff"}), mlflow_artifacts.CODE_CHANGES)
    dataset = MetaDataset(  # type: ignore[abstract]
        source=resolve_dataset_source(data.path) if "://" in data.path else LocalArtifactDatasetSource(data.path),
        name=f"{use_case.name} {planned.first}..{planned.last}",
        digest=data.digest[:36],
    )
    mlflow.log_input(dataset, context="training")


def _log_quality(use_case: UseCase, data: TrainingSet, columns: list[str], predict: Any, files: RunFiles) -> None:
    """Metrics on the holdout, whole and by slice, beside the baseline model, with the plots people look at."""
    label, fitted = (labels.encoded(use_case, rows["label"]) for rows in (data.holdout, data.fit))
    prediction, constant = predict(data.holdout[columns]), baseline.constant_predictions(use_case, fitted, len(label))
    measured = quality.measure(use_case, data.holdout, prediction, constant)
    logged = {f"holdout_{name}": one.value for name, one in measured.metrics.items()}
    logged |= {f"trivial_{name}": value for name, value in measured.baseline.items()}
    mlflow.log_metrics(logged)
    files.log_json(measured.model_dump(mode="json"), mlflow_artifacts.QUALITY)
    plots.log_quality(use_case, label, prediction)


def _log_model(use_case: UseCase, model: Any, sample: pd.DataFrame, files: RunFiles) -> tuple[str, str]:
    """Log the model with signature and example, in a format that cannot run code on load; return its id and address."""
    # Whole numbers are declared as floats: a missing one arrives as a float when the model serves.
    sample = sample.astype(dict.fromkeys(sample.select_dtypes("integer"), float))
    try:
        return files.log_model(
            model,
            serialization_format="skops",
            skops_trusted_types=sorted(model_format.trusted_types(use_case)),
            signature=infer_signature(sample, model_loading.predictor(use_case, model)(sample)),
            input_example=sample.head(5),
            # Named here: MLflow would otherwise load the model in a new process to find out, for ten seconds.
            pip_requirements=model_format.requirements(use_case),
            pyfunc_predict_fn="predict" if use_case.task == "regression" else "predict_proba",
        )
    except MlflowException as error:
        if "untrusted types" not in str(error):
            raise
        raise TrainingFailed(
            f"Use case {use_case.name!r}: the model holds types that are not known to be safe to load:"
            f" {str(error).rpartition('file: ')[2]}",
            f"If you trust them, add them to trusted_types in include/use_cases/{use_case.name}/use_case.py.",
        ) from error


def _log_profile(profile: drift.Profile, files: RunFiles) -> None:
    """Log the training profile, which monitoring compares with."""
    with tempfile.TemporaryDirectory() as folder:
        profile.save(Path(folder))
        files.log_folder(Path(folder), mlflow_artifacts.DRIFT_PROFILE)
