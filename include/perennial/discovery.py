"""A folder is the registration: every `include/use_cases/<name>/use_case.py` is a use case."""

from __future__ import annotations

import json
import os
import tomllib
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING

from perennial._common.suggestions import did_you_mean
from perennial.errors import PerennialError, UnknownUseCase
from perennial.use_case.folders import roots

if TYPE_CHECKING:
    from perennial.use_case import UseCase

#: The file in a use case's folder that says that it is retired.
RETIRED = "retired.toml"


def names() -> list[str]:
    """The names of all use cases, sorted."""
    return sorted({file.parent.name for root in roots() for file in root.glob("*/use_case.py")})


def load(name: str) -> UseCase:
    """The use case called `name`.

    Raises:
        UnknownUseCase: there is none; the error proposes the closest names.
        PerennialError: its module cannot be read, or does not define a `use_case`, or under another name.
    """
    from perennial.use_case import UseCase, load_module

    folder(name)  # Raises if there is none.
    try:
        module = load_module(name, "use_case")
    except PerennialError:
        raise
    except Exception as error:
        raise _unreadable(name, error) from error
    use_case = getattr(module, "use_case", None)
    if not isinstance(use_case, UseCase) or use_case.name != name:
        raise PerennialError(
            f"include/use_cases/{name}/use_case.py does not define `use_case = UseCase(name={name!r}, ...)`.",
            "The folder's name and the use case's name must be the same.",
        )
    return use_case


def load_all() -> tuple[list[UseCase], dict[str, PerennialError]]:
    """Every use case that can be loaded, sorted by name, and why the others cannot: one never hides the rest."""
    loaded, broken = [], {}
    for name in names():
        try:
            loaded.append(load(name))
        except PerennialError as error:
            broken[name] = error
    return loaded, broken


@dataclass(frozen=True)
class Retirement:
    """That a use case is retired: its schedules have stopped, its records stay.

    Attributes:
        since: The day, as `YYYY-MM-DD`.
        by: Who retired it.
        reason: Why.
    """

    since: str
    by: str
    reason: str

    def __str__(self) -> str:
        return f"retired since {self.since} by {self.by}: {self.reason}"


def folder(name: str) -> Path:
    """The folder of a use case's files.

    Raises:
        UnknownUseCase: there is none of that name.
    """
    # Not by `names()`: each DAG file loads every use case, and would look through all their folders for each.
    for root in roots() if Path(name).name == name else ():
        if (root / name / "use_case.py").is_file():
            return root / name
    raise _unknown(name)


def retirement(name: str) -> Retirement | None:
    """Whether a use case is retired, and why: what the file `retired.toml` in its folder says; one without is not.

    Raises:
        PerennialError: the file is not what `perennial retire` writes.
    """
    try:
        file = folder(name) / RETIRED
    except UnknownUseCase:
        return None
    if not file.exists():
        return None
    try:
        return Retirement(**tomllib.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise PerennialError(
            f"include/use_cases/{name}/{RETIRED} cannot be read: {error}",
            f"It holds `since`, `by` and `reason`. Delete it, and run `perennial retire {name}` again.",
        ) from error


def retire(name: str, reason: str, *, write: bool = True) -> Retirement:
    """Retire a use case: write the file that `retirement` reads.

    Args:
        name: The use case.
        reason: Why, for whoever reads it later.
        write: Whether to write the file; if not, only what would be in it is returned.

    Raises:
        UnknownUseCase: there is no such use case.
    """
    retired = Retirement(f"{datetime.now(UTC):%Y-%m-%d}", getuser(), " ".join(reason.split()))
    file = folder(name) / RETIRED
    if write:
        # JSON's texts are TOML's as well.
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in vars(retired).items()]
        part = file.with_name(f".{RETIRED}.{os.getpid()}")
        part.write_text("".join(lines), encoding="utf-8")
        part.rename(file)
    return retired


def reinstate(name: str) -> None:
    """Bring a retired use case back: delete the file that `retirement` reads.

    Raises:
        UnknownUseCase: there is no such use case.
    """
    (folder(name) / RETIRED).unlink(missing_ok=True)


def check_active(name: str) -> None:
    """Fail if a use case is retired: nothing of it is started then.

    Raises:
        PerennialError: it is retired.
    """
    if (retired := retirement(name)) is not None:
        raise PerennialError(
            f"Use case {name!r} is {retired}",
            f"Nothing of it runs any more. `perennial retire {name} --undo` brings it back.",
        )


def _unknown(name: str) -> UnknownUseCase:
    known = names()
    return UnknownUseCase(
        f"There is no use case {name!r}.", f"{did_you_mean(name, known)}Known: {', '.join(known) or 'none'}."
    )


def _unreadable(name: str, error: Exception) -> PerennialError:
    """What is wrong with a use case's declaration: the field, or the line."""
    from pydantic import ValidationError

    from perennial.use_case.declarations import problems

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
    message = error.msg if isinstance(error, SyntaxError) else error
    return PerennialError(f"{where}: {type(error).__name__}: {message}", "Mend that line.")
