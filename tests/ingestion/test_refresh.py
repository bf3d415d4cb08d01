"""A partition under way is brought to the lake and online part by part, and completed by the run at its end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pipelines import run_features, run_features_until

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store import computations
from perennial.feature_store.parity import check_online
from perennial.ingestion import refresh
from perennial.partitions import Partition
from perennial.training import planning
from perennial.use_case import UseCase

pytestmark = [pytest.mark.usefixtures("project"), pytest.mark.timeout(600)]
HOUR = timedelta(hours=1)
DAY = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def energy(energy: UseCase, project) -> Iterator[UseCase]:
    """Hourly refreshed, after one complete day; of whole kWh, of which means are exact whatever the order."""
    source = energy.module("source")
    readings = source.readings

    def whole(partition: Partition) -> pa.Table:
        rows = readings(partition)
        return rows.set_column(3, "kwh", pc.round(rows["kwh"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "readings", whole)
        run_features_until(energy, "2024-01-01")
        yield energy


@pytest.fixture
def day() -> Iterator[datetime]:
    """A day of the test's own, which follows a complete one."""
    global DAY
    yield DAY
    DAY += timedelta(days=1)


@pytest.fixture
def complete(energy: UseCase, day: datetime) -> Iterator[None]:
    """The day is complete when the test ends."""
    yield
    run_features(energy, energy.cadence.at(day))


def history(key: str) -> pa.Table:
    rows = lake.read("energy.meter_history", partitions=[key])
    return rows.sort_by([("meter", "ascending"), ("event_timestamp", "ascending")])


def newest_online(energy: UseCase) -> datetime:
    """The newest event time that is served; everything online equals the lake at the same moment."""
    (view,) = check_online(energy).views
    assert not view.differences
    return view.newest


@pytest.mark.usefixtures("complete")
def test_only_what_is_known_by_then_is_in_the_lake(energy: UseCase, day: datetime) -> None:
    done = refresh.refresh_features(energy, day + 6 * HOUR)
    readings = lake.read("energy.readings", partitions=[done["partition"]])
    assert pc.max(readings["read_at"]).as_py() == day + 5 * HOUR
    assert readings.num_rows == 12 * 6
    assert pc.max(history(done["partition"])["event_timestamp"]).as_py() == day + 5 * HOUR


@pytest.mark.usefixtures("complete")
def test_a_refresh_brings_online_what_is_new_only(energy: UseCase, day: datetime) -> None:
    refresh.refresh_features(energy, day + 6 * HOUR)
    assert newest_online(energy) == day + 5 * HOUR
    done = refresh.refresh_features(energy, day + 7 * HOUR)
    assert done["new"] == {"readings": 12, "meter_history": 12}
    assert done["online"] == {"energy_meter_history": 12}
    assert newest_online(energy) == day + 6 * HOUR
    assert refresh.refresh_features(energy, day + 7 * HOUR) is None, "the same moment again"
    assert refresh.refresh_features(energy, day + 6 * HOUR) is None, "an earlier one"


@pytest.mark.usefixtures("complete")
def test_each_refresh_is_recorded_as_a_publication(energy: UseCase, day: datetime) -> None:
    for hours in (6, 7, 7):
        refresh.refresh_features(energy, day + hours * HOUR)
    key = energy.cadence.at(day).key
    recorded = lake.records("energy.publications", between=(key, key))
    assert sorted(row["until"] for row in recorded) == [day + 6 * HOUR, day + 7 * HOUR]


@pytest.mark.usefixtures("complete")
def test_refreshes_equal_one_computation_of_the_whole(energy: UseCase, day: datetime) -> None:
    for hours in (3, 4, 5, 11, 24):
        refresh.refresh_features(energy, day + timedelta(hours=hours, microseconds=-1))
    key = energy.cadence.at(day).key
    parts = history(key)
    run_features(energy, energy.cadence.at(day))
    assert parts.equals(history(key))


@pytest.mark.usefixtures("complete")
def test_nobody_takes_an_open_partition_for_complete(energy: UseCase, day: datetime) -> None:
    partition = energy.cadence.at(day)
    newest = planning.newest_partition(energy)
    before = lake.snapshots(["energy.meter_history"])
    refresh.refresh_features(energy, day + 6 * HOUR)
    assert not computations.partitions_with_examples(energy, partition, partition)
    assert lake.records("energy.batches", between=(partition.key, partition.key)) == []
    assert partition.key not in lake.partitions("energy.examples")
    assert lake.snapshots(["energy.meter_history"]) == before, "what training pins"
    assert planning.newest_partition(energy) == newest < partition.key


@pytest.mark.usefixtures("complete")
def test_the_run_at_the_end_leaves_a_lasting_snapshot(energy: UseCase, day: datetime) -> None:
    partition = energy.cadence.at(day)
    refresh.refresh_features(energy, partition.end - timedelta(microseconds=1))
    run_features(energy, partition)
    (pinned,) = lake.snapshots(["energy.meter_history"]).values()
    assert lake.read("energy.meter_history", partitions=[partition.key], snapshot=pinned).num_rows == 12 * 24


def test_a_complete_partition_is_not_refreshed(energy: UseCase, day: datetime) -> None:
    partition = energy.cadence.at(day)
    run_features(energy, partition)
    before = lake.snapshot("energy.readings")
    assert refresh.refresh_features(energy, day + 6 * HOUR) is None
    assert lake.snapshot("energy.readings") == before


@pytest.mark.usefixtures("complete")
def test_the_rest_of_the_day_before_comes_first(energy: UseCase, day: datetime) -> None:
    refresh.refresh_features(energy, day + 20 * HOUR)
    refresh.refresh_features(energy, day + 26 * HOUR)
    first = history(energy.cadence.at(day).key)
    assert pc.max(first["event_timestamp"]).as_py() == day + 23 * HOUR


def test_after_the_use_cases_end_there_is_nothing_to_do(energy: UseCase) -> None:
    assert refresh.refresh_features(energy, datetime(2024, 2, 1, 6, tzinfo=UTC)) is None
    assert refresh.refresh_features(energy, datetime(2023, 2, 1, 6, tzinfo=UTC)) is None


def test_a_gap_in_what_features_look_back_to_is_an_error(energy: UseCase) -> None:
    with pytest.raises(BadFeatures, match="never ingested for 2024-01-18, 2024-01-19"):
        refresh.refresh_features(energy, datetime(2024, 1, 20, 6, tzinfo=UTC))
