"""Loads registered models: every load goes through here, and loads only the files that training wrote.

A version's files are fetched once, into a folder that nobody else can write to; they are checked there, against what
the lake records of the training (`model_files`) and against the one form that training writes (`model_format`), and
loaded from there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model

from perennial.errors import ChangedArtifact, PerennialError
from perennial.lake import prediction_columns
from perennial.registry import adoption, model_files, model_format, tracking
from perennial.registry.model_files import RecordedFiles
from perennial.settings import settings
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS

if TYPE_CHECKING:
    from sklearn.ensemble import VotingRegressor

Predict = Callable[[pd.DataFrame], np.ndarray]
#: The estimators inside one that predict the lower and the upper quantile of the label.
QUANTILES = ("lower", "upper")


@dataclass(frozen=True)
class Predictor:
    """A loaded version: called with a frame of features it predicts, as of `predictor`.

    Attributes:
        check: Raises PerennialError for a frame that lacks a column which the version was trained on, else returns the
            columns.
        predicted: From these columns to predictions.
        between: From these columns to (n, 2) floats, the lower and the upper quantile; None: it predicts none.
    """

    check: Callable[[pd.DataFrame], pd.DataFrame]
    predicted: Predict
    between: Predict | None = None

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        """The predictions.

        Args:
            frame: (n,) rows with the columns that the version was trained on.

        Raises:
            PerennialError: it lacks one of them.
        """
        return self.predicted(self.check(frame))

    def quantiles(self, frame: pd.DataFrame) -> np.ndarray | None:
        """(n, 2) the lower and the upper quantile of each row by the model itself; None: it predicts none.

        Args:
            frame: As for a prediction.

        Raises:
            PerennialError: as for a prediction.
        """
        return self.between(self.check(frame)) if self.between is not None else None


@dataclass(frozen=True)
class _Version:
    """Where a registered version comes from.

    Attributes:
        address: Of its files, as MLflow's client takes it.
        model: MLflow's id of the logged model.
        recorded: What the training wrote; None: it was trained before that was recorded.
    """

    use_case: UseCase
    number: int
    run_id: str
    address: str
    model: str
    recorded: RecordedFiles | None

    @property
    def subject(self) -> str:
        return f"Version {self.number} of model {self.use_case.name!r}"


def load(use_case: UseCase, number: int) -> Predictor:
    """The predict function of one version: a frame of features in, predictions out, as of `predictor`.

    Args:
        use_case: Whose model.
        number: The version.

    Raises:
        ServiceUnavailable: MLflow does not answer.
        ChangedArtifact: the version's files are not those that training wrote.
        PerennialError: the model is stored in a format that can run code on load, and settings do not allow that.
    """
    with downloaded(use_case, number) as folder:
        return load_from(use_case, number, folder)


@contextmanager
def downloaded(use_case: UseCase, number: int) -> Iterator[str]:
    """A folder with the files of one version, which may be loaded from it; gone afterwards.

    Args:
        use_case: Whose model; its `trusted_types` are trusted beside skops' own.
        number: The version.

    Raises:
        ServiceUnavailable: MLflow does not answer.
        ChangedArtifact: see `load`.
        PerennialError: see `load`.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-model-") as place:
        with tracking.reachable():
            version = _locate(use_case, number)
            # Fetched once: what is checked is what is loaded.
            folder = Path(mlflow.artifacts.download_artifacts(version.address, dst_path=place))
        if version.recorded is not None:
            model_files.check_folder(version.subject, version.recorded.model_files, folder)
        model_format.check(use_case, number, folder)
        if version.recorded is None and settings().trusted_model_types != "any":
            predict = load_from(use_case, number, str(folder))
            adoption.adopt(use_case, number, version.run_id, version.model, folder, predict)
        yield str(folder)


def load_from(use_case: UseCase, number: int, folder: str) -> Predictor:
    """`load`, from the version's files that `downloaded` gave.

    Args:
        use_case: Whose model.
        number: The version, for the message of an error.
        folder: What `downloaded` yielded; not needed once this returns.

    Returns:
        As `load`; raises PerennialError for a frame that lacks a column which the version was trained on.

    Raises:
        PerennialError: the estimator holds types that are not trusted.
    """
    return predict_from(use_case, number, estimator_from(use_case, number, folder), inputs_from(folder))


def predict_from(use_case: UseCase, number: int, estimator: Any, columns: Sequence[str]) -> Predictor:
    """`load_from`, from what is loaded.

    Args:
        use_case: Whose model.
        number: The version, for the message of an error.
        estimator: What `estimator_from` returned.
        columns: What `inputs_from` returned.
    """

    def check(frame: pd.DataFrame) -> pd.DataFrame:
        absent = [name for name in columns if name not in frame]
        if absent:
            raise PerennialError(
                f"Version {number} of model {use_case.name!r} was trained on {', '.join(absent)}, which feature service"
                f" {use_case.feature_service!r} no longer serves.",
                "Put the features back in feature_repo/. To retire a feature, name it in retired_features of"
                f" include/use_cases/{use_case.name}/use_case.py, retrain, and remove it once no champion needs it.",
            )
        return frame[list(columns)]

    return Predictor(check, predictor(use_case, estimator), quantile_predictor(use_case, estimator))


def inputs(use_case: UseCase, number: int) -> list[str]:
    """The columns that a registered version was fitted on, in their order.

    Args:
        use_case: Whose model.
        number: The version; only its description is fetched.

    Raises:
        ServiceUnavailable: MLflow does not answer.
        ChangedArtifact: the description is not the one that training wrote.
    """
    with tracking.reachable(), tempfile.TemporaryDirectory(prefix="perennial-model-") as folder:
        version = _locate(use_case, number)
        # Into a folder of ours: asked for a registered model's description, MLflow leaves one of its own behind.
        described = Path(mlflow.artifacts.download_artifacts(f"{version.address}/MLmodel", dst_path=folder))
        if version.recorded is not None:
            expected = {"MLmodel": version.recorded.model_files["MLmodel"]}
            model_files.check_folder(version.subject, expected, described.parent)
        return inputs_from(folder)


def inputs_from(folder: str) -> list[str]:
    """`inputs`, from a folder with the version's description; unlike `mlflow.models.get_model_info`, asks no server."""
    return list(Model.load(folder).signature.inputs.input_names())


def estimator_from(use_case: UseCase, number: int, folder: str) -> Any:
    """The fitted estimator; the trusted types are those of the use case, not those that the model names itself.

    Args:
        use_case: Whose model.
        number: The version, for the message of an error.
        folder: As of `load_from`.

    Raises:
        PerennialError: it holds types that are not trusted.
    """
    if settings().trusted_model_types == "any":
        return mlflow.sklearn.load_model(folder)
    import skops.io

    estimator = Path(folder) / model_format.ESTIMATOR
    model_format.check_types(use_case, number, skops.io.get_untrusted_types(file=estimator))
    return skops.io.load(estimator, trusted=sorted(model_format.trusted_types(use_case)))


def example_from(folder: str) -> pd.DataFrame | None:
    """The rows that training stored with a version as an example of its inputs; None: it has none.

    Args:
        folder: As of `load_from`.
    """
    example = Model.load(folder).load_input_example(folder)
    return example if isinstance(example, pd.DataFrame) else None


def predictor(use_case: UseCase, model: Any) -> Predict:
    """The fitted estimator as a function from a frame of n rows to floats.

    Args:
        use_case: Its task decides what they are: `binary`: (n,) the probability of 1; `multiclass`: (n, K) the
            probability of each class; `regression`: (n,) the predicted value.
        model: A fitted scikit-learn estimator; of classes with `predict_proba`.
    """
    if use_case.task == MULTICLASS:
        return lambda frame: prediction_columns.aligned(use_case, model.classes_, model.predict_proba(frame))
    if use_case.task == "binary":
        return lambda frame: np.asarray(model.predict_proba(frame), dtype=float)[:, 1]
    return lambda frame: np.asarray(model.predict(frame), dtype=float)


def quantile_predictor(use_case: UseCase, model: Any) -> Predict | None:
    """The quantiles that a fitted estimator predicts beside its value, as a function from a frame to (n, 2) floats.

    They are those of the estimators named `lower` and `upper` in a `VotingRegressor` of scikit-learn, whose `weights`
    say which of its estimators predict the value. It may be the last step of a pipeline.

    Args:
        use_case: Only one with `interval` has use for them.
        model: A fitted scikit-learn estimator.

    Returns:
        None where there are none.
    """
    if use_case.interval is None:
        return None
    last = voting_of(model)
    if last is None:
        return None
    # In the order of the columns of `transform`, which leaves out what was dropped.
    names = [name for name, each in last.estimators if not isinstance(each, str)]
    places = [names.index(name) for name in QUANTILES]
    return lambda frame: np.asarray(model.transform(frame), dtype=float)[:, places]


def voting_of(model: Any) -> VotingRegressor | None:
    """The estimator that predicts quantiles beside its value: see `quantile_predictor`; None: there is none.

    Args:
        model: A scikit-learn estimator, fitted or not.
    """
    from sklearn.ensemble import VotingRegressor

    last = model
    while steps := getattr(last, "steps", None):
        last = steps[-1][1]
    if not isinstance(last, VotingRegressor):
        return None
    named = {name for name, each in last.estimators if not isinstance(each, str)}
    return last if set(QUANTILES) <= named else None


def _locate(use_case: UseCase, number: int) -> _Version:
    """Where a version's files are, and what they have to be.

    The registry's word is not enough: whoever can write to it may name another run, or a model of their own.
    """
    registered = tracking.registered_version(use_case, number)
    subject = f"Version {number} of model {use_case.name!r}"
    trusts_all = settings().trusted_model_types == "any"
    model = registered.model_id
    if model is None and not trusts_all:
        raise ChangedArtifact(
            f"{subject} is registered from {registered.source!r}, which is no model that a training run logged;"
            " nothing of it was loaded.",
            f"Train again: `perennial trigger {use_case.name} training`; find out who can write to MLflow's registry.",
        )
    try:
        attempts = model_files.of_run(use_case, registered.run_id)
    except ChangedArtifact:
        if not trusts_all:
            raise
        attempts = []
    recorded = next((attempt for attempt in attempts if attempt.model == model), None)
    if attempts and recorded is None:
        raise ChangedArtifact(
            f"{subject} is registered from {registered.source!r}, which its training run {registered.run_id} did not"
            " log; nothing of it was loaded.",
            "Find out who can write to MLflow's registry, and roll back to another version or train again.",
        )
    decided_run = model_files.run_in_ledger(use_case, number)
    if decided_run not in (None, registered.run_id) or (decided_run is None and not attempts and not trusts_all):
        raise ChangedArtifact(
            f"{subject} is of MLflow run {registered.run_id}, the registry says; the ledger:"
            f" {f'of run {decided_run}' if decided_run else 'no decision on it'}. Nothing of it was loaded.",
            "The registered model was deleted and made again: restore MLflow's database from a backup.",
        )
    # The model's own address: MLflow's client adds a file of its own to what it fetches by name and version.
    address = (
        tracking.client().get_logged_model(model).artifact_location
        if model
        else f"models:/{tracking.model_name(use_case)}/{number}"
    )
    return _Version(use_case, number, registered.run_id, address, model or "", recorded)
