"""Logs the files of a training run to MLflow, and takes the digest of each from the bytes that are written here."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
from mlflow.models import Model

from perennial.registry import model_files


class RunFiles:
    """Logs the files of a training run to the active MLflow run, and remembers the digest of each.

    Attributes:
        digests: File -> SHA-256.
    """

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}

    def log_json(self, value: Any, path: str) -> None:
        """Log a JSON document.

        Args:
            value: JSON-ready.
            path: Its name among the run's artifacts.
        """
        self.log_text(json.dumps(value, indent=2), path)

    def log_text(self, text: str, path: str) -> None:
        """Log a text file.

        Args:
            text: Its content.
            path: Its name among the run's artifacts.
        """
        # Encoded here: MLflow may write the newlines of the system.
        content = text.encode()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, Path(path).name)
            file.write_bytes(content)
            mlflow.log_artifact(str(file), str(Path(path).parent) if "/" in path else None)
        self.digests[path] = model_files.digest(content)

    def log_folder(self, folder: Path, path: str) -> None:
        """Log all files of a folder.

        Args:
            folder: Holds files only.
            path: The folder's name among the run's artifacts.
        """
        self.digests |= {f"{path}/{name}": value for name, value in model_files.digests(folder).items()}
        mlflow.log_artifacts(str(folder), path)

    def log_model(self, model: Any, **options: Any) -> tuple[str, str]:
        """Log a scikit-learn model.

        Args:
            model: The fitted estimator.
            options: Of `mlflow.sklearn.save_model`.

        Returns:
            MLflow's id and address of the logged model.
        """

        def save_model(path: str, mlflow_model: Model, **options: Any) -> None:
            options.pop("validate_serving_input")
            mlflow.sklearn.save_model(model, path, mlflow_model=mlflow_model, **options)
            written = model_files.digests(Path(path))
            self.digests.update({f"{model_files.MODEL}{name}": value for name, value in written.items()})

        flavor = SimpleNamespace(save_model=save_model, __name__="mlflow.sklearn")
        # MLflow would try the example, and after that may write the model's description again.
        info = Model.log(None, flavor, name="model", validate_serving_input=False, **options)
        return str(info.model_id), str(info.model_uri)
