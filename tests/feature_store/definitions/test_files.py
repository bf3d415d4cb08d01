"""Which objects may be others once a file of a feature repository is edited."""

from __future__ import annotations

from pathlib import Path

import pytest
from feature_cases import Repository

from perennial.feature_store import definitions
from perennial.feature_store.definitions import files as definition_files

ENTITY = """
from feast import Entity, ValueType

{NAME} = Entity(name="{NAME}", join_keys=["{NAME}"], value_type=ValueType.STRING)
"""


def write(repo: Repository, **files: str) -> Path:
    """Files of the repository; `__` in a name is a folder."""
    folder = repo.folder / "feature_repo"
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder


def entity(name: str) -> str:
    return ENTITY.replace("{NAME}", name)


def described(folder: Path) -> dict[str, definition_files.DefinitionFile]:
    return definition_files.describe(folder, definitions.import_modules(folder))


def test_a_file_is_about_what_it_defines(repo: Repository) -> None:
    described_files = described(write(repo, one=entity("one"), two=entity("two")))
    assert {name: set(file.objects) for name, file in described_files.items()} == {
        "Feast itself": set(),
        "feature_store.yaml": set(),
        "one.py": {"entity one"},
        "two.py": {"entity two"},
    }


@pytest.mark.parametrize(
    "imports",
    ["import ages", "from ages import AGE", "def age():\n    import ages", "import deeper", "from deeper import *"],
)
def test_a_file_is_about_what_imports_it_directly_or_not(repo: Repository, imports: str) -> None:
    folder = write(
        repo, ages="AGE = 1", deeper="from ages import AGE", one=f"{imports}\n{entity('one')}", two=entity("two")
    )
    assert described(folder)["ages.py"].objects == {"entity one"}


@pytest.mark.parametrize("imports", ["from .ages import AGE", "from . import ages", "import shared.ages"])
def test_imports_inside_a_package_are_followed(repo: Repository, imports: str) -> None:
    folder = write(
        repo, shared__ages="AGE = 1", shared__deeper=imports, one=f"from shared import deeper\n{entity('one')}"
    )
    assert described(folder)["shared/ages.py"].objects == {"entity one"}


def test_what_a_registry_keeps_is_what_it_was_given(repo: Repository) -> None:
    files = described(write(repo, one=entity("one")))
    assert definition_files.from_tag(definition_files.to_tag(files)) == files
