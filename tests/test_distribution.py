"""The wheel and the sdist: built offline, whole, and installed by themselves, the command line runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import new_cases
import pytest

ROOT = Path(__file__).parents[1]
#: What is in a checkout and is nobody's source.
MADE = (
    ".venv",
    ".perennial",
    "__pycache__",
    ".pytest_cache",
    ".import_linter_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".git/",
)


def run(*command: str | Path, cwd: Path) -> str:
    """What a program prints; it knows nothing of this checkout."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "PYTHON"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=known | {"COLUMNS": "120"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> set[str]:
    """The files of the packages, as git has them."""
    return set(
        run(
            *(
                "git",
                "ls-files",
                "--cached",
                "--others",
                "--exclude-standard",
                "include/perennial",
                "include/use_cases",
            ),
            cwd=ROOT,
        ).split()
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv = Path(sysconfig.get_path("scripts"), "uv")
    run(uv, "build", "--offline", "--no-build-isolation", "--python", sys.executable, "-o", folder, ROOT, cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_packages(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    own = {name.removeprefix("include/") for name in tracked() if name.startswith("include/perennial/")}
    copied = [
        *run("git", "ls-files", "dags", "config", cwd=ROOT).split(),
        "feature_repo/feature_store.yaml",
        "CHANGELOG.md",
    ]
    assert names == own | {f"perennial/project/shipped/{name}" for name in copied}


def test_the_sdist_holds_the_sources_and_nothing_that_was_made(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked() | {"pyproject.toml", "README.md", "LICENSE", "requirements.lock", "dags/training.py"} <= names
    assert [name for name in names if any(made in f"{name}/" for made in MADE)] == []


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel."""
    made = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(made, with_pip=False, symlinks=True)
    uv = Path(sysconfig.get_path("scripts"), "uv")
    python = made / "bin/python"
    run(uv, "pip", "install", "--offline", "--no-deps", "--python", python, next(built.glob("*.whl")), cwd=made)
    # Its dependencies are those of this environment; of this checkout it sees nothing.
    place = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=made).strip())
    (place / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    assert Path(run(python, "-c", "import perennial; print(perennial.__file__)", cwd=made)).is_relative_to(place)
    return made / "bin"


def test_installed_from_the_wheel_the_command_line_runs(installed: Path, tmp_path: Path) -> None:
    assert "dossier" in run(installed / "perennial", "--help", cwd=tmp_path)
    imported = "from perennial.dossier import index; from perennial.gate.model_card import rendering"
    run(installed / "python", "-c", f"{imported}; index._template(); rendering._template()", cwd=tmp_path)
    assert not (tmp_path / ".perennial").exists()


def test_a_project_of_its_own_needs_only_the_wheel(installed: Path, tmp_path: Path) -> None:
    data = new_cases.csv(new_cases.sales(), tmp_path, "sales.csv")
    perennial, project = installed / "perennial", tmp_path / "shop"
    run(perennial, "init", "shop", cwd=tmp_path)
    run(perennial, "new", "orders", "--data", data, "--label", "Revenue", cwd=project)
    run(installed / "python", "-m", "pytest", "-p", "no:cacheprovider", "tests/use_cases", cwd=project)
    reads = [installed / "python", "-m", "perennial.doctor.airflow_and_feast", "dags"]
    read = json.loads(run(*reads, cwd=project).splitlines()[-1])
    assert (read["errors"], read["count"] >= 6) == ({}, True)
    assert "Nothing to do" in run(perennial, "upgrade", cwd=project)
