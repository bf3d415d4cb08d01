"""Files that differ from what was registered: those that no change explains are named, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from changes_cases import Checkout, checkout_in

from perennial.feature_changes import applying, planning, unexplained_files
from perennial.feature_changes.definitions import Definitions
from perennial.feature_changes.differences import Change
from perennial.feature_store.definitions.files import FEAST, DefinitionFile

#: How long values hold, in a file of its own, which the definitions import.
AGES = "from datetime import timedelta\n\nTWO_DAYS = timedelta(days=2)\n"
OTHERS = """from feast import Entity, ValueType

town = Entity(name="town", join_keys=["town"], value_type=ValueType.STRING)
"""


@pytest.fixture(scope="module")
def prepared(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A registered checkout with definitions in three files, and one that none of them imports."""
    with checkout_in(tmp_path_factory.mktemp("prepared")) as made:
        (made.feature_repo / "ages.py").write_text(AGES)
        made.edit(
            made.definitions,
            ("from feast import", "import ages\nfrom feast import"),
            ("timedelta(days=2)", "ages.TWO_DAYS"),
        )
        (made.feature_repo / "others.py").write_text(OTHERS)
        applying.apply_safely(made.use_case)
        yield made


@pytest.fixture
def registered(prepared: Checkout) -> Iterator[Checkout]:
    """The same; its files are what they were when the test is over."""
    before = {file: file.read_text() for file in prepared.feature_repo.iterdir() if file.is_file()}
    yield prepared
    for file in prepared.feature_repo.iterdir():
        if file.is_file() and file not in before:
            file.unlink()
    for file, content in before.items():
        file.write_text(content)


def comment(file: Path) -> None:
    file.write_text(f"{file.read_text()}\n# A comment.\n")


def longer(checkout: Checkout) -> None:
    """A change that a plan finds."""
    checkout.edit(checkout.definitions, ("ttl=ages.TWO_DAYS", "ttl=2 * ages.TWO_DAYS"))


def test_files_that_were_registered_are_not_named(registered: Checkout) -> None:
    assert planning.plan().unexplained == ()


def test_a_file_with_a_change_is_explained_by_it(registered: Checkout) -> None:
    longer(registered)
    made = planning.plan()
    assert [change.field for change in made.changes] == ["ttl"]
    assert made.unexplained == ()


def test_a_file_beside_it_that_no_change_is_about_is_named(registered: Checkout) -> None:
    longer(registered)
    comment(registered.feature_repo / "others.py")
    made = planning.plan()
    assert made.unexplained == ("feature_repo/others.py",)
    assert any("feature_repo/others.py: not what was registered last" in note for note in made.notes)


def test_so_is_the_configuration(registered: Checkout) -> None:
    longer(registered)
    comment(registered.feature_repo / "feature_store.yaml")
    assert planning.plan().unexplained == ("feature_repo/feature_store.yaml",)


def test_a_file_is_explained_by_a_change_of_what_imports_it(registered: Checkout) -> None:
    ages = registered.feature_repo / "ages.py"
    ages.write_text(AGES.replace("days=2", "days=4"))
    made = planning.plan()
    assert [change.field for change in made.changes] == ["ttl"]
    assert made.unexplained == ()


def test_a_file_that_is_gone_is_explained_by_what_went_with_it(registered: Checkout) -> None:
    (registered.feature_repo / "others.py").unlink()
    made = planning.plan()
    assert [f"{change.object} {change.description}" for change in made.changes] == ["entity town removed"]
    assert made.unexplained == ()


def test_a_file_that_is_new_is_explained_by_what_came_with_it(registered: Checkout) -> None:
    (registered.feature_repo / "more.py").write_text(OTHERS.replace("town", "street"))
    assert planning.plan().unexplained == ()


def test_a_file_that_is_new_and_defines_nothing_is_named(registered: Checkout) -> None:
    longer(registered)
    (registered.feature_repo / "more.py").write_text("ANSWER = 42\n")
    assert planning.plan().unexplained == ("feature_repo/more.py",)


def test_another_version_of_feast_is_named() -> None:
    sides = [Definitions({}, {}, {}, digest=one, files={FEAST: DefinitionFile(one)}) for one in ("0.1", "0.2")]
    assert unexplained_files.unexplained_files(*sides, [Change("view", "a", "removed")]) == ("Feast itself",)


def test_without_recorded_files_all_are_reported() -> None:
    before, after = Definitions({}, {}, {}, digest="one"), Definitions({}, {}, {}, digest="other")
    assert unexplained_files.unexplained_files(before, after, []) == ("feature_repo/",)
    assert unexplained_files.unexplained_files(before, after, [Change("view", "a", "removed")]) == ()
