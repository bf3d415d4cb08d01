"""What the training run of a version logged to MLflow, as it wrote it; what is not so any more is named, not used."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from perennial.dossier import archive
from perennial.dossier.records import Records, Row
from perennial.errors import ChangedArtifact, PerennialError, ServiceUnavailable, UnknownVersion
from perennial.registry import mlflow_artifacts, mlflow_records, mlflow_tags, model_files, run_documents, tracking
from perennial.registry.mlflow_records import MlflowRun

#: Document -> what it says, for people.
DOCUMENTS = {
    mlflow_artifacts.PLAN: "parameters and window of the training",
    mlflow_artifacts.TRAINING_SET: "the training set: digest, lake snapshots, rows",
    mlflow_artifacts.PROVENANCE: "code, packages and machine of the training",
    mlflow_artifacts.QUALITY: "metrics with intervals and slices",
}
_CHANGES = (mlflow_artifacts.CODE_CHANGES, mlflow_artifacts.CODE_DIFF)
_PLOTS = "plots"
#: Tags that a training sets; others are set later, and say only what the ledger says.
_TAGS = (
    *(mlflow_tags.GIT_COMMIT, mlflow_tags.MADE_BY, mlflow_tags.USE_CASE, mlflow_tags.OWNER, mlflow_tags.ALGORITHM),
    *(mlflow_tags.WINDOW, mlflow_tags.END, mlflow_tags.HOLDOUT_START, mlflow_tags.TRAINING_SET),
    *(mlflow_tags.TRAINING_SET_PATH, mlflow_tags.SNAPSHOTS, mlflow_tags.REQUESTS, mlflow_tags.LOCK_DIGEST),
    *(mlflow_tags.CODE_CHANGES, mlflow_tags.WEIGHT, mlflow_tags.REFIT_OF, mlflow_tags.CHAMPION_THEN),
    *(mlflow_tags.SEARCH, mlflow_tags.STUDY),
)
#: How the gate's metrics begin, which it logs to the same run later; they are in the ledger.
_LATER = "gate_"


@dataclass(frozen=True)
class Training:
    """What MLflow and the lake have of the training of one version.

    Attributes:
        version: The registered version.
        run: Its MLflow run; None: it is gone.
        run_id: Its id; empty: nothing names it.
        files: Document -> content, as the training wrote it.
        model: MLflow's id of the logged model; empty: not recorded.
        digests: File of the run or of the model -> SHA-256, as recorded in the lake.
        origin: How the digests became known: `fit` or `adopted`; empty: they are not recorded.
        written: When they were recorded, processing time, UTC; None: likewise.
        described: The model's own description (`MLmodel`); None: not there.
    """

    version: int
    run: MlflowRun | None
    run_id: str
    files: dict[str, bytes]
    model: str
    digests: dict[str, str]
    origin: str
    written: datetime | None
    described: bytes | None

    def document(self, name: str) -> dict[str, Any]:
        """A JSON document; empty: it is not there."""
        try:
            return dict(json.loads(self.files[name])) if name in self.files else {}
        except (ValueError, TypeError):  # Of a version that is older than digests of files.
            return {}

    @property
    def made(self) -> dict[str, Any]:
        """The MLflow run as the training left it: its beginning, parameters, metrics and tags.

        Not its end: the gate writes to the same run later, and then it ends again.
        """
        if self.run is None:
            return {}
        return {
            "run": self.run.id,
            "started": self.run.started,
            "params": self.run.params,
            "metrics": {name: value for name, value in self.run.metrics.items() if not name.startswith(_LATER)},
            "tags": {name: value for name, value in self.run.tags.items() if name in _TAGS},
        }


def read(records: Records, version: int) -> Training:
    """What is recorded of the training of a version.

    Args:
        records: Where what is missing is listed.
        version: The registered version.

    Raises:
        ServiceUnavailable: MLflow does not answer.
        UnknownVersion: neither the registry nor the ledger knows the version, or it was trained later than `as_of`.
    """
    use_case = records.use_case
    run, run_id = _run(records, version)
    if run is not None and not records.is_known(run.started):
        raise UnknownVersion(
            f"Version {version} of model {use_case.name!r} was not trained yet at {records.as_of}.",
            f"Its training began at {run.started}; give a later moment, or leave out --as-of.",
        )
    files = _documents(records, run, version) if run is not None else {}
    recorded = _recorded(records, version, run_id)
    if not recorded:
        why = "the lake has no record that its training wrote the model that the registry names"
        records.miss(f"digests of the model files of v{version}", why)
    training = Training(
        version=version,
        run=run,
        run_id=run_id,
        files=files,
        model=recorded.get("model", ""),
        digests=recorded.get("files", {}),
        origin=recorded.get("origin", ""),
        written=recorded.get("recorded_at"),
        described=None,
    )
    return Training(**vars(training) | {"described": _description(records, training)})


def later_files(records: Records, training: Training) -> dict[str, bytes]:
    """The model card as it is attached to the version, and the plots of its training.

    No record says when they were written, or their digests: with `as_of` they are left out.

    Args:
        records: Where what is missing is listed.
        training: Of the version.
    """
    folders = (mlflow_artifacts.CARD_FOLDER, _PLOTS)
    if records.as_of is not None:
        records.miss(
            "model card and plots", "no record says when MLflow got them, so not what they were at that moment"
        )
        return {}
    if training.run is None:
        return {}
    found = {folder: _folder(records, training.run_id, folder) for folder in folders}
    for folder, files in found.items():
        if not files:
            records.miss({_PLOTS: "plots"}.get(folder, "model card"), f"MLflow has no folder {folder} of the run")
    return {name: content for files in found.values() for name, content in files.items()}


def gate_document(training: Training) -> dict[str, Any]:
    """What the gate logged of its decision; empty: nothing. It may be from any time."""
    if training.run is None:
        return {}
    return mlflow_records.patient.documents(training.run_id, [mlflow_artifacts.GATE]).get(mlflow_artifacts.GATE, {})


def _run(records: Records, version: int) -> tuple[MlflowRun | None, str]:
    use_case = records.use_case
    try:
        run = tracking.training_run(use_case, version)
        _compare_with_ledger(records, version, run.id)
        return run, run.id
    except ServiceUnavailable:
        raise
    except PerennialError as error:
        run_id = next((each.model_run for each in records.ledger() if each.model_version == version), "")
        if not run_id and isinstance(error, UnknownVersion):
            raise
        records.miss(f"the training of v{version}", "MLflow no longer has the run, or the version")
        return None, run_id


def _compare_with_ledger(records: Records, version: int, run_id: str) -> None:
    """List it where the ledger names another run than the registry: one of them was made again, or written by hand."""
    decided = next((each.model_run for each in records.ledger() if each.model_version == version), run_id)
    if decided != run_id:
        why = (
            f"the registry says that MLflow run {run_id} made it, the ledger {decided}; what is shown is of the former"
        )
        records.miss(f"one training of v{version}", why)


def _recorded(records: Records, version: int, run_id: str) -> Row:
    """What the training wrote, as the lake has it; of several attempts the one that was registered."""
    registered = mlflow_records.patient.version(records.use_case.name, version)
    model = registered.model_id if registered else None
    rows = records.rows(records.use_case.tables.model_files, lambda row: row["model_run"] == run_id, is_seen=False)
    chosen = rows if model is None else [row for row in rows if row["model"] == model]
    return records.seen(chosen[0]) if chosen else {}


def _documents(records: Records, run: MlflowRun, version: int) -> dict[str, bytes]:
    names = [*DOCUMENTS, *_CHANGES]
    try:
        found = run_documents.read(records.use_case, run.id, names)
    except ChangedArtifact:
        found = {name: content for name in names for content in _unchanged(records, run.id, name)}
    # A refit is measured on no rows; without changes to the code there is no record of any.
    optional = {*_CHANGES} | ({mlflow_artifacts.QUALITY} if mlflow_tags.REFIT_OF in run.tags else set())
    for name in names:
        if name not in found and name not in optional:
            records.miss(f"{DOCUMENTS[name]}, v{version}", f"the MLflow run has no {name} as its training wrote it")
    return found


def _unchanged(records: Records, run_id: str, name: str) -> Sequence[bytes]:
    """The document, if it is as the training wrote it."""
    try:
        return list(run_documents.read(records.use_case, run_id, [name]).values())
    except ChangedArtifact as error:
        records.miss(name, f"changed since the training: {error.problem}")
        return []


def _description(records: Records, training: Training) -> bytes | None:
    """The model's description, checked."""
    what = f"signature of the model of v{training.version}"
    if not training.model:
        records.miss(what, "the lake does not say which model the training logged")
        return None
    name = f"{model_files.MODEL}MLmodel"
    try:
        with tracking.reachable(), tempfile.TemporaryDirectory() as place:
            address = tracking.client().get_logged_model(training.model).artifact_location
            content = Path(mlflow.artifacts.download_artifacts(f"{address}/MLmodel", dst_path=place)).read_bytes()
    except ServiceUnavailable:
        raise
    except (MlflowException, OSError):
        records.miss(what, "MLflow no longer has the model's description")
        return None
    if model_files.digest(content) != training.digests.get(name):
        records.miss(what, "the model's description in MLflow is not the one that the training wrote")
        return None
    return content


def _folder(records: Records, run_id: str, folder: str) -> dict[str, bytes]:
    """The files of a folder of the run that may be in an archive: whoever can write to MLflow names them."""
    with tracking.reachable(), tempfile.TemporaryDirectory() as place:
        listed = [each.path for each in tracking.client().list_artifacts(run_id, folder) if not each.is_dir]
        names = [name for name in listed if archive.is_name(name) and name.startswith(f"{folder}/")]
        if len(names) < len(listed):
            records.miss(f"some files of {folder}", "they have names that no file of a dossier has")
        return {
            name: Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{name}", dst_path=place)).read_bytes()
            for name in names
        }
