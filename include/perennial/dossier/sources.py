"""Finds the use case's own files as they were at training, by their recorded digests, wherever they are."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from perennial.dossier import archive
from perennial.dossier.records import Records
from perennial.registry import provenance, uncommitted_changes
from perennial.settings import settings
from perennial.use_case import UseCase

#: What of the declaration is shown on the first page, where it is written out there.
SHOWN = ("title", "description", "owner", "task", "feature_service", "triage")


def recover(records: Records, files: Mapping[str, str], commit: str, diff: bytes | None) -> dict[str, bytes]:
    """The files of the use case and of the feature repository that the training ran.

    Each is taken from this machine, from the git commit of the training, or from that commit and the uncommitted
    changes that were recorded; only with the digest that the training recorded, so that it does not matter which.

    Args:
        records: Where what is not found is listed.
        files: File -> the beginning of its SHA-256, as recorded.
        commit: The git commit, with `+dirty` or not.
        diff: The recorded uncommitted changes; None: there are none.
    """
    use_case = records.use_case
    folder = f"include/use_cases/{use_case.name}/"
    found: dict[str, bytes] = {}
    for name in sorted(files):
        if not name.startswith((folder, "feature_repo/")):
            continue
        if not archive.is_name(name):  # Before anything is read or made at that place, which may be elsewhere.
            records.miss(f"source file {name!r}", "it has a name that no file of a dossier has")
            continue
        content = _with_digest(use_case, name, files[name], commit.partition("+")[0], diff)
        if content is None:
            records.miss(f"source file {name}", "neither this machine nor its git repository has it as it was then")
        elif uncommitted_changes.looks_secret(name, content.decode(errors="replace")):
            records.miss(f"source file {name}", "it looks as if it held a secret, and was left out")
        else:
            found[name] = content
    return found


def declared(source: bytes | None) -> dict[str, str]:
    """What a use case's declaration says of itself in so many words; it is parsed, not run.

    Args:
        source: Content of `use_case.py`; None: it is not known.
    """
    try:
        parsed = ast.parse(source or b"")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    calls = [node for node in ast.walk(parsed) if isinstance(node, ast.Call)]
    made = next((call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "UseCase"), None)
    said = {word.arg: word.value for word in made.keywords} if made else {}
    return {
        name: value.value
        for name in SHOWN
        if isinstance(value := said.get(name), ast.Constant) and isinstance(value.value, str)
    }


def _with_digest(use_case: UseCase, name: str, digest: str, commit: str, diff: bytes | None) -> bytes | None:
    for content in _candidates(use_case, name, commit, diff):
        if digest and hashlib.sha256(content).hexdigest().startswith(digest):
            return content
    return None


def _candidates(use_case: UseCase, name: str, commit: str, diff: bytes | None) -> Iterator[bytes]:
    with suppress(OSError):
        yield _place(use_case, name).read_bytes()
    committed = _committed(commit, name)
    if committed is not None:
        yield committed
    if diff and (changed := _patched(name, committed, diff)) is not None:
        yield changed


def _place(use_case: UseCase, name: str) -> Path:
    """Where the file is today, if it still is."""
    folder, _, rest = name.partition("/")
    if folder == "feature_repo":
        return settings().feature_repo / rest
    return Path(str(use_case.module("use_case").__file__)).parent / rest.removeprefix(f"use_cases/{use_case.name}/")


def _committed(commit: str, name: str) -> bytes | None:
    if not all(letter in "0123456789abcdef" for letter in commit) or len(commit) not in (40, 64):
        return None
    try:
        return provenance.git("show", f"{commit}:./{name}").encode(errors="surrogateescape")
    except (subprocess.SubprocessError, FileNotFoundError):
        return None


def _patched(name: str, before: bytes | None, diff: bytes) -> bytes | None:
    """The file after the recorded changes, made in a folder of its own."""
    with tempfile.TemporaryDirectory() as place, suppress(subprocess.SubprocessError, OSError):
        inside = provenance.git("rev-parse", "--show-prefix").strip() + name
        file = Path(place, inside)
        file.parent.mkdir(parents=True)
        if before is not None:
            file.write_bytes(before)
        provenance.git(
            *("-C", place, "apply", "--binary", "--whitespace=nowarn", f"--include={inside}", "-"),
            input=diff.decode(errors="surrogateescape"),
            environment={"GIT_CEILING_DIRECTORIES": str(Path(place).parent)},
        )
        return file.read_bytes()
    return None
