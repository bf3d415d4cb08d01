"""`perennial reproduce`, run as a user does, in a project whose code has moved on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from pipelines import run_features_until, train
from reproducible import commit, forget, git, make_repository, recorded_as

from perennial.errors import PerennialError
from perennial.registry import mlflow_tags, tracking
from perennial.reproduce import checkout, recipe
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
MODEL = "include/use_cases/energy/model.py"


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    """Three days of data, in a project that is a git checkout."""
    make_repository(project)
    run_features_until(energy, "2024-01-03")
    return energy


@pytest.fixture(scope="module")
def clean(energy: UseCase, project: Path) -> int:
    """A version that was trained by a commit."""
    return train(energy, "clean")


@pytest.fixture(scope="module")
def dirty(energy: UseCase, project: Path, clean: int) -> int:
    """A version that was trained by changes that are in no commit: a comment, and a file that git does not know."""
    with (project / MODEL).open("a") as model:
        model.write("# A comment that is in no commit.\n")
    (project / "include/use_cases/energy/notes.py").write_text('"""Nobody knows this file."""\n')
    forget()
    number = train(energy, "dirty")
    git(project, "checkout", "--", ".")
    (project / "include/use_cases/energy/notes.py").unlink()
    forget()
    return number


@pytest.fixture
def moved_on(project: Path):
    """The code here has become another; the lock file as well."""
    file = project / MODEL
    content, lock = file.read_text(), (project / "requirements.lock").read_text()
    file.write_text(content.replace("alpha=params.alpha", "alpha=params.alpha + 50"))
    forget()
    yield
    file.write_text(content)
    (project / "requirements.lock").write_text(lock)
    forget()


def perennial(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The project's own command line."""
    environment = os.environ | {"PYTHONPATH": str(project / "include")}
    command = [sys.executable, "-m", "perennial.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def versions() -> int:
    return len(tracking.client().search_model_versions("name='energy'"))


@pytest.fixture
def half_written(project: Path) -> Path:
    """What a checkout that was killed has left."""
    name = git(project, "rev-parse", "HEAD").strip()
    left = Path(os.environ["PERENNIAL_HOME"]) / "checkouts" / name
    git(project, "worktree", "add", "--quiet", "--detach", str(left), name)
    (left / MODEL).write_text("raise SystemExit('half written')\n")
    return left


def test_changed_code_is_named_and_its_checkout_is_equal(energy, clean, project, moved_on, half_written) -> None:
    as_it_is = perennial(project, "reproduce", "energy", str(clean), "--json")
    result = json.loads(as_it_is.stdout)
    assert (as_it_is.returncode, result["equal"]) == (1, False), as_it_is.stderr
    parts = {part["name"]: part for part in result["parts"]}
    assert parts["data"]["equal"]
    assert not parts["predictions"]["equal"]
    assert MODEL in parts["code"]["said"][1]
    assert "--checkout" in result["advice"]

    before = versions()
    in_checkout = perennial(project, "reproduce", "energy", str(clean), "--checkout")
    assert in_checkout.returncode == 0, in_checkout.stdout + in_checkout.stderr
    assert f"in a checkout of {git(project, 'rev-parse', 'HEAD')[:12]}: equal" in in_checkout.stdout
    assert versions() == before
    assert not half_written.exists()
    assert git(project, "worktree", "list").count("\n") == 1
    assert git(project, "status", "--porcelain").split() == ["M", MODEL]


def test_checkout_with_another_lock_makes_its_environment(energy, clean, project, moved_on) -> None:
    """By the commit's own `make install`; this one's takes no time."""
    (project / "Makefile").write_text(
        "install:\n\tmkdir -p .venv/bin\n"
        f"\tprintf '#!/bin/sh\\ntouch $(CURDIR)/../made\\nexec {sys.executable} \"$$@\"\\n' > .venv/bin/python\n"
        "\tchmod +x .venv/bin/python\n"
    )
    git(project, "add", "Makefile")
    git(project, "stash", "push", "--quiet", "--", MODEL)
    commit(project)
    number = train(energy, "another lock")
    git(project, "stash", "pop", "--quiet")
    (project / "requirements.lock").write_text("# another\n")
    forget()
    lines: list[str] = []
    reproduction = checkout.reproduce(energy, number, say=lines.append)
    assert reproduction.equal, reproduction
    assert any("its own environment" in line for line in lines)
    assert (Path(os.environ["PERENNIAL_HOME"]) / "checkouts/made").exists()


def test_uncommitted_changes_run_only_on_request(energy, dirty, project) -> None:
    kept = mlflow.artifacts.load_text(f"runs:/{tracking.run_of(energy, dirty)}/code/changes.diff")
    assert "+# A comment that is in no commit." in kept
    assert "include/use_cases/energy/notes.py" in kept
    with pytest.raises(PerennialError, match=r"in no commit(.|\n)*code/changes.diff(.|\n)*--with-changes"):
        checkout.reproduce(energy, dirty)
    assert checkout.reproduce(energy, dirty, with_changes=True).equal


def test_changes_that_somebody_changed_are_not_run(energy, dirty) -> None:
    run_id = tracking.run_of(energy, dirty)
    kept = mlflow.artifacts.load_text(f"runs:/{run_id}/code/changes.diff")
    tracking.client().log_text(run_id, kept.replace("A comment", "Another"), "code/changes.diff")
    with pytest.raises(PerennialError, match=r"code/changes\.diff was changed since the training"):
        checkout.reproduce(energy, dirty, with_changes=True)
    tracking.client().log_text(run_id, kept, "code/changes.diff")


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ("f" * 40, f"does not hold commit {'f' * 40}(.|\n)*git fetch origin"),
        ("--upload-pack=touch", "was not trained in a git checkout"),
        ("unknown", "was not trained in a git checkout"),
    ],
)
def test_a_commit_that_is_not_there_is_named(energy, clean, recorded: str, message: str) -> None:
    with recorded_as(energy, clean, "provenance.json", commit=recorded), pytest.raises(PerennialError, match=message):
        checkout.reproduce(energy, clean)


def test_the_tag_of_the_commit_is_not_what_is_checked_out(energy, clean) -> None:
    run_id = tracking.run_of(energy, clean)
    server = tracking.client()
    commit_then = server.get_run(run_id).data.tags[mlflow_tags.GIT_COMMIT]
    server.set_tag(run_id, mlflow_tags.GIT_COMMIT, "f" * 40)
    try:
        assert recipe.read(energy, clean).commit == commit_then
    finally:
        server.set_tag(run_id, mlflow_tags.GIT_COMMIT, commit_then)
