"""A project that is a git checkout, so that what was trained in it can be reproduced from a commit."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow

from perennial.registry import model_files, provenance, tracking
from perennial.use_case import UseCase

ROOT = Path(__file__).parents[2]


def make_repository(project: Path) -> str:
    """Make the project a git repository that holds library and use case; the commit's name."""
    ignored = shutil.ignore_patterns("__pycache__")
    for source, target in (
        ("include/perennial", "include/perennial"),
        ("tests/second_use_case/use_cases", "include/use_cases"),
    ):
        shutil.copytree(ROOT / source, project / target, ignore=ignored)
    (project / "requirements.lock").write_text("# what the commit was locked to\n")
    (project / ".gitignore").write_text("__pycache__/\n.venv/\n")
    git(project, "init", "--quiet")
    return commit(project)


def commit(project: Path) -> str:
    git(project, "add", "--all")
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    git(project, *who, "commit", "--quiet", "--message", "Test")
    forget()
    return git(project, "rev-parse", "HEAD").strip()


def git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(project), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def forget() -> None:
    """The project has changed: what a process remembers of it no longer holds."""
    provenance.code_version.cache_clear()


@contextmanager
def recorded_as(use_case: UseCase, version: int, artifact: str, **otherwise: Any) -> Iterator[None]:
    """What if the training had recorded something else? In MLflow, and as written by it in the lake."""
    run_id = tracking.run_of(use_case, version)
    address = f"runs:/{run_id}/{artifact}"
    before, server = mlflow.artifacts.load_text(address), tracking.client()
    text = json.dumps(json.loads(before) | otherwise)
    server.log_text(run_id, text, artifact)
    digests = {artifact: model_files.digest(text.encode())}
    model_files.record(use_case, "2024-01-03", run_id, f"m-{uuid4().hex}", digests)
    try:
        yield
    finally:
        server.log_text(run_id, before, artifact)
