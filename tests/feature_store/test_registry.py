"""Feast's registry: what concurrent writers do to it, and how it grows."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from feast.protos.feast.core.FeatureService_pb2 import FeatureService
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.repo_config import RegistryConfig
from feature_cases import YAML, Repository
from online_cases import NOON
from sqlalchemy import MetaData, String, cast, create_engine, func, select

from perennial.feature_store import repository
from perennial.feature_store.registry import CheckedFileRegistryStore, RegistryChanged
from perennial.services import postgres

HOUR = timedelta(hours=1)

FILE_REGISTRY = """registry:
  registry_type: file
  path: registry.db
  registry_store_type: perennial.feature_store.registry.CheckedFileRegistryStore
"""


@pytest.fixture
def file_repo(repo: Repository) -> Repository:
    """A repository whose registry is a file."""
    head, rest = YAML.split("registry:\n")
    text = head + FILE_REGISTRY + "\n" + rest.split("\n\n", 1)[1]
    (repo.folder / "feature_repo" / "feature_store.yaml").write_text(
        text.replace("project: perennial", f"project: {repo.name}")
    )
    return repo


def define(repo: Repository, hours: int) -> None:
    repo.write(
        "stats",
        driver_id=["a"] * hours,
        event_timestamp=pa.array([NOON + hour * HOUR for hour in range(hours)], pa.timestamp("us", "UTC")),
        trips=list(range(hours)),
        rating=[0.5] * hours,
    )
    repo.define()
    repository.apply_if_changed()


def intervals(repo: Repository) -> list:
    store = repository.open_store()
    return store.registry.get_feature_view(f"{repo.name}_stats", store.project).materialization_intervals


def size_in_database(project: str) -> dict[str, tuple[int, int]]:
    """Rows and characters that each table of the registry has of a project."""
    engine, tables = create_engine(postgres.url("feast")), MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        sizes = {
            name: connection.execute(
                select(
                    func.count(),
                    func.coalesce(func.sum(sum(func.length(cast(column, String)) for column in table.columns)), 0),
                ).where(table.c.project_id == project)
            ).one()
            for name, table in tables.tables.items()
            if "project_id" in table.c
        }
    engine.dispose()
    return {name: (rows, int(characters)) for name, (rows, characters) in sizes.items() if rows}


def test_fifty_materializations_leave_the_registry_small(repo: Repository) -> None:
    define(repo, hours=50)
    repository.materialize(repo.name, NOON, NOON + HOUR)
    before = size_in_database(repo.name)
    for hour in range(1, 50):
        repository.materialize(repo.name, NOON + hour * HOUR, NOON + (hour + 1) * HOUR)
    after = size_in_database(repo.name)
    assert intervals(repo) == [(NOON, NOON + 50 * HOUR)]
    assert {name: rows for name, (rows, _) in after.items()} == {name: rows for name, (rows, _) in before.items()}
    # A time takes a byte more or less, by its digits.
    assert sum(size for _, size in after.values()) <= sum(size for _, size in before.values()) + 50


def test_applying_adds_a_version_only_when_a_schema_changes(repo: Repository) -> None:
    define(repo, hours=1)
    history = size_in_database(repo.name)["feature_view_version_history"]
    for ttl in (2, 3, 4):
        text = (repo.folder / "feature_repo" / f"{repo.name}.py").read_text()
        (repo.folder / "feature_repo" / f"{repo.name}.py").write_text(text.replace("hours=", f"hours={ttl} + 0*"))
        assert repository.apply_if_changed()
    assert size_in_database(repo.name)["feature_view_version_history"] == history


def test_concurrent_processes_lose_nothing_of_a_file_registry(file_repo: Repository) -> None:
    hours = 8
    define(file_repo, hours)
    script = textwrap.dedent("""
        import sys
        from datetime import datetime, timedelta
        from perennial.feature_store import repository
        noon, hour = datetime.fromisoformat(sys.argv[2]), timedelta(hours=1)
        for n in eval(sys.argv[3]):
            repository.materialize(sys.argv[1], noon + n * hour, noon + (n + 1) * hour)
            repository.apply_if_changed()
    """)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, file_repo.name, NOON.isoformat(), f"range({first}, {hours}, 2)"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for first in range(2)
    ]
    for worker in workers:
        _, trouble = worker.communicate(timeout=200)
        assert worker.returncode == 0, trouble
    assert intervals(file_repo) == [(NOON, NOON + hours * HOUR)]
    assert (file_repo.folder / "feature_repo" / "registry.db").is_file()


def test_a_change_made_from_an_old_copy_of_the_file_is_refused(tmp_path: Path) -> None:
    options = RegistryConfig(path=str(tmp_path / "registry.db"))
    stores = [CheckedFileRegistryStore(options, tmp_path) for _ in range(2)]
    stores[0].update_registry_proto(RegistryProto(feature_services=[FeatureService(spec={"name": "first"})]))
    mine, theirs = (store.get_registry_proto() for store in stores)
    theirs.feature_services.add(spec={"name": "theirs"})
    stores[1].update_registry_proto(theirs)
    mine.feature_services.add(spec={"name": "mine"})
    with pytest.raises(RegistryChanged, match="changed by another process"):
        stores[0].update_registry_proto(mine)
    assert [service.spec.name for service in stores[0].get_registry_proto().feature_services] == ["first", "theirs"]


def test_of_two_starting_a_new_file_the_second_takes_over(tmp_path: Path) -> None:
    options = RegistryConfig(path=str(tmp_path / "registry.db"))
    first, second = (CheckedFileRegistryStore(options, tmp_path) for _ in range(2))
    first.update_registry_proto(RegistryProto(feature_services=[FeatureService(spec={"name": "first"})]))
    empty = RegistryProto()
    second.update_registry_proto(empty)
    assert empty == first.get_registry_proto()
