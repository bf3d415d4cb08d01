"""Adopts versions that were trained before the lake recorded what a training wrote: decided on once, then checked."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import polars as pl
from mlflow.exceptions import MlflowException

from perennial import lake
from perennial.errors import ChangedArtifact
from perennial.lake import prediction_columns
from perennial.registry import ledger, mlflow_artifacts, model_files

if TYPE_CHECKING:
    import pandas as pd

    from perennial.use_case import UseCase

#: What a training run logged that is read again, beside the model: documents and folders.
_DOCUMENTS = (
    *(name for name in mlflow_artifacts.TRAINING_DOCUMENTS if name not in mlflow_artifacts.ADDED_LATER),
    *(mlflow_artifacts.CODE_CHANGES.partition("/")[0], mlflow_artifacts.DRIFT_PROFILE),
)
#: Relative: libraries may have been updated since.
_TOLERANCE = 1e-6
#: Predictions that are compared.
_ROWS = 10_000

log = logging.getLogger(__name__)


def adopt(
    use_case: UseCase,
    number: int,
    run_id: str,
    model: str,
    folder: Path,
    predict: Callable[[pd.DataFrame], np.ndarray],
) -> None:
    """Record the files of a version as they are now, if it predicts what the lake says that it has predicted.

    Only for a version that the ledger has decided on, of which there is no record: all later ones have one. Its form
    has been checked; it cannot run code.

    Args:
        use_case: Whose model.
        number: The version.
        run_id: The MLflow run that trained it.
        model: MLflow's id of the logged model.
        folder: Its files.
        predict: The model loaded from them.

    Raises:
        ChangedArtifact: it predicts something else than it did.
    """
    compared = _check_predictions(use_case, number, predict)
    files = {f"{model_files.MODEL}{name}": value for name, value in model_files.digests(folder).items()}
    files |= _documents(run_id)
    entry = next(entry for entry in ledger.entries(use_case) if entry.model_version == number)
    model_files.record(use_case, entry.partition, run_id, model, files, origin="adopted")
    log.warning(
        "%s: v%d was trained before the files of models were recorded. Its files are recorded as they are now (%s);"
        " from now on it loads only if they are unchanged.",
        use_case.name,
        number,
        f"it predicts {compared} stored predictions again" if compared else "it has made no predictions to compare",
    )


def _check_predictions(use_case: UseCase, number: int, predict: Callable[[pd.DataFrame], np.ndarray]) -> int:
    """Compare with the newest partition that the version has predicted; return how many predictions were compared."""
    table = use_case.tables.predictions
    where = lake.equals("model_version", number)
    for partition in reversed(lake.partitions(table)):
        batches = lake.iter_batches(table, partition=partition, columns=("*",), where=where)
        for batch in islice((batch for batch in batches if batch.num_rows), 1):
            rows = batch.slice(0, _ROWS).to_pandas()
            stored = prediction_columns.gathered(use_case, pl.DataFrame(batch.slice(0, _ROWS)))["prediction"].to_numpy()
            if np.allclose(predict(rows), stored, rtol=_TOLERANCE, atol=1e-9, equal_nan=True):
                return len(rows)
            raise ChangedArtifact(
                f"Version {number} of model {use_case.name!r} does not predict what it predicted of partition"
                f" {partition!r}: its files in MLflow were changed, or its libraries behave otherwise now.",
                "Restore the model's artifacts from a backup, roll back to another version, or train again.",
            )
    return 0


def _documents(run_id: str) -> dict[str, str]:
    """The digests of what the run logged beside the model."""
    with tempfile.TemporaryDirectory() as place:
        for name in _existing(run_id, _DOCUMENTS):
            mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{name}", dst_path=place)
        return model_files.digests(Path(place))


def _existing(run_id: str, names: Sequence[str]) -> list[str]:
    """Those of the names that the run has; a folder that lost its files is none."""
    try:
        listed = {item.path: item.is_dir for item in mlflow.artifacts.list_artifacts(run_id=run_id)}
        return [
            name
            for name in names
            if name in listed
            and (not listed[name] or mlflow.artifacts.list_artifacts(run_id=run_id, artifact_path=name))
        ]
    except MlflowException:
        return []
