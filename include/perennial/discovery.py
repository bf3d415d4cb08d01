"""A folder is the registration: every `use_cases/<name>/use_case.py` on the path is a use case."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from perennial._common.suggestions import did_you_mean
from perennial.errors import PerennialError, UnknownUseCase

if TYPE_CHECKING:
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
        PerennialError: its module cannot be read, or does not define a `use_case`, or under another name.
    """
    from perennial.use_case import UseCase, load_module

    if not _is_declared(name):
        known = names()
        raise UnknownUseCase(
            f"There is no use case {name!r}.", f"{did_you_mean(name, known)}Known: {', '.join(known) or 'none'}."
        )
    try:
        module = load_module(name, "use_case")
    except PerennialError:
        raise
    except Exception as error:
        raise _unreadable(name, error) from error
    found = getattr(module, "use_case", None)
    if not isinstance(found, UseCase) or found.name != name:
        raise PerennialError(
            f"include/use_cases/{name}/use_case.py does not define `use_case = UseCase(name={name!r}, ...)`.",
            "The folder's name and the use case's name must be the same.",
        )
    return found


def _is_declared(name: str) -> bool:
    # Not `name in names()`: each DAG file loads every use case, and would look through all their folders for each.
    import use_cases

    return Path(name).name == name and any(Path(root, name, "use_case.py").is_file() for root in use_cases.__path__)


def _unreadable(name: str, error: Exception) -> PerennialError:
    """What is wrong with a use case's declaration: the field, or the line."""
    from pydantic import ValidationError

    from perennial.declarations import problems

    file = f"include/use_cases/{name}/use_case.py"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith(f"{name}/use_case.py")
    ]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    where = f"{file}, line {line}" if line else file
    if isinstance(error, ValidationError):
        return PerennialError(f"{where}: {error.title}: {problems(error)}.", "docs/add_a_use_case.md tells the fields.")
    said = error.msg if isinstance(error, SyntaxError) else error
    return PerennialError(f"{where}: {type(error).__name__}: {said}", "Mend that line.")
