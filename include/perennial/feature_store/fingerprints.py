"""Fingerprints of transforms: one stays the same as long as the transform's code, and what it calls, is the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.feature_store.reachable_code import UseCaseCode

if TYPE_CHECKING:
    from perennial.use_case import UseCase
    from perennial.use_case.declarations import Declaration

EXAMPLES = "examples"
_DIGITS = 16


def of_transforms(use_case: UseCase) -> dict[str, str]:
    """The fingerprint of each feature table of a use case, and of its `examples`, as the files are now.

    It changes with the transform's code, with any function, constant or import that the code reaches in the use case's
    folder or in `perennial.transforms`, and with the table's declaration. Comments, docstrings and layout do not
    matter; neither does the rest of the library, nor what the raw tables hold.

    Returns:
        Table -> fingerprint (hex).

    Raises:
        BadFeatures: a file is not Python, or lacks a transform.
    """
    code = UseCaseCode(Path(str(use_case.module("use_case").__file__)).parent)
    declared: dict[str, Declaration] = {table.name: table for table in use_case.features}
    declared[EXAMPLES] = use_case.examples
    return {
        name: _digest(table.model_dump_json(exclude_defaults=True), *code.reached_from(name))
        for name, table in declared.items()
    }


def _digest(*parts: str) -> str:
    content = hashlib.sha256()
    for part in parts:
        content.update(f"{part}\0".encode())
    return content.hexdigest()[:_DIGITS]
