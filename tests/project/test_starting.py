"""A new project is written into an empty folder only, whole, and again after it was cut short."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from perennial.errors import InvalidParams
from perennial.project import record, shipped, starting

ROOT = Path(__file__).parents[2]


def start(folder: Path) -> None:
    starting.start(folder, *starting.plan(folder))


def test_dag_files_are_those_of_the_repository(tmp_path: Path) -> None:
    start(tmp_path / "shop")
    own = {file.name: file.read_text() for file in (tmp_path / "shop/dags").glob("*")}
    assert own == {file.name: file.read_text() for file in (ROOT / "dags").glob("*.py")}


def test_it_depends_on_the_release_that_wrote_it(tmp_path: Path) -> None:
    start(tmp_path / "My Shop")
    declared = tomllib.loads((tmp_path / "My Shop/pyproject.toml").read_text())["project"]
    assert declared["name"] == "my-shop"
    assert declared["dependencies"] == [f"perennial>={shipped.installed()},<0.2"]


def test_merges_and_tags_are_deployed_to_their_environments() -> None:
    files = shipped.files("shop")
    on_github = yaml.safe_load(files[".github/workflows/ci.yaml"])
    deploy = on_github["jobs"]["deploy"]
    assert on_github[True]["push"] == {"branches": ["main"], "tags": ["v*"]}, "YAML takes `on` for true"
    assert deploy["environment"] == deploy["env"]["TO"] == "${{ github.ref_type == 'tag' && 'prod' || 'staging' }}"
    on_gitlab = yaml.safe_load(files[".gitlab-ci.yml"])
    assert {on_gitlab[name]["variables"]["TO"] for name in ("staging", "prod")} == {"staging", "prod"}
    for steps in ([step.get("run", "") for step in deploy["steps"]], on_gitlab[".deploy"]["script"]):
        assert any('make deploy TO="$TO" YES=1' in step for step in steps)
    assert "\ndeploy: install" in files["Makefile"]


def test_a_folder_with_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidParams, match=r"contains notes\.txt"):
        starting.plan(tmp_path)


def test_one_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    (folder / ".git").mkdir(parents=True)
    (folder / f"{record.PENDING}x").mkdir()
    (folder / f"{record.PENDING}x/draft").write_text("half")
    (folder / "Makefile").write_text(starting.plan(folder)[1]["Makefile"])
    start(folder)
    assert record.read(folder).files.keys() == shipped.files("shop").keys()
    assert not list(folder.glob(f"{record.PENDING}*"))


@pytest.mark.parametrize(("mode", "expected"), [(0o755, 0o644), (0o700, 0o600)], ids=["shared", "private"])
def test_whoever_may_read_the_folder_may_read_files(tmp_path: Path, mode: int, expected: int) -> None:
    tmp_path.chmod(mode)
    start(tmp_path)
    assert (tmp_path / "Makefile").stat().st_mode & 0o777 == expected
