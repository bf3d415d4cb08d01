"""A transform's fingerprint: what changes it and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from changes_cases import Checkout

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_changes import transform_schemas
from perennial.feature_store import fingerprints, reachable_code

HELPED = '''
from datetime import timedelta
from use_cases.{name}.common import scaled as made

FACTOR = 3
OTHER = 4


def _shifted(column):
    """Moves a column."""
    return column + FACTOR


def meter_history(readings):
    return readings.select("site", "meter", event_timestamp=readings.read_at, meter_last=made(_shifted(readings.kwh)))


def examples(readings):
    return readings.mutate(unused=OTHER)
'''
COMMON = """
SCALE = 2
UNUSED = 5


def scaled(column):
    return column * SCALE
"""


@pytest.fixture
def helped(checkout: Checkout) -> Checkout:
    """Transforms that use functions, constants and another file of the use case."""
    checkout.transforms.write_text(HELPED.replace("{name}", checkout.name))
    checkout.transforms.with_name("common.py").write_text(COMMON)
    return checkout


def history(checkout: Checkout) -> str:
    return fingerprints.of_transforms(checkout.use_case)["meter_history"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("transforms.py", "FACTOR = 3", "FACTOR = 5"),
        ("transforms.py", "column + FACTOR", "column - FACTOR"),
        ("transforms.py", "event_timestamp=readings.read_at", "event_timestamp=readings.read_at.date()"),
        ("transforms.py", "scaled as made", "doubled as made"),
        ("common.py", "SCALE = 2", "SCALE = 7"),
        ("common.py", "column * SCALE", "column / SCALE"),
        ("use_case.py", "lookback=timedelta(hours=25)", "lookback=timedelta(hours=26)"),
    ],
)
def test_what_a_transform_reaches_is_in_its_fingerprint(helped: Checkout, file: str, old: str, new: str) -> None:
    before = history(helped)
    helped.edit(helped.transforms.with_name(file), (old, new))
    assert history(helped) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("transforms.py", "Moves a column.", "Moves a column a little."),
        ("transforms.py", "    return column + FACTOR", "    # By three.\n\n    return (column +\n        FACTOR)"),
        ("transforms.py", "OTHER = 4", "OTHER = 5"),
        ("transforms.py", "from datetime import timedelta\n", "import os\n"),
        ("common.py", "UNUSED = 5", "UNUSED = 6"),
        ("use_case.py", 'owner="grid-team"', 'owner="somebody"'),
        ("use_case.py", 'request_features=("hour_sin", "hour_cos")', 'request_features=("hour_sin",)'),
    ],
)
def test_what_it_does_not_reach_is_not(helped: Checkout, file: str, old: str, new: str) -> None:
    before = history(helped)
    helped.edit(helped.transforms.with_name(file), (old, new))
    assert history(helped) == before


def test_what_runs_at_import_is_in_every_fingerprint(helped: Checkout) -> None:
    before = fingerprints.of_transforms(helped.use_case)
    helped.transforms.write_text(helped.transforms.read_text() + "\nimport ibis\nibis.options.verbose = True\n")
    after = fingerprints.of_transforms(helped.use_case)
    assert all(after[name] != before[name] for name in before)


def test_a_star_import_is_followed(helped: Checkout) -> None:
    helped.edit(helped.transforms, ("common import scaled as made", "common import *"), ("made(", "scaled("))
    before = history(helped)
    helped.edit(helped.transforms.with_name("common.py"), ("SCALE = 2", "SCALE = 3"))
    assert history(helped) != before


@pytest.mark.parametrize(
    ("imported", "files"),
    [
        ("def made(column):\n    from use_cases.{name}.common import scaled\n    return scaled(column)", {}),
        ("def made(column):\n    from . import common\n    return common.scaled(column)", {}),
        (
            "try:\n    from use_cases.{name}.common import scaled as made\nexcept ImportError:\n    raise",
            {},
        ),
        ("if True:\n    from use_cases.{name}.common import *\nmade = scaled", {}),
        ("from use_cases.{name}.pkg import made", {"pkg/__init__.py": "from ..common import scaled as made\n"}),
        (
            "from use_cases.{name}.pkg.deep import made",
            {"pkg/deep.py": "from .more import made\n", "pkg/more.py": "from ..common import scaled as made\n"},
        ),
        (
            "import use_cases.{name}.common\nimport use_cases.{name}.other\nmade = use_cases.{name}.common.scaled",
            {"other.py": ""},
        ),
        (
            "import use_cases.{name}.pkg.deep\nmade = use_cases.{name}.pkg.made",
            {"pkg/__init__.py": "from ..common import scaled as made\n", "pkg/deep.py": ""},
        ),
        ("import use_cases.{name}.other as other\nmade = other.scaled", {"other.py": "from .common import *\n"}),
    ],
)
def test_a_helper_is_reached_however_it_is_imported(helped: Checkout, imported: str, files: dict[str, str]) -> None:
    folder = helped.transforms.parent
    for file, content in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)
    named = imported.replace("{name}", helped.name)
    helped.edit(helped.transforms, (f"from use_cases.{helped.name}.common import scaled as made", named))
    assert helped.use_case.module("transforms").made(3) == 6, "it can be imported like that"
    before = fingerprints.of_transforms(helped.use_case)
    helped.edit(folder / "common.py", ("SCALE = 2", "SCALE = 7"))
    after = fingerprints.of_transforms(helped.use_case)
    assert after["meter_history"] != before["meter_history"]
    assert after["examples"] == before["examples"], "examples do not use it"


@pytest.mark.parametrize(
    "imported",
    [
        "from perennial.transforms import known_after\nmade = known_after",
        "from perennial import transforms as vocabulary\nmade = vocabulary.known_after",
        "import perennial.transforms\nmade = perennial.transforms.known_after",
    ],
)
def test_the_library_s_transforms_are_in_the_fingerprint(
    helped: Checkout, imported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = tmp_path / "transforms.py"
    vocabulary.write_text(reachable_code.VOCABULARY.read_text())
    monkeypatch.setattr(reachable_code, "VOCABULARY", vocabulary)
    helped.edit(helped.transforms, (f"from use_cases.{helped.name}.common import scaled as made", imported))
    before = fingerprints.of_transforms(helped.use_case)
    helped.edit(vocabulary, ("ibis.literal(delay)", "ibis.literal(2 * delay)"))
    after = fingerprints.of_transforms(helped.use_case)
    assert after["meter_history"] != before["meter_history"]
    assert after["examples"] == before["examples"], "examples do not use it"
    helped.edit(vocabulary, ("def known_after", "# Other words.\ndef known_after"))
    assert fingerprints.of_transforms(helped.use_case) == after


def test_a_transform_that_is_missing_is_an_error_that_names_it(helped: Checkout) -> None:
    helped.edit(helped.transforms, ("def meter_history", "def other"))
    with pytest.raises(BadFeatures, match="no function 'meter_history'"):
        fingerprints.of_transforms(helped.use_case)


def test_a_file_that_is_not_python_names_the_line(helped: Checkout) -> None:
    helped.transforms.write_text("def meter_history(readings)\n    pass\n")
    with pytest.raises(BadFeatures, match="line 1"):
        fingerprints.of_transforms(helped.use_case)


def test_the_columns_that_will_come_are_those_that_do_come(checkout: Checkout) -> None:
    assert transform_schemas.expected_columns(checkout.use_case, "meter_history") is None, "there are no raw rows yet"
    checkout.run(1)
    checkout.edit(checkout.transforms, ("readings.kwh})", "readings.kwh}).mutate(meter_is_high=ibis._.meter_last > 3)"))
    coming = transform_schemas.expected_columns(checkout.use_case, "meter_history")
    checkout.run(1)
    table = lake.table(f"{checkout.name}.meter_history")
    assert table is not None
    stored = {field.name: str(field.field_type) for field in table.schema().fields if field.name != lake.PARTITION}
    assert coming == stored
    assert coming["meter_is_high"] == "boolean"
