"""Reads the JSON documents and other files that a training run logged, as the training wrote them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow

from perennial.errors import PerennialError
from perennial.registry import mlflow_artifacts, model_files, tracking

if TYPE_CHECKING:
    from perennial.use_case import UseCase


def read_json(use_case: UseCase, run_id: str, names: Sequence[str]) -> dict[str, Any]:
    """The JSON documents of a run that exist, by name.

    Args:
        use_case: Whose training run.
        run_id: The MLflow run.
        names: Those that are asked for, with their folders.

    Raises:
        ServiceUnavailable: MLflow does not answer.
        ChangedArtifact: one was changed, added or removed since the training.
    """
    return {name: json.loads(content) for name, content in read(use_case, run_id, names).items()}


def read_one(use_case: UseCase, run_id: str, name: str) -> dict[str, Any]:
    """A JSON document that every training run logs.

    Args:
        use_case: Whose training run.
        run_id: The MLflow run.
        name: The document.

    Raises:
        ServiceUnavailable: MLflow does not answer.
        ChangedArtifact: it was changed or removed since the training.
        PerennialError: a run that is older than records of files has no such document.
    """
    found = read_json(use_case, run_id, [name])
    if name not in found:
        raise PerennialError(
            f"The MLflow run {run_id} of use case {use_case.name!r} no longer holds {name}.",
            "Restore MLflow's artifacts from a backup, or train again.",
        )
    return dict(found[name])


def read(use_case: UseCase, run_id: str, names: Sequence[str]) -> dict[str, bytes]:
    """The files of a run that exist, by name, fetched from where models are fetched from.

    Not through MLflow's server as for a page: it may leave artifacts to its clients. A run of a version that was
    trained before files were recorded is read as it is, until that version is adopted.

    Args:
        use_case: Whose training run.
        run_id: The MLflow run.
        names: Those that are asked for, with their folders.

    Raises:
        ServiceUnavailable: MLflow does not answer.
        ChangedArtifact: one was changed, added or removed since the training.
    """
    with tracking.reachable(), tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(max_workers=4) as threads:

        def fetch(name: str) -> bytes:
            return Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{name}", dst_path=place)).read_bytes()

        server = tracking.client()
        folders = {name.rpartition("/")[0] for name in names}
        listed = threads.map(lambda folder: server.list_artifacts(run_id, folder), folders)
        existing = {item.path for items in listed for item in items if not item.is_dir}
        present = [name for name in names if name in existing]
        contents = dict(zip(present, threads.map(fetch, present), strict=True))
    _check(use_case, run_id, names, contents)
    return contents


def _check(use_case: UseCase, run_id: str, names: Sequence[str], contents: dict[str, bytes]) -> None:
    """Refuse what the training did not write."""
    attempts = model_files.of_run(use_case, run_id)
    if not attempts:
        return
    absent = [name for name in names if name not in contents]
    differences = [f"{name} is missing" for name in absent if any(name in attempt.files for attempt in attempts)]
    for name, content in contents.items():
        allowed = {attempt.files[name] for attempt in attempts if name in attempt.files}
        if name not in mlflow_artifacts.ADDED_LATER and model_files.digest(content) not in allowed:
            differences.append(f"{name} was {'changed' if allowed else 'added'}")
    if differences:
        raise model_files.changed(f"MLflow run {run_id} of use case {use_case.name!r}", differences)
