"""Feature repositories for tests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from feature_cases import YAML, Repository

from perennial.settings import settings

_numbers = count()


@pytest.fixture
def repo(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """An empty feature repository, which `perennial.settings` points at."""
    name = f"case{next(_numbers)}"
    (tmp_path / "feature_repo").mkdir()
    (tmp_path / "feature_repo" / "feature_store.yaml").write_text(
        YAML.replace("project: perennial", f"project: {name}")
    )
    monkeypatch.setenv("PERENNIAL_PROJECT", str(tmp_path))
    settings.cache_clear()
    yield Repository(tmp_path, name)
    monkeypatch.undo()
    settings.cache_clear()
