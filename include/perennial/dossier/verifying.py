"""Verifies a dossier: by itself, whether each file is as it was written, and against the records of today."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.dossier import archive, manifest
from perennial.dossier.archive import Problem
from perennial.errors import InvalidParams


@dataclass(frozen=True)
class Verification:
    """What was found in a dossier.

    Attributes:
        use_case, version: What its manifest says that it is about; empty and 0: nothing that can be trusted.
        digest: Of the whole, as its manifest says; empty: likewise.
        files: How many files it has.
        problems: What is not as it was written.
    """

    use_case: str
    version: int
    digest: str
    files: int
    problems: tuple[Problem, ...]

    @property
    def is_intact(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        problems = [problem._asdict() for problem in self.problems]
        return {"intact": self.is_intact, **vars(self), "problems": problems}


def verify(path: Path) -> Verification:
    """Whether a dossier is as it was written, to the byte.

    Whoever can write the file could also write another dossier in its place: compare `digest` with the one that was
    noted when the file was handed over.

    Args:
        path: The file. Nothing of it is extracted or run.

    Raises:
        InvalidParams: there is no such file, or it is far too large.
    """
    return verify_content(read(path))


def read(path: Path) -> bytes:
    """The content of a file that may be a dossier.

    Raises:
        InvalidParams: there is no such file, or it is far too large.
    """
    try:
        if not path.is_file():
            raise InvalidParams(f"{path} is no file.", "Give the path of a file that `perennial dossier` has written.")
        if (size := path.stat().st_size) > archive.LARGEST:
            raise InvalidParams(f"{path} has {size:,} bytes: no dossier is so large.", "Give the path of a dossier.")
        return path.read_bytes()
    except OSError as error:
        raise InvalidParams(f"{path} cannot be read: {error.strerror}.", "Ask its owner for a copy.") from error


def verify_content(content: bytes) -> Verification:
    """The same for the bytes of a file."""
    files, problems = archive.unpack(content)
    unread = frozenset(problem.file for problem in problems)
    told: dict[str, Any] = {}
    if files:
        told, differences = manifest.check(files, unread)
        problems += differences
    if not problems and (difference := archive.first_difference(content, files)):
        problems.append(difference)
    trusted = told if not any(problem.file == archive.MANIFEST for problem in problems) else {}
    return Verification(
        use_case=trusted.get("use_case", ""),
        version=trusted.get("version", 0),
        digest=trusted.get("digest", ""),
        files=len(files),
        problems=tuple(problems),
    )


def against_records(content: bytes, verified: Verification) -> Verification:
    """The same verification, with what differs from what the records of the same time say today.

    Records that were added since make no difference; those that were changed or are gone do, and so does what has no
    time: a model card that was attached again, another release that writes the dossier.

    Args:
        content: The bytes of an intact dossier.
        verified: What `verify_content` found in them.

    Raises:
        PerennialError: the records cannot be read; see `contents.gather`.
    """
    from perennial import discovery
    from perennial.dossier import contents

    files, _ = archive.unpack(content)
    told = json.loads(files[archive.MANIFEST])
    as_of, newest = (datetime.fromisoformat(told[name]) if told.get(name) else None for name in manifest.MOMENTS)
    today = contents.gather(discovery.load(verified.use_case), verified.version, as_of, until=newest).files
    problems = [Problem(name, "no record says this any more") for name in sorted(files.keys() - today.keys())]
    problems += [Problem(name, "is in the records, and not in the dossier") for name in sorted(today.keys() - files)]
    for name in sorted(files.keys() & today.keys() - {archive.MANIFEST}):
        if files[name] != today[name]:
            problems.append(Problem(name, "differs from what the records say today"))
    return replace(verified, problems=(*verified.problems, *problems))
