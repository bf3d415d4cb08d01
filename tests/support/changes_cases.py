"""A checkout of a test's own: the second use case under another name, whose files a test may edit."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from perennial import discovery
from perennial.ingestion import compute, ingest, publish
from perennial.partitions import Partition
from perennial.settings import settings
from perennial.use_case import UseCase

ROOT = Path(__file__).parents[2]
ENERGY = ROOT / "tests/second_use_case"
_numbers = count()

#: Edits of transforms and definitions that add a column.
WIDE = (
    ("readings.kwh})", "readings.kwh}).mutate(meter_last_wh=ibis._.meter_last * 1000)"),
    (
        'Field(name="meter_last", dtype=Float64)',
        'Field(name="meter_last", dtype=Float64), Field(name="meter_last_wh", dtype=Float64)',
    ),
)


@dataclass(frozen=True)
class Checkout:
    """A project folder with one use case; its lake tables and its Feast project are nobody else's."""

    folder: Path
    name: str

    @property
    def feature_repo(self) -> Path:
        return self.folder / "feature_repo"

    @property
    def definitions(self) -> Path:
        return self.feature_repo / f"{self.name}.py"

    @property
    def transforms(self) -> Path:
        return self.folder / "code/use_cases" / self.name / "transforms.py"

    @property
    def declaration(self) -> Path:
        return self.transforms.with_name("use_case.py")

    @property
    def use_case(self) -> UseCase:
        """The use case, as its files are now."""
        for module in [name for name in sys.modules if name.startswith(f"use_cases.{self.name}")]:
            del sys.modules[module]
        importlib.invalidate_caches()
        return discovery.load(self.name)

    def edit(self, file: Path, *changes: tuple[str, str]) -> None:
        """Replace text in a file; it must be there."""
        text = file.read_text()
        for old, new in changes:
            assert old in text, f"{file.name} has no {old!r}"
            text = text.replace(old, new)
        file.write_text(text)
        assert self.use_case

    def acknowledge(self, *entries: tuple[str, str, str]) -> None:
        """Write the file of acknowledgements: object, change and reason of each."""
        content = [f'[[destroys]]\nobject = "{o}"\nchange = "{c}"\nreason = "{r}"\n' for o, c, r in entries]
        (self.feature_repo / "acknowledged.toml").write_text("\n".join(content))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs that is to find this checkout."""
        return os.environ | {"PYTHONPATH": str(self.folder / "code")}

    def partition(self, day: int) -> Partition:
        return self.use_case.partition(f"2024-01-{day:02}")

    def run(self, *days: int) -> None:
        """What `features` does for each day: ingest, compute, publish."""
        for day in days:
            partition = self.partition(day)
            ingest.ingest_partition(self.use_case, partition)
            compute.compute_features(self.use_case, partition)
            publish.publish_features(self.use_case, partition)


@contextmanager
def checkout_in(folder: Path) -> Iterator[Checkout]:
    """A checkout in `folder` that `perennial.settings` points at, and whose use case can be imported, meanwhile."""
    made = Checkout(folder, f"case{next(_numbers)}")
    shutil.copytree(ENERGY / "use_cases/energy", made.transforms.parent, ignore=shutil.ignore_patterns("__pycache__"))
    made.feature_repo.mkdir()
    yaml = (ROOT / "feature_repo/feature_store.yaml").read_text()
    (made.feature_repo / "feature_store.yaml").write_text(yaml.replace("project: perennial", f"project: {made.name}"))
    made.definitions.write_text((ENERGY / "feature_repo/energy.py").read_text().replace("energy", made.name))
    made.declaration.write_text(made.declaration.read_text().replace("energy", made.name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)  # A file is edited twice within a second.
        patch.syspath_prepend(folder / "code")
        patch.setenv("PERENNIAL_PROJECT", str(folder))
        settings.cache_clear()
        yield made
    settings.cache_clear()
