"""Writes the files of a new use case into the project: all of them or none, and never over an existing file."""

from __future__ import annotations

import keyword
import os
import re
import runpy
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from perennial import discovery
from perennial.errors import InvalidParams, PerennialError

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,31}$")


def check_new_name(name: str, project: Path) -> None:
    """Refuse a name that no use case can have, or that something has already.

    Args:
        name: The name of the new use case.
        project: The project's folder.

    Raises:
        InvalidParams: it is malformed, taken, or the name of a Python module, which the files would hide.
    """
    if not _NAME.match(name) or "__" in name or name.endswith("_"):
        raise InvalidParams(
            f"{name!r} cannot be the name of a use case.",
            "Use lower case letters, digits and single underscores, at most 32, a letter first.",
        )
    if name in discovery.names():
        raise InvalidParams(f"There is a use case {name!r} already.", "Choose another name; nothing was touched.")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or find_spec(name) is not None:
        raise InvalidParams(
            f"{name!r} is a name of Python's own or of an installed package, which feature_repo/{name}.py would hide.",
            f"Choose another one, such as {name}_model.",
        )
    for path in _targets(name):
        if (project / path).exists():
            raise InvalidParams(f"{path} is there already.", "Choose another name, or remove it; nothing was touched.")


def write(name: str, files: Mapping[str, str], project: Path) -> None:
    """Write the files of use case `name`, so that either all of them are there or none.

    Args:
        name: The use case's name.
        files: Path relative to `project` -> content.
        project: The project's folder.

    Raises:
        InvalidParams: something of that name has appeared meanwhile.
        PerennialError: the declaration is not valid; nothing was written.
    """
    # In the project itself: what is moved inside one file system is moved at once.
    with tempfile.TemporaryDirectory(prefix=".new-use-case-", dir=project) as folder:
        for path, content in files.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
        _check_validity(Path(folder), name)
        moved: list[Path] = []
        try:
            for path in _targets(name):
                target = project / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(Path(folder) / path, target)
                moved.append(target)
        except BaseException as error:
            for target in reversed(moved):
                shutil.rmtree(target) if target.is_dir() else target.unlink()
            if isinstance(error, FileExistsError):
                raise InvalidParams(f"{path} is there already.", "Choose another name; nothing was touched.") from error
            raise


def _targets(name: str) -> tuple[str, str, str]:
    """What is moved, in this order: the folder that is the registration comes last."""
    return f"tests/use_cases/{name}", f"feature_repo/{name}.py", f"include/use_cases/{name}"


def _move(written: Path, target: Path) -> None:
    """Move to where nothing is.

    Raises:
        FileExistsError: something is there.
    """
    if written.is_dir():
        target.mkdir()  # Fails where somebody else is a moment earlier; an empty folder is replaced.
        try:
            written.rename(target)
        except OSError:
            target.rmdir()
            raise
    else:
        os.link(written, target)


def _check_validity(folder: Path, name: str) -> None:
    try:
        runpy.run_path(str(folder / f"include/use_cases/{name}/use_case.py"))
    except Exception as error:
        raise PerennialError(
            f"What was about to be written is not a valid use case: {error}", "Report this; nothing was written."
        ) from error
