"""What `perennial` offers is there, is documented, and is all that a use case needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from public_imports import beyond_public

import perennial

ROOT = Path(__file__).parents[1]
WRITTEN_BY_TEAMS = [
    *(ROOT / "include/use_cases").rglob("*.py"),
    *(ROOT / "feature_repo").glob("*.py"),
    *(ROOT / "tests/second_use_case").rglob("*.py"),
    *(ROOT / "tests/use_cases").rglob("*.py"),
]


def test_every_public_name_is_there() -> None:
    for name in perennial.__all__:
        assert getattr(perennial, name) is not None


def test_the_documentation_describes_exactly_the_public_names() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/python_api.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(perennial.__all__)


@pytest.mark.parametrize("file", WRITTEN_BY_TEAMS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_use_case_imports_only_public_names(file: Path) -> None:
    assert beyond_public(file) == set()


def test_importing_perennial_imports_nothing_heavy() -> None:
    heavy = "{'feast', 'mlflow', 'great_expectations', 'pandas', 'polars', 'pyarrow', 'pydantic', 'airflow', 'ibis'}"
    code = f"import sys, perennial; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
