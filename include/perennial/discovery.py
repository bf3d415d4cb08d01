"""A folder is the registration: every `use_cases/<name>/use_case.py` on the path is a use case."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from perennial.errors import PerennialError, UnknownUseCase
from perennial.use_case import UseCase


def names() -> list[str]:
    """The names of all use cases, sorted. `use_cases` is a namespace package, so several folders may add to it."""
    import use_cases

    folders = {file.parent.name for root in use_cases.__path__ for file in Path(root).glob("*/use_case.py")}
    return sorted(folders)


def load(name: str) -> UseCase:
    """The use case called `name`.

    Raises:
        UnknownUseCase: there is none; the error proposes the closest names.
        PerennialError: its module does not define a `use_case`, or under another name.
    """
    try:
        module = load_module(name, "use_case")
    except (PerennialError, ModuleNotFoundError):
        known = names()
        if name in known:
            raise
        close = get_close_matches(name, known, n=1)
        fix = f"Did you mean {close[0]!r}? " if close else ""
        raise UnknownUseCase(f"There is no use case {name!r}.", f"{fix}Known: {', '.join(known) or 'none'}.") from None
    found = getattr(module, "use_case", None)
    if not isinstance(found, UseCase) or found.name != name:
        raise PerennialError(
            f"include/use_cases/{name}/use_case.py does not define `use_case = UseCase(name={name!r}, ...)`.",
            "The folder's name and the use case's name must be the same.",
        )
    return found


def load_module(name: str, module: str) -> ModuleType:
    """Module `module` of use case `name`, imported."""
    try:
        return importlib.import_module(f"use_cases.{name}.{module}")
    except ModuleNotFoundError as error:
        if error.name != f"use_cases.{name}.{module}":
            raise
        raise PerennialError(
            f"Use case {name!r} has no module {module!r}.", f"Write include/use_cases/{name}/{module}.py."
        ) from error
