"""A project that is a git checkout, so that what was trained in it can be reproduced from a commit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from perennial.registry import provenance

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
    provenance.lock_digest.cache_clear()
