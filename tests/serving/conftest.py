"""What tests of the prediction server share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial.settings import settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that does not exist yet."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()
