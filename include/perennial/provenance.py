"""Where a result came from: the code's commit and the lock of its environment."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache

from perennial.settings import settings


@cache
def code_version() -> str:
    """The git commit of the project, with `+dirty` when tracked files differ from it; `unknown` outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return f"{commit}+dirty" if _git("status", "--porcelain", "--untracked-files=no") else commit
    except (subprocess.CalledProcessError, FileNotFoundError):
        return "unknown"


@cache
def lock_digest() -> str:
    """SHA-256 of the pinned requirements; `unknown` when the project has none."""
    try:
        return hashlib.sha256((settings().project / "requirements.lock").read_bytes()).hexdigest()
    except FileNotFoundError:
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(settings().project), *arguments], check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()
