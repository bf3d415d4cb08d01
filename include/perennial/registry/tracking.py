"""Writes and finds the MLflow runs of a use case and the versions of its one registered model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from perennial.dag_names import TRAINING, dag_id
from perennial.errors import PerennialError, UnknownVersion
from perennial.registry import artifact_servers, ledger, mlflow_api, mlflow_records, mlflow_tags
from perennial.registry.mlflow_records import MlflowRun, RegisteredVersion
from perennial.settings import settings
from perennial.use_case import UseCase

CHAMPION = "champion"
CHALLENGER = "challenger"

for _name, _value in {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(mlflow_api.task_limits().retries),
    "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{mlflow_api.task_limits().response:.0f}",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}.items():
    os.environ.setdefault(_name, _value)


def client() -> MlflowClient:
    """A client of the configured tracking server."""
    artifact_servers.register()
    mlflow_api.sign_in_client()
    mlflow.set_tracking_uri(settings().mlflow_uri)
    return MlflowClient()


def model_name(use_case: UseCase) -> str:
    """The name of a use case's registered model, which is the environment's own."""
    return settings().own_name(use_case.name)


@contextmanager
def reachable() -> Iterator[None]:
    """Around calls of MLflow: they go to the configured server, and no answer becomes an error that says what to do.

    Raises:
        ServiceUnavailable: the server does not answer.
    """
    client()
    try:
        yield
    except MlflowException as error:
        if error.error_code in {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"} and "API request" in str(error):
            raise mlflow_api.not_answering(str(error)[:300]) from error
        raise


@contextmanager
def run(use_case: UseCase, pipeline: str, made_by: str, name: str) -> Iterator[mlflow.ActiveRun]:
    """The MLflow run of one Airflow run: a new one, or the one that an earlier, killed attempt began.

    Args:
        use_case: The use case.
        pipeline: The experiment is named like its DAG.
        made_by: Id of the Airflow run.
        name: The run's name for people.
    """
    with reachable():
        found = find_run(use_case, pipeline, made_by)
        mlflow.set_experiment(settings().own_name(dag_id(use_case.name, pipeline)))
        arguments: dict[str, Any] = (
            {"run_id": found} if found else {"run_name": name, "tags": {mlflow_tags.MADE_BY: made_by}}
        )
        with mlflow.start_run(**arguments) as active:
            yield active


def find_run(use_case: UseCase, pipeline: str, made_by: str) -> str | None:
    """The id of the MLflow run that the Airflow run `made_by` began, if any.

    Args:
        use_case: The use case.
        pipeline: The experiment is named like its DAG.
        made_by: Id of the Airflow run.
    """
    server = client()
    experiment = server.get_experiment_by_name(settings().own_name(dag_id(use_case.name, pipeline)))
    if experiment is None:
        return None
    quoted = made_by.replace("'", "\\'")
    found = server.search_runs([experiment.experiment_id], f"tags.`{mlflow_tags.MADE_BY}` = '{quoted}'", max_results=1)
    return found[0].info.run_id if found else None


def register(use_case: UseCase, model_uri: str, run_id: str) -> ModelVersion:
    """The registered version of a run's model: made once, however often this runs.

    Args:
        use_case: Names the registered model.
        model_uri: Address of the model that the run logged; not read if the run has a version already.
        run_id: The MLflow run; one version is registered for it at most.
    """
    version = _registered(use_case, run_id) or mlflow.register_model(model_uri, model_name(use_case))
    _complete(use_case, version)
    return version


def _registered(use_case: UseCase, run_id: str) -> ModelVersion | None:
    """The version that was registered of an MLflow run."""
    held = client().search_model_versions(f"name='{model_name(use_case)}' and run_id='{run_id}'")
    return held[0] if held else None


def _complete(use_case: UseCase, version: ModelVersion) -> None:
    """What follows a registration: the alias, and of its run no other model, which a killed attempt may have logged."""
    server = client()
    server.set_registered_model_alias(model_name(use_case), CHALLENGER, version.version)
    run_id = str(version.run_id)
    experiment = server.get_run(run_id).info.experiment_id
    logged = server.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    # By address: the registry does not give back the id of the model that a version was made of.
    if any(model.model_uri == version.source for model in logged):
        for model in logged:
            if model.model_uri != version.source:
                server.delete_logged_model(model.model_id)


def version_made_by(use_case: UseCase, made_by: str) -> int | None:
    """The version that the Airflow run `made_by` registered, if it came so far; it is the challenger then.

    Args:
        use_case: Whose model.
        made_by: Id of the Airflow run that trained it.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    with reachable():
        run_id = find_run(use_case, TRAINING, made_by)
        if run_id is None:
            return None
        version = _registered(use_case, run_id)
        if version is None:
            return None
        _complete(use_case, version)  # It may have been killed right after it had registered it.
        return int(version.version)


def name_challenger(use_case: UseCase, number: int) -> None:
    """Move the alias `challenger` in one step, back from a refit that is not used.

    Args:
        use_case: Whose model.
        number: The version that is being evaluated.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    with reachable():
        client().set_registered_model_alias(model_name(use_case), CHALLENGER, str(number))


def link_refit(use_case: UseCase, evaluated: int, refit: int) -> None:
    """Let the registry say of two versions that one is the refit of the other.

    Args:
        use_case: Whose model.
        evaluated: The version that the gate evaluated.
        refit: The one that was fitted by the same recipe on the whole window.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    with reachable():
        server = client()
        server.set_model_version_tag(model_name(use_case), str(refit), mlflow_tags.REFIT_OF, str(evaluated))
        server.set_model_version_tag(model_name(use_case), str(evaluated), mlflow_tags.REFIT, str(refit))


def run_of(use_case: UseCase, number: int) -> str:
    """The id of the MLflow run that made a registered version.

    Args:
        use_case: Whose model.
        number: The version.

    Raises:
        UnknownVersion: there is no such version.
    """
    return registered_version(use_case, number).run_id


def registered_version(use_case: UseCase, number: int) -> RegisteredVersion:
    """A registered version, as the registry has it.

    Args:
        use_case: Whose model.
        number: The version.

    Raises:
        UnknownVersion: there is no such version.
    """
    found = mlflow_records.patient.version(use_case.name, number)
    if found is None:
        raise UnknownVersion(
            f"Model {use_case.name!r} has no version {number} in {settings().mlflow_uri}.",
            f"{known_versions(use_case)} If version {number} was there before, it was deleted from the registry, or"
            " PERENNIAL_MLFLOW_URI names another server.",
        )
    return found


def known_versions(use_case: UseCase) -> str:
    """Which versions the registry has of a use case's model, as a sentence.

    Args:
        use_case: Whose model.
    """
    versions = mlflow_records.patient.versions(use_case.name)
    return f"It has {', '.join(map(str, versions))}." if versions else "It has none."


def training_run(use_case: UseCase, number: int) -> MlflowRun:
    """The MLflow run that made a registered version.

    Args:
        use_case: Whose model.
        number: The version.

    Raises:
        PerennialError: there is no such version, or its run was deleted.
    """
    run_id = run_of(use_case, number)
    run = mlflow_records.patient.run(run_id)
    if run is None or run.is_deleted:
        fix = f"Restore it: `mlflow runs restore --run-id {run_id}`." if run else "Restore MLflow from a backup."
        raise PerennialError(
            f"The MLflow run {run_id} that made version {number} of model {use_case.name!r} was deleted, and what it"
            " recorded with it.",
            fix,
        )
    return run


def promote(use_case: UseCase, number: int) -> None:
    """Move the alias `champion` in one step.

    Args:
        use_case: Whose model.
        number: The version that is the champion from now on (processing time).

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    with reachable():
        client().set_registered_model_alias(model_name(use_case), CHAMPION, str(number))


def follow_ledger(use_case: UseCase) -> None:
    """Let the alias `champion` name the version that serves by the ledger; the caller holds the lock of promotions.

    Args:
        use_case: Whose model.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    serving = ledger.champion(use_case)
    if serving is not None:
        promote(use_case, serving.model_version)


def run_url(run_id: str) -> str:
    """Where a person sees a run.

    Raises:
        PerennialError: there is no such run.
    """
    run = mlflow_records.patient.run(run_id)
    if run is None:
        raise PerennialError(f"MLflow at {settings().mlflow_uri} has no run {run_id}.", "Restore MLflow from a backup.")
    return run.page
