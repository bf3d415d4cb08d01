"""Starts a project: the files of the installed version, in a folder that is empty but for git's."""

from __future__ import annotations

import re
from pathlib import Path

from perennial.errors import InvalidParams
from perennial.project import record, shipped


def plan(folder: Path) -> tuple[str, dict[str, str]]:
    """The name of a new project, and path -> content of its files.

    Args:
        folder: Where it is to be; its name is the project's. It may be there already.

    Raises:
        InvalidParams: something else is in the folder, or its name cannot be that of a project.
    """
    folder = folder.resolve()
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    if not name:
        raise InvalidParams(f"{folder.name!r} cannot be the name of a project.", "Use letters, digits and dashes.")
    files = shipped.files(name)
    if folder.exists() and not folder.is_dir():
        raise InvalidParams(f"{folder} is a file.", "Name a new folder, or an empty one.")
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        if file.is_dir() or path.parts[0] == ".git" or path.parts[0].startswith(record.PENDING):
            continue
        # What an `init` that was killed has written already is no obstacle.
        if str(path) not in files or file.read_bytes() != files[str(path)].encode():
            raise InvalidParams(
                f"{folder} is not empty: it contains {path}.",
                "Name a new folder; a project that is there already is brought up to date by `perennial upgrade`.",
            )
    return name, files


def start(folder: Path, name: str, files: dict[str, str]) -> None:
    """Write a new project, as planned.

    Args:
        folder: Where it is to be.
        name: Its name.
        files: Path -> content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record.put(folder.resolve(), files, (), record.of(name, shipped.installed(), files))
