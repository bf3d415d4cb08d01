"""DAG bundles of git: every process has the use cases and feature definitions of its run's commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: What a process of Airflow does for a DAG file of a bundle at a version, and what it sees then.
PROCESS = """
import json, os, sys
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag

bundle = DagBundlesManager().get_bundle("team", version=sys.argv[1] or None)
bundle.initialize()
file = str(bundle.path / sys.argv[2] / "features.py")
bag = BundleDagBag(file, bundle_path=bundle.path, bundle_name="team", safe_mode=False)
assert not bag.import_errors, bag.import_errors

from perennial import discovery
from perennial.registry import provenance
from perennial.settings import settings

where = settings()
seen = {
    "dags": {dag.dag_id: dag.description for dag in bag.dags.values()},
    "use_cases": discovery.names(),
    "transforms": discovery.load("energy").module("transforms").__file__,
    "feature_repo": str(where.feature_repo),
    "data": [str(where.home), where.warehouse, where.training_sets],
    "commit": provenance.code_version(),
    "for children": [os.environ["PERENNIAL_PROJECT"], os.environ["PERENNIAL_HOME"]],
}
print(json.dumps(seen))
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A repository of a team's project, and two commits of it; the second one retitles the use case."""
    project = tmp_path_factory.mktemp("team") / "project"
    shutil.copytree(ROOT / "dags", project / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/second_use_case/use_cases", project / "include/use_cases")
    shutil.copytree(ROOT / "feature_repo", project / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".gitignore").write_text("__pycache__/\n")
    git(project.parent, "init", "-q", "-b", "main", str(project))
    return project, [commit(project, "First"), commit(project, "Second")]


def commit(project: Path, title: str) -> str:
    declaration = project / "include/use_cases/energy/use_case.py"
    lines = declaration.read_text().splitlines(keepends=True)
    declaration.write_text("".join(f'    title="{title}",\n' if "    title=" in line else line for line in lines))
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", title)
    return git(project, "rev-parse", "HEAD")


@pytest.fixture
def look(commits: tuple[Path, list[str]], tmp_path: Path) -> Any:
    """What a process sees that Airflow makes for a version of the bundle; without one, for the newest."""

    def look(version: str = "", subdir: str | None = None) -> dict[str, Any]:
        options = {"repo_url": commits[0].as_uri(), "tracking_ref": "main", "subdir": subdir}
        bundle = {
            "name": "team",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": options,
        }
        known = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
        variables = {
            "PYTHONPATH": "",
            "PERENNIAL_HOME": str(tmp_path / "home"),
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/nothing.db",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path / "bundles"),
        }
        folder = "" if subdir else "dags"
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, version, folder],
            env=known | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return look


def test_each_version_of_a_bundle_has_its_own_use_cases(look, commits, tmp_path) -> None:
    first, second = commits[1]
    seen = look(first)
    folder = tmp_path / "bundles/team/versions" / first
    assert seen["dags"] == {"energy.features": "First: features"}
    assert seen["transforms"] == str(folder / "include/use_cases/energy/transforms.py")
    assert seen["feature_repo"] == str(folder / "feature_repo")
    assert seen["commit"] == first
    assert look(second)["dags"] == {"energy.features": "Second: features"}
    assert look(first)["dags"] == {"energy.features": "First: features"}


def test_the_newest_version_is_read_with_its_commit(look, commits) -> None:
    seen = look(subdir="dags")
    assert (seen["dags"], seen["commit"]) == ({"energy.features": "Second: features"}, commits[1][1])


def test_what_is_installed_is_not_of_the_bundle(look, commits) -> None:
    assert look(commits[1][0])["use_cases"] == ["energy"]


def test_data_stay_where_they_are(look, commits, tmp_path) -> None:
    seen = look(commits[1][0])
    home = tmp_path / "home"
    assert seen["data"] == [str(home), str(home / "lake"), str(home / "training_sets")]
    assert seen["for children"] == [str(tmp_path / "bundles/team/versions" / commits[1][0]), str(home)]
