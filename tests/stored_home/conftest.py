"""The stored homes, each restored in a folder of its own for every test file that asks for `energy`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machines
import pytest
import stored

from perennial import discovery
from perennial.use_case import UseCase

ARCHIVES = sorted(stored.HERE.glob("*.tar.xz"))


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda archive: archive.name.partition(".")[0])
def archive(request: pytest.FixtureRequest) -> Path:
    """A stored home."""
    return Path(request.param)


@pytest.fixture(scope="module")
def expected(archive: Path) -> dict[str, Any]:
    """What the code that wrote the home read from it."""
    return dict(json.loads(archive.with_name(archive.name.replace(".tar.xz", ".json")).read_text()))


@pytest.fixture(scope="module")
def home(archive: Path) -> Iterator[Path]:
    """The stored home, restored, with PostgreSQL running in it."""
    with machines.home() as folder:
        stored.restore(archive, folder)
        yield folder


@pytest.fixture(scope="module")
def project(home: Path, expected: dict[str, Any]) -> Iterator[Path]:
    """A project with the use case `energy`; its code says that it is of the commit that wrote the home."""
    with stored.project(home, expected["commit"]) as folder:
        yield folder


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str) -> UseCase:
    """The use case whose home it is."""
    return discovery.load("energy")
