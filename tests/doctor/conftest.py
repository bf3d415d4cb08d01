"""A home in which nothing was ever started, and an examination of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from examined import SLOW, by_name

from perennial.doctor import Finding, examine
from perennial.doctor.examination import CHECKS
from perennial.embedded import postgres, processes
from perennial.settings import settings


def only_the_home(monkeypatch: pytest.MonkeyPatch, where: Path) -> None:
    """No setting but where the home is."""
    for name in [name for name in os.environ if name.startswith(("PERENNIAL_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PERENNIAL_HOME", str(where))
    settings.cache_clear()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that does not exist yet, and nothing else in the environment."""
    # Not below pytest's folder: each pytest that starts closes that to other users, PostgreSQL's among them.
    with tempfile.TemporaryDirectory(prefix="perennial-test-", ignore_cleanup_errors=True) as folder:
        where = Path(folder) / "home"
        only_the_home(monkeypatch, where)
        yield where
        only_the_home(monkeypatch, where)
        for record in (where / "run").glob("*.json"):
            processes.stop([record.stem], 0)
        postgres.stop()
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def examine_with(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """Examine with these settings, without the slow checks unless they are named; findings by name."""

    def examine_named(*names: str, **environment: str) -> dict[str, Finding]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        checks = [check for check in CHECKS if (check.name in names if names else check.name not in SLOW)]
        return by_name(examine(tuple(checks)))

    return examine_named


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout whose files may be broken."""
    root = Path(__file__).parents[2]
    for name in ("dags", "plugins", "feature_repo", "requirements.lock", "pyproject.toml"):
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path
