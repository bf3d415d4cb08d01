"""A home for the embedded servers, with nothing in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial.embedded import postgres, processes
from perennial.settings import settings


@pytest.fixture
def empty_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with nothing in it and nothing running."""
    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    settings.cache_clear()
    yield folder
    for record in (folder / "run").glob("*.json"):
        processes.stop([record.stem], 0)
    postgres.stop()
    shutil.rmtree(folder, ignore_errors=True)
    monkeypatch.undo()
    settings.cache_clear()
