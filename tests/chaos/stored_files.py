"""Files that a scenario keeps, on a disk or on an object store."""

from __future__ import annotations

import hashlib

from pyarrow import fs

from perennial.settings import settings
from perennial.use_case import UseCase


def below(root: str) -> list[str]:
    """Every file below a folder or a prefix, without the scheme."""
    filesystem, path = fs.FileSystem.from_uri(_uri(root))
    selector = fs.FileSelector(path, allow_not_found=True, recursive=True)
    return sorted(info.path for info in filesystem.get_file_info(selector) if info.is_file)


def training_sets(use_case: UseCase) -> list[str]:
    """The names of the files of training sets, half-written ones as well."""
    return [path.rsplit("/", 1)[1] for path in below(f"{settings().training_sets}/{use_case.name}")]


def quarantined(use_case: UseCase) -> dict[str, bool]:
    """The files of what was refused, and whether each is whole."""
    filesystem, _ = fs.FileSystem.from_uri(_uri(settings().warehouse))
    contents = {}
    for path in below(f"{settings().warehouse}/quarantined/{use_case.name}"):
        name = path.rsplit("/", 1)[1]
        with filesystem.open_input_stream(path) as file:
            contents[name] = f"{hashlib.sha256(file.read()).hexdigest()}.arrow" == name
    return contents


def _uri(path: str) -> str:
    return path if "://" in path else f"file://{path}"
