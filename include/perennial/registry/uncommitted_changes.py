"""What differed from the commit when a model was trained, kept with it, so that a dirty training can be explained.

A diff of the project's code against its commit, with files that git does not track yet. What looks like a secret is
withheld, and so is what is too large; what was withheld is named.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

from perennial.registry.provenance import CODE, git
from perennial.settings import settings
from perennial.use_case.declarations import Declaration

#: A diff of one file, and of all of them together, beyond which it is withheld, in characters.
LARGEST_FILE, LARGEST = 200_000, 1_000_000
_PATHS = (*CODE, "requirements.lock", "pyproject.toml")
_SECRET_NAME = re.compile(r"(^|/)(\.env|id_[a-z0-9]+$|credentials?\b|secrets?\b)|\.(pem|key|p12|pfx|keystore)$", re.I)
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|://[^/\s:@'\"{}]+:[^/\s:@'\"{}]{3,}@"
    r"|(password|passwd|secret|token|api_?key|access_?key|private_?key)['\"]?\s*[=:]\s*['\"][^'\"\n]{8,}['\"]",
    re.I,
)


class UncommittedChanges(Declaration):
    """The difference between a commit and the code that ran.

    Attributes:
        commit: What the diff applies to.
        diff: As `git apply` takes it; without what was withheld.
        files: The files that the diff changes.
        withheld: File that also differs -> why it is not in the diff.
    """

    commit: str
    diff: str
    files: list[str]
    withheld: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the diff."""
        return hashlib.sha256(self.diff.encode()).hexdigest()


def collect() -> UncommittedChanges | None:
    """What differs from the commit in the project's code now; None when nothing does, or outside a checkout."""
    try:
        commit = git("rev-parse", "HEAD").strip()
        with tempfile.TemporaryDirectory() as folder:
            return _between(commit, Path(folder))
    except (subprocess.SubprocessError, FileNotFoundError):
        return None


def _between(commit: str, folder: Path) -> UncommittedChanges | None:
    # An index and an object store of its own: nothing of the user's repository is touched.
    objects = Path(git("rev-parse", "--path-format=absolute", "--git-path", "objects").strip())
    (folder / "objects").mkdir()
    aside = {
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects),
    }
    git("read-tree", commit, environment=aside)
    present = [name for name in _PATHS if (settings().project / name).exists()]
    git("add", "--all", "--", *present, environment=aside)
    names = git("diff", "--cached", "--name-only", "--no-renames", "-z", commit, environment=aside).split("\0")
    diffs: dict[str, str] = {}
    withheld: dict[str, str] = {}
    for name in filter(None, names):
        diff = git(
            "diff",
            "--cached",
            "--binary",
            "--no-renames",
            "--no-ext-diff",
            commit,
            "--",
            f":(top,literal){name}",
            environment=aside,
        )
        if reason := _reason_to_withhold(name, diff, sum(map(len, diffs.values()))):
            withheld[name] = reason
        else:
            diffs[name] = diff
    if not diffs and not withheld:
        return None
    return UncommittedChanges(commit=commit, diff="".join(diffs.values()), files=list(diffs), withheld=withheld)


def looks_secret(name: str, text: str) -> bool:
    """Whether a file, or what differs in it, looks as if it held a secret.

    Args:
        name: The file.
        text: Its content.
    """
    return bool(_SECRET_NAME.search(name) or _SECRET.search(text))


def _reason_to_withhold(name: str, diff: str, so_far: int) -> str:
    if looks_secret(name, diff):
        return "looks as if it held a secret"
    try:
        diff.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if len(diff) > LARGEST_FILE or so_far + len(diff) > LARGEST:
        return "too large"
    return ""
