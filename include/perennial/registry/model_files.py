"""Records in the lake which files a training run wrote to MLflow, by digest, so that changed ones are never used.

Whoever can write to MLflow's artifacts could otherwise change what a model predicts, or what loading it runs. The
digests are taken from the bytes that this process wrote, never from what the store returns.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from perennial import lake_cache
from perennial.errors import ChangedArtifact
from perennial.registry import provenance

if TYPE_CHECKING:
    from perennial.use_case import UseCase

#: The folder of the model among the recorded files; the others are the run's own artifacts.
MODEL = "model/"
#: `fit`: by the training run itself; `adopted`: later, of a version that was trained before files were recorded.
Origin = Literal["fit", "adopted"]
#: How many files an error lists.
_SHOWN = 5


@dataclass(frozen=True)
class RecordedFiles:
    """What a training run wrote.

    Attributes:
        model: MLflow's id of the model that it logged.
        files: File -> SHA-256; those of the model below `MODEL`.
    """

    model: str
    files: dict[str, str]

    @property
    def address(self) -> str:
        """Of the model, as MLflow registers it."""
        return f"models:/{self.model}"

    @property
    def model_files(self) -> dict[str, str]:
        """The files of the model, by their names in its own folder."""
        return {path.removeprefix(MODEL): digest for path, digest in self.files.items() if path.startswith(MODEL)}


def digest(content: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """The digest of each file in a folder, by its path there.

    Raises:
        ValueError: something in there is neither a file nor a folder, such as a symbolic link.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISREG(mode):
            found[name] = digest(path.read_bytes())
        elif not stat.S_ISDIR(mode):
            raise ValueError(f"{name} is no regular file")
    return found


def record(
    use_case: UseCase, partition: str, run_id: str, model: str, files: Mapping[str, str], origin: Origin = "fit"
) -> None:
    """Record what a training run wrote, after it has written all of it; once for each model that it logged.

    Args:
        use_case: Whose training.
        partition: The last one of the training window.
        run_id: The MLflow run.
        model: MLflow's id of the model that it logged.
        files: File -> SHA-256; those of the model below `MODEL`.
        origin: How it became known what the training wrote.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import MODEL_FILES

    row = {
        "partition": partition,
        "model_run": run_id,
        "model": model,
        "files": json.dumps(dict(sorted(files.items()))),
        "origin": origin,
        "code_version": provenance.code_version(),
        "recorded_at": datetime.now(UTC),
    }
    rows = pa.Table.from_pylist([row], schema=MODEL_FILES)
    lake.append_missing(use_case.tables.model_files, rows, key=("model_run", "model"))


def written(use_case: UseCase, run_id: str) -> list[RecordedFiles]:
    """What is recorded of a training run; nothing if it is not complete, or older than such records.

    Args:
        use_case: Whose training.
        run_id: The MLflow run.
    """
    rows = _rows(use_case.tables.model_files)
    return [RecordedFiles(row["model"], json.loads(row["files"])) for row in rows if row["model_run"] == run_id]


def of_run(use_case: UseCase, run_id: str) -> list[RecordedFiles]:
    """What a training run wrote; otherwise as `written`.

    Args:
        use_case: Whose training.
        run_id: The MLflow run.

    Returns:
        Nothing for a run of which the ledger has a decision that is older than such records.

    Raises:
        ChangedArtifact: no training of this use case wrote anything to that run.
    """
    recorded = written(use_case, run_id)
    if not recorded and not any(row["model_run"] == run_id for row in _rows(use_case.tables.ledger)):
        raise ChangedArtifact(
            f"Use case {use_case.name!r}: {use_case.tables.model_files} in the lake has no record of MLflow run"
            f" {run_id}: no training of this use case made it.",
            f"Train again: `perennial trigger {use_case.name} training`. If nobody registered a version by hand, find"
            " out who can write to MLflow.",
        )
    return recorded


def run_in_ledger(use_case: UseCase, number: int) -> str | None:
    """The MLflow run that made a version, as the ledger says; None: nothing was decided on it yet.

    Args:
        use_case: Whose model.
        number: The version.
    """
    rows = _rows(use_case.tables.ledger)
    return next((str(row["model_run"]) for row in rows if row["model_version"] == number), None)


def _rows(table: str) -> list[dict[str, Any]]:
    return lake_cache.records([table])[table]


def check_folder(subject: str, expected: Mapping[str, str], folder: Path) -> None:
    """Refuse a folder that does not hold exactly the expected files.

    Args:
        subject: Names use case and version, for the error.
        expected: File -> SHA-256.
        folder: Nobody else can write there: what is checked is what will be read.

    Raises:
        ChangedArtifact: a file is missing, added or changed, or is a symbolic link.
    """
    try:
        present = digests(folder)
    except ValueError as error:
        raise changed(subject, [str(error)]) from error
    differences = [f"{name} is missing" for name in sorted(expected.keys() - present.keys())]
    differences += [f"{name} was added" for name in sorted(present.keys() - expected.keys())]
    both = sorted(expected.keys() & present.keys())
    differences += [f"{name} was changed" for name in both if expected[name] != present[name]]
    if differences:
        raise changed(subject, differences)


def changed(subject: str, differences: list[str]) -> ChangedArtifact:
    """The error for files that are not those that the training wrote.

    Args:
        subject: Names use case and version, or use case and run.
        differences: What is different, file by file.
    """
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return ChangedArtifact(
        f"{subject}: in MLflow's artifacts {', '.join(differences[:_SHOWN])}{more} since the training wrote them;"
        " nothing of it was loaded.",
        "Restore these artifacts from a backup, or train again, and find out who can write to MLflow's artifacts.",
    )
