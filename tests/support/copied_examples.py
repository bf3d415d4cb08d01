"""The worked examples of `examples/`, as a user has them who copied one into a project."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perennial import discovery
from perennial.settings import settings
from perennial.use_case import UseCase

ROOT = Path(__file__).parents[2]


@contextmanager
def copied(name: str, home: Path) -> Iterator[UseCase]:
    """A project with one of them, which is the one that is set inside the block."""
    project = home / "project"
    shutil.copytree(ROOT / "examples" / name, project)
    shutil.copy(ROOT / "feature_repo/feature_store.yaml", project / "feature_repo")
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("PERENNIAL_PROJECT", str(project))
        changed.syspath_prepend(str(project / "include"))
        settings.cache_clear()
        yield discovery.load(name)
    settings.cache_clear()
