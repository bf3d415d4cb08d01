"""Trains a version again in a checkout of the commit that it was trained by, against the same stores.

The checkout is a git worktree under the home, removed afterwards. It runs that commit's own `perennial reproduce`: in
this environment where the lock files are equal, else in one of its own, made by that commit's own `make install`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from perennial._common.child_environment import PACKAGES, STORES, child_environment
from perennial.errors import PerennialError
from perennial.registry import mlflow_artifacts, provenance, run_documents, tracking
from perennial.reproduce import recipe
from perennial.reproduce.recipe import Recipe
from perennial.reproduce.report import Reproduction
from perennial.settings import settings
from perennial.use_case import UseCase

#: A file that is in every commit that can reproduce.
_COMMAND = "include/perennial/reproduce/checkout.py"


def reproduce(
    use_case: UseCase, version: int, *, with_changes: bool = False, say: Callable[[str], None] = lambda line: None
) -> Reproduction:
    """Make a registered version again by the code that it was trained by.

    Args:
        use_case: Whose model.
        version: The registered version.
        with_changes: Also apply the changes that were in no commit, as the version's run keeps them. They come from
            MLflow, and they are run: read them first.
        say: Called with what is being done.

    Raises:
        PerennialError: the commit is gone, or cannot reproduce; the changes are not known to be complete; the
            environment cannot be made.
    """
    recorded = recipe.read(use_case, version)
    _check_commit(use_case, recorded)
    changes = _changes(use_case, recorded, with_changes)
    with _worktree(recorded.commit, say) as folder:
        project = folder / provenance.git("rev-parse", "--show-prefix").strip()
        if changes:
            _apply(folder, changes, recorded)
        if not (project / _COMMAND).exists():
            raise PerennialError(
                f"Commit {recorded.commit[:12]}, by which version {version} of {use_case.name!r} was trained, has no"
                " `perennial reproduce` yet.",
                "Leave out --checkout: what differs from it in the code here is then named.",
            )
        python = _python(project, say)
        say(f"Reproducing {use_case.name} v{version} in it.")
        reproduction = _run(python, project, [use_case.name, str(version)])
    return replace(reproduction, checkout=recorded.commit, advice="" if reproduction.equal else reproduction.advice)


def _check_commit(use_case: UseCase, recorded: Recipe) -> None:
    if not recorded.commit:
        raise PerennialError(
            f"Version {recorded.version} of {use_case.name!r} was not trained in a git checkout.",
            "Leave out --checkout: what differs in the code is then named, as far as it was recorded.",
        )
    try:
        provenance.git("cat-file", "-e", f"{recorded.commit}^{{commit}}")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise PerennialError(
            f"The git repository of {settings().project} does not hold commit {recorded.commit}, by which version"
            f" {recorded.version} of {use_case.name!r} was trained.",
            f"Fetch it (`git fetch origin {recorded.commit}`), or leave out --checkout.",
        ) from error


def _changes(use_case: UseCase, recorded: Recipe, with_changes: bool) -> str:
    """The changes to apply on the commit; none if it was clean."""
    if not recorded.is_dirty:
        return ""
    trained = (
        f"Version {recorded.version} of {use_case.name!r} was trained by commit {recorded.commit[:12]} with changes"
    )
    if not recorded.changes_digest:
        raise PerennialError(f"{trained} that were not kept.", "Leave out --checkout.")
    where = f"{tracking.run_url(recorded.run_id)}/artifacts/{mlflow_artifacts.CODE_DIFF}"
    if not with_changes:
        raise PerennialError(
            f"{trained} that are in no commit.",
            f"They would be run: read them ({where}), then add --with-changes.",
        )
    if withheld := recorded.changes.get("withheld", {}):
        raise PerennialError(
            f"{trained} of which some were not kept: {', '.join(sorted(withheld))}.", "Leave out --checkout."
        )
    name = mlflow_artifacts.CODE_DIFF
    diff = run_documents.read(use_case, recorded.run_id, [name])[name].decode()
    if hashlib.sha256(diff.encode()).hexdigest() != recorded.changes_digest:
        raise PerennialError(
            f"{where} does not have the digest that its run names.", "It was changed: restore it from a backup."
        )
    return diff


@contextmanager
def _worktree(commit: str, say: Callable[[str], None]) -> Iterator[Path]:
    """The commit checked out under the home; gone afterwards, and so is what a killed process left there."""
    root = settings().home.resolve() / "checkouts"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / commit
    with FileLock(root / f"{commit}.lock"):
        _remove(folder)
        say(f"Checking out commit {commit[:12]} in {folder}.")
        # No hooks: they are the user's, for the user's own checkouts.
        provenance.git(
            "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--force", "--detach", str(folder), commit
        )
        try:
            yield folder
        finally:
            _remove(folder)


def _remove(folder: Path) -> None:
    # Fails where nothing is left, or what is left is no worktree any more.
    with suppress(subprocess.CalledProcessError):
        provenance.git("worktree", "remove", "--force", str(folder))
    if folder.exists():
        shutil.rmtree(folder)


def _apply(folder: Path, changes: str, recorded: Recipe) -> None:
    try:
        provenance.git("-C", str(folder), "apply", "--binary", "--whitespace=nowarn", "-", input=changes)
    except subprocess.CalledProcessError as error:
        raise PerennialError(
            f"{mlflow_artifacts.CODE_DIFF} of MLflow run {recorded.run_id} does not apply to commit {recorded.commit}:"
            f" {error.stderr.strip()}",
            "It was changed: restore it from a backup.",
        ) from error


def _python(project: Path, say: Callable[[str], None]) -> str:
    """The interpreter to run with: this one where the lock files are equal, else one of the checkout's own."""
    lock = project / "requirements.lock"
    locked = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else "unknown"
    if locked == provenance.lock_digest():
        return sys.executable
    say("Its lock file is another: making its own environment, which takes minutes.")
    base = str(getattr(sys, "_base_executable", sys.executable))
    variables = child_environment(*PACKAGES)
    without = {name: value for name, value in variables.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        ["make", "-C", str(project), "install", f"PYTHON={base}"], capture_output=True, text=True, env=without
    )
    if done.returncode:
        raise PerennialError(
            f"`make install` of the checkout failed: {done.stderr.strip()[-800:]}",
            "Look at the package index that your pip or uv uses; or leave out --checkout.",
        )
    return str(project / ".venv/bin/python")


def _run(python: str, project: Path, arguments: list[str]) -> Reproduction:
    """The checkout's own `perennial reproduce`, against the stores that this process sees."""
    where = settings()
    script = Path(__file__).with_name("in_checkout.py")
    # Not a package's module: the checkout brings its own `perennial`.
    command = [python, "-P", str(script), str(where.project), str(project), "reproduce", *arguments, "--json"]
    stores = {
        "PERENNIAL_PROJECT": str(project),
        "PERENNIAL_HOME": str(where.home.resolve()),
        "PERENNIAL_ENVIRONMENTS": str(where.environments),
        "PERENNIAL_MLFLOW_URI": where.mlflow_uri,
        "PERENNIAL_WAREHOUSE": where.warehouse,
        "PERENNIAL_TRAINING_SETS": where.training_sets,
    }
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=child_environment(*STORES) | stores)
    try:
        # Libraries may have said something before.
        return Reproduction.from_json(json.loads(done.stdout[done.stdout.find("{") :]))
    except (ValueError, KeyError, TypeError) as error:
        raise PerennialError(
            f"`perennial reproduce {' '.join(arguments)}` failed in the checkout (exit code {done.returncode}).",
            "See its error above.",
        ) from error
