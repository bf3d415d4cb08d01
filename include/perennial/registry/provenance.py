"""Where a result came from: the code, to the file, and the environment that it ran in."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from perennial._common.child_environment import GIT, child_environment
from perennial.settings import settings
from perennial.use_case.declarations import Declaration

if TYPE_CHECKING:
    from perennial.use_case import UseCase

#: Folders of the project whose files run; an untracked file in one of them counts as a change too.
CODE = ("include", "feature_repo", "dags", "plugins", "config")
#: Of a digest of a file: enough to see that it changed.
_DIGITS = 16


class Environment(Declaration):
    """What a model was fitted in.

    Attributes:
        python: Version of the interpreter.
        platform: Operating system, machine and C library.
        processor: Model of the CPU. Linear algebra picks its routines by it, and rounds as they do.
        threads: Kind of thread pool (`openmp`, `blas`) -> threads it had.
        lock: SHA-256 of requirements.lock.
        packages: Installed package -> version.
    """

    python: str
    platform: str
    processor: str
    threads: dict[str, int]
    lock: str
    packages: dict[str, str]


class Provenance(Declaration):
    """What made a model, beside its data and its parameters.

    Attributes:
        commit: As `code_version` gives it.
        files: File of the library, the use case or the feature repository -> the beginning of its SHA-256.
        environment: What it ran in.
        columns: The model's inputs, in their order.
        definitions: Digest of the feature definitions that were applied; None: not by Perennial.
    """

    commit: str
    files: dict[str, str]
    environment: Environment
    columns: list[str]
    definitions: str | None


def of_training(use_case: UseCase, columns: list[str]) -> Provenance:
    """What a model of this use case is made by when it is fitted here and now on these columns.

    Args:
        use_case: Its folder's files are among those recorded.
        columns: The model's inputs, in the order in which it is fitted on them.
    """
    from perennial.feature_store import repository

    return Provenance(
        commit=code_version(),
        files=files(use_case),
        environment=environment(),
        columns=columns,
        definitions=repository.applied_digest(),
    )


@cache
def code_version() -> str:
    """The git commit of the project, with `+dirty` when its code differs from it.

    Outside a checkout it is what `PERENNIAL_COMMIT` says, or else `unknown`.

    Any change to a tracked file counts, and a file in a folder of code (`CODE`) that git neither tracks nor ignores.
    """
    try:
        commit = git("rev-parse", "HEAD").strip()
        folders = [name for name in CODE if (settings().project / name).is_dir()]
        is_dirty = git("status", "--porcelain", "--untracked-files=no") or (
            folders and git("ls-files", "--others", "--exclude-standard", "--", *folders)
        )
    except (subprocess.SubprocessError, FileNotFoundError):
        return settings().commit or "unknown"
    return f"{commit}+dirty" if is_dirty else commit


def lock_digest() -> str:
    """SHA-256 of the pinned requirements; `unknown` when the project has none."""
    try:
        return hashlib.sha256((settings().project / "requirements.lock").read_bytes()).hexdigest()
    except FileNotFoundError:
        return "unknown"


def files(use_case: UseCase) -> dict[str, str]:
    """The digest of each source file that a training of the use case may run, where this process has it from."""
    import perennial

    roots = {
        "include/perennial": Path(perennial.__file__).parent,
        f"include/use_cases/{use_case.name}": _folder_of(use_case),
        "feature_repo": settings().feature_repo,
    }
    return {
        f"{name}/{file.relative_to(root).as_posix()}": hashlib.sha256(file.read_bytes()).hexdigest()[:_DIGITS]
        for name, root in roots.items()
        for file in sorted([*root.rglob("*.py"), *root.glob("*.yaml")])
    }


def environment() -> Environment:
    """This process's environment."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        threads=threads(),
        lock=lock_digest(),
        packages=_packages(),
    )


def threads() -> dict[str, int]:
    """How many threads each kind of thread pool (`openmp`, `blas`) of this process may use; the largest of its kind."""
    from threadpoolctl import threadpool_info

    largest: dict[str, int] = {}
    for pool in threadpool_info():
        largest[pool["user_api"]] = max(largest.get(pool["user_api"], 0), pool["num_threads"])
    return dict(sorted(largest.items()))


def git(*arguments: str, input: str | None = None, environment: dict[str, str] | None = None) -> str:  # noqa: A002
    """What a git command says in the project.

    Args:
        *arguments: The command and its arguments, without `git`.
        input: Text for its standard input; None: there is none.
        environment: Variables that are set beside those that git needs.

    Returns:
        Its standard output, with the newline at the end.

    Raises:
        subprocess.CalledProcessError: it failed.
        subprocess.TimeoutExpired: it took longer than a minute.
        FileNotFoundError: there is no git.
    """
    done = subprocess.run(
        ["git", "-c", "core.quotepath=off", "-C", str(settings().project), *arguments],
        check=True,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=60,
        input=input,
        env=child_environment(*GIT) | (environment or {}),
    )
    return done.stdout


def _folder_of(use_case: UseCase) -> Path:
    return Path(str(use_case.module("use_case").__file__)).parent


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _packages() -> dict[str, str]:
    """Read off the names of the folders that describe each package: opening 300 files takes half a second."""
    packages: dict[str, str] = {}
    for folder in dict.fromkeys(map(Path, sys.path)):
        if folder.is_dir():
            for entry in os.scandir(folder):
                if entry.name.endswith(".dist-info"):
                    name, _, version = entry.name.removesuffix(".dist-info").partition("-")
                    packages.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(packages.items()))
