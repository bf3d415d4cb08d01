"""Feature repositories for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from feature_cases import Repository, repository_in


@pytest.fixture
def repo(home: Path, tmp_path: Path) -> Iterator[Repository]:
    """An empty feature repository for one test."""
    with repository_in(tmp_path) as repository:
        yield repository


@pytest.fixture(scope="module")
def shared_repo(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """One feature repository for the tests of a module that do not change it."""
    with repository_in(tmp_path_factory.mktemp("repo")) as repository:
        yield repository
