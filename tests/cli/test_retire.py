"""A retired use case: nothing of it starts, all of it stays readable, and it can be brought back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typed import run

ENERGY = Path(__file__).parents[1] / "second_use_case/use_cases/energy"


@pytest.fixture
def copy(tmp_path: Path) -> dict[str, str]:
    """The environment of a checkout with the use case `energy`, which a test may change."""
    shutil.copytree(ENERGY, tmp_path / "code/use_cases/energy", ignore=shutil.ignore_patterns("__pycache__"))
    return {"PYTHONPATH": str(tmp_path / "code"), "PERENNIAL_HOME": str(tmp_path / "home")}


def test_a_retired_use_case_is_named_and_not_started(copy: dict[str, str], tmp_path: Path) -> None:
    retired = run("retire", "energy", "--reason", 'The "old" meters\nare gone.', **copy)
    assert retired.returncode == 0, retired.stderr
    assert (tmp_path / "code/use_cases/energy/retired.toml").exists()
    state = run("status", "energy", **copy)
    assert 'The "old" meters are gone.' in state.stdout
    for command in (
        ("trigger", "energy", "features", "--partition", "2024-01-01"),
        ("replay", "energy", "--from", "2024-01-01", "--to", "2024-01-02"),
    ):
        refused = run(*command, **copy)
        assert refused.returncode != 0
        assert "Use case 'energy' is retired since" in refused.stderr
    assert run("retire", "energy", "--reason", "again", **copy).returncode == 2
    assert run("retire", "energy", "--undo", **copy).returncode == 0
    assert not (tmp_path / "code/use_cases/energy/retired.toml").exists()
    assert run("retire", "energy", "--undo", **copy).returncode == 2


def test_a_dry_run_writes_nothing(copy: dict[str, str], tmp_path: Path) -> None:
    shown = run("retire", "energy", "--reason", "old", "--dry-run", "--json", **copy)
    assert json.loads(shown.stdout)["retired"]["reason"] == "old"
    assert not (tmp_path / "code/use_cases/energy/retired.toml").exists()


def test_without_a_reason_nothing_is_retired(copy: dict[str, str]) -> None:
    assert run("retire", "energy", **copy).returncode == 2


def test_a_broken_use_case_does_not_hide_the_others(copy: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "code/use_cases/shop/use_case.py"
    broken.parent.mkdir()
    broken.write_text("import nothing_like_it\n")
    state = run("status", **copy)
    assert state.returncode == 0, state.stderr
    assert "shop: cannot be loaded: include/use_cases/shop/use_case.py, line 1" in state.stdout
    assert "energy: " in state.stdout
