"""Where use cases are found: in `include/use_cases` of the project, and wherever else the import path has some."""

from __future__ import annotations

import sys
from pathlib import Path

from perennial.settings import settings


def roots() -> list[Path]:
    """The folders that hold use cases; where two have one of the same name, that of the first is meant.

    `use_cases` is a namespace package, so several folders may add to it. That of the project (`PERENNIAL_PROJECT`)
    comes first: it is put on the import path here, if it is not there yet.
    """
    include = settings().project / "include"
    if str(include) not in sys.path and (include / "use_cases").is_dir():
        sys.path.insert(0, str(include))
    try:
        import use_cases
    except ModuleNotFoundError:
        return []
    return [Path(root) for root in use_cases.__path__]
