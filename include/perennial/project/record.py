"""Which version wrote a project's files, with a digest of each; and how files are put in place."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from perennial.errors import PerennialError

#: In the project, in git.
FILE = ".perennial-project.json"
#: How folders of files that are about to be moved in place are called; one that a killed process left is no matter.
PENDING = ".perennial-pending-"


@dataclass(frozen=True)
class Record:
    """What a project's files were compared with last.

    Attributes:
        name: The project's name.
        version: The version of Perennial that wrote them.
        files: Path -> SHA-256 of what that version writes there, whatever the team has made of it since.
    """

    name: str
    version: str
    files: Mapping[str, str]


def of(name: str, version: str, files: Mapping[str, str]) -> Record:
    """The record of files.

    Args:
        name: The project's name.
        version: The version of Perennial that writes them.
        files: Path -> content.
    """
    return Record(name, version, {path: digest(content.encode()) for path, content in sorted(files.items())})


def read(project: Path) -> Record:
    """The record of a project.

    Raises:
        PerennialError: there is none, or it cannot be read.
    """
    file = project / FILE
    try:
        return Record(**json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        raise PerennialError(
            f"{project} has no {FILE}: `perennial init` did not write this project.",
            "Run this in a project that it wrote, or set PERENNIAL_PROJECT to it.",
        ) from None
    except (ValueError, TypeError) as error:
        raise PerennialError(f"{file} cannot be read: {error}", "Take it from git again.") from None


def text(record: Record) -> str:
    """The content of its file."""
    return json.dumps(asdict(record), indent=2) + "\n"


def digest(content: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def current_digest(file: Path) -> str | None:
    """That of a file; None: it is not there."""
    return digest(file.read_bytes()) if file.is_file() else None


def put(project: Path, files: Mapping[str, str], removed: Iterable[str], record: Record) -> None:
    """Write files whole, remove others, and write the record last; killed and called again, it does the same.

    Args:
        project: The project's folder.
        files: Path -> content, of what is written.
        removed: Paths of files to remove.
        record: What holds afterwards.
    """
    # In the project itself: what is moved inside one file system is moved at once.
    with _alone(project), tempfile.TemporaryDirectory(prefix=PENDING, dir=project) as pending:
        for path, content in {**files, FILE: text(record)}.items():
            target, draft = project / path, Path(pending) / "draft"
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(content, encoding="utf-8")
            draft.chmod(_mode(target, project))
            if path == FILE:
                for gone in removed:
                    (project / gone).unlink(missing_ok=True)
            draft.replace(target)
        for left in project.glob(f"{PENDING}*"):
            if left != Path(pending):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _alone(project: Path) -> Iterator[None]:
    """Wait for another process that writes into the project. A lock of the folder leaves no file and ends with us."""
    folder = os.open(project, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _mode(target: Path, project: Path) -> int:
    """That of the file it replaces; of a new one, to be read by whoever may read the project."""
    return target.stat().st_mode & 0o777 if target.exists() else 0o600 | project.stat().st_mode & 0o044
