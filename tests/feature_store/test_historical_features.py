"""Known at the time, and rebuilt to the byte: corrections change what is seen from now on, never what was seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_cases import Repository

from perennial import lake
from perennial.feature_store import repository
from perennial.feature_store.publication import AT_ONCE
from perennial.partitions import Cadence
from perennial.training import training_set
from perennial.use_case import Examples, Gate, UseCase
from perennial.use_case.table_names import TableNames

START = datetime(2013, 1, 1, tzinfo=UTC)

DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Int64

from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.STRING)
stats = FeatureView(
    name="{name}_stats",
    entities=[driver],
    ttl=timedelta(days=9),
    schema=[Field(name="trips", dtype=Int64)],
    source=LakeSource(table="{name}.stats", created_timestamp_column="written_at"),
)
service = FeatureService(name="{name}", features=[stats])
"""


def days(*numbers: float) -> pa.Array:
    return pa.array([START + timedelta(days=number) for number in numbers], pa.timestamp("us", "UTC"))


@pytest.fixture
def use_case(repo: Repository) -> SimpleNamespace:
    """One driver, seen daily; two rows of it known in time, one of them corrected too late for the first examples."""
    repo.write(
        "stats",
        driver_id=["a", "a", "a"],
        event_timestamp=days(0, 2, 2),
        written_at=days(0, 2, 5),
        trips=[1, 2, 3],
    )
    moments = (1, 3, 4, 5, 6, 7)
    repo.write(
        "examples",
        id=list(range(len(moments))),
        driver_id=["a"] * len(moments),
        event_timestamp=days(*moments),
        label=[0, 1, 0, 1, 0, 1],
        label_timestamp=days(*(moment + 1 for moment in moments)),
    )
    repo.define(DEFINITIONS)
    repository.apply_if_changed()
    declared = {
        "name": repo.name,
        "tables": TableNames(repo.name),
        "feature_service": repo.name,
        "task": "binary",
        "examples": Examples(key=("id", "driver_id"), inputs=("stats",)),
        "gate": Gate(metric="roc_auc", min_rows=2, holdout=timedelta(days=3), block=timedelta(hours=6)),
        "holdout_start": lambda start, end: START + timedelta(days=5),
        "module": lambda name: SimpleNamespace(),
    }
    fields = UseCase.model_fields.items()
    return SimpleNamespace(**{name: each.get_default() for name, each in fields if not each.is_required()} | declared)


def built(use_case: SimpleNamespace, **options: object) -> training_set.TrainingSet:
    month = Cadence.MONTHLY.at(START)
    return training_set.build(use_case, month, month, **options)


def trips(data: training_set.TrainingSet) -> list[int]:
    return pq.read_table(data.path)["trips"].to_pylist()


def test_a_training_set_sees_corrections_once_written(use_case: SimpleNamespace) -> None:
    assert trips(built(use_case)) == [1, 2, 2, 3, 3, 3]


def test_what_was_corrected_since_is_seen_at_once_only_if_asked(use_case: SimpleNamespace) -> None:
    assert trips(built(use_case, known_at_the_time=False)) == [1, 3, 3, 3, 3, 3]


def test_a_row_is_seen_once_it_is_published(use_case: SimpleNamespace, repo: Repository) -> None:
    """Every 36 hours since 1970 is, in this month, noon of the first day, midnight two days in, and so on.

    What becomes known at such a moment comes with the next one.
    """
    before, created = built(use_case), 'created_timestamp_column="written_at"'
    published = f"{created}, published_every=timedelta(hours=36), published_after=timedelta(hours=1)"
    repo.define(DEFINITIONS.replace(created, published))
    repository.apply_if_changed()
    moments = pa.table({"driver_id": ["a"] * 8, "event_timestamp": days(0, 1, 2, 3, 3.5, 4.5, 5.5, 7)})

    def seen(**options: object) -> list[int | None]:
        return repository.historical_features(repo.name, moments, **options)["trips"].to_pylist()

    assert seen() == [None, 1, 1, 1, 1, 2, 2, 3]
    assert seen(known_at_the_time=False) == [None, 1, 1, 1, 1, 3, 3, 3]
    assert seen(publications={f"{repo.name}_stats": AT_ONCE}) == [1, 1, 2, 2, 2, 2, 3, 3]
    assert built(use_case).digest != before.digest


def test_a_training_set_is_rebuilt_to_the_byte_after_corrections(use_case: SimpleNamespace, repo: Repository) -> None:
    before = built(use_case)
    late = {"driver_id": ["a"] * 2, "event_timestamp": days(0, 0.5), "written_at": days(0, 0.5), "trips": [8, 9]}
    repo.write("stats", **late)
    lake.replace(f"{repo.name}.examples", "2013-01", lake.read(f"{repo.name}.examples").slice(1))
    now = built(use_case)
    assert now.digest != before.digest
    again = built(use_case, snapshots=before.snapshots)
    assert again.digest == before.digest
    assert again.snapshots == before.snapshots
