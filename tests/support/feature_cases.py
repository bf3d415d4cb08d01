"""A feature repository of a test's own: a project folder, a Feast project and lake tables nobody else has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from perennial import lake
from perennial.settings import settings

_numbers = count()

_STORE = "type: perennial.feature_store.online.ConfiguredOnlineStore"
#: The rows of tests are of 2013: they are served whatever their age, unless a test asks otherwise.
YAML = (
    (Path(__file__).parents[2] / "feature_repo" / "feature_store.yaml")
    .read_text()
    .replace(_STORE, f"{_STORE}\n  expired: serve")
)

#: One view of the test's own table `stats`, and a service of the test's own name.
DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, Int64

from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.STRING)
stats = FeatureView(
    name="{name}_stats",
    entities=[driver],
    ttl=timedelta(hours=1),
    schema=[Field(name="trips", dtype=Int64), Field(name="rating", dtype=Float64)],
    source=LakeSource(table="{name}.stats"),
)
service = FeatureService(name="{name}", features=[stats])
"""


@dataclass(frozen=True)
class Repository:
    """A project folder with a feature repository in it."""

    folder: Path
    name: str

    def define(self, text: str = DEFINITIONS, file: str = "") -> None:
        """Write a module of the repository; `{name}` in it becomes the test's name."""
        (self.folder / "feature_repo" / (file or f"{self.name}.py")).write_text(text.replace("{name}", self.name))

    def write(self, table: str, partition: str = "2013-01", **columns: object) -> None:
        """Make these rows a partition of the test's lake table."""
        lake.replace(f"{self.name}.{table}", partition, pa.table(columns))


@contextmanager
def repository_in(folder: Path) -> Iterator[Repository]:
    """An empty feature repository in `folder`, which `perennial.settings` points at meanwhile."""
    name = f"case{next(_numbers)}"
    (folder / "feature_repo").mkdir()
    (folder / "feature_repo" / "feature_store.yaml").write_text(YAML.replace("project: perennial", f"project: {name}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_PROJECT", str(folder))
        settings.cache_clear()
        yield Repository(folder, name)
    settings.cache_clear()
