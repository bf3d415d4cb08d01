"""Checks of the lake's files and the training sets: whether they can be written where settings say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from perennial.doctor.finding import Finding, failed, passed
from perennial.doctor.postgres import first_line
from perennial.settings import settings


def lake() -> Iterator[Finding]:
    """Whether the lake's files and the training sets can be written."""
    yield _root("Lake", settings().warehouse, "PERENNIAL_WAREHOUSE", _by_catalog)
    yield _root("Training sets", settings().training_sets, "PERENNIAL_TRAINING_SETS", _by_environment)


def _by_catalog(where: str) -> tuple[Any, str]:
    """The file system of an address and the path on it, opened as the lake does: by the catalog's properties."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    scheme, host, path = PyArrowFileIO.parse_location(where, settings().catalog)
    return PyArrowFileIO(settings().catalog).fs_by_scheme(scheme, host), path


def _by_environment(where: str) -> tuple[Any, str]:
    """The same, opened as for training sets: by the environment."""
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(where)
    return system, str(path)


def _root(name: str, where: str, setting: str, opened: Callable[[str], tuple[Any, str]]) -> Finding:
    scheme, separator, _ = where.partition("://")
    if separator and scheme != "file":
        try:
            system, path = opened(where)
            bucket = path.split("/")[0]
            kind = system.get_file_info(bucket).type.name
        except Exception as error:
            fix = f"Check {setting}, and the credentials."
            return failed(name, f"{where} does not answer: {first_line(error)}", fix)
        if kind == "NotFound":
            return failed(name, f"{where}: there is no {bucket}", f"Create it, or correct {setting}.")
        return passed(name, f"{where} answers")
    folder = Path(where.removeprefix("file://"))
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return failed(name, f"{folder} cannot be written by this user", f"Change its owner, or {setting}.")
    return passed(name, f"{folder}{'' if existing == folder else ' (created when it is first needed)'}")
