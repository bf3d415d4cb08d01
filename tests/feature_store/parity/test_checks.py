"""Parity of a whole use case: what is online, and what scoring kept, against the lake."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from perennial import lake
from perennial.errors import BadFeatures, OnlineOfflineMismatch
from perennial.feature_store import parity, repository, store
from perennial.feature_store.parity.report import plain
from perennial.ingestion import compute, ingest, publish
from perennial.served_predictions import table
from perennial.settings import settings
from perennial.use_case import UseCase

KEY = {"site": "site-0", "meter": "meter-3"}


@pytest.fixture(scope="module")
def energy(project: Path, energy: UseCase) -> UseCase:
    """The second use case with three days in the lake and online, the middle one last."""
    repository.apply_if_changed()
    with pytest.raises(BadFeatures, match="none of its feature views is online yet"):
        parity.check_online(energy)
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        ingest.ingest_partition(energy, energy.partition(day))
        compute.compute_features(energy, energy.partition(day))
    for day in ("2024-01-01", "2024-01-03", "2024-01-02"):
        publish.publish_features(energy, energy.partition(day))
    return energy


def write_online(time: datetime, value: float, key: dict[str, str] = KEY) -> None:
    """Put a value online behind the pipeline's back."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    store = repository.open_store()
    view = repository.feature_views("energy")["energy_meter_history"]
    entity = EntityKey(join_keys=list(key), entity_values=[Value(string_val=value) for value in key.values()])
    values = {"meter_last": Value(double_val=value), "meter_mean_24h": Value(double_val=value)}
    store.provider.online_write_batch(store.config, view, [(entity, values, time, None)], None)


@pytest.fixture
def broken(energy: UseCase):
    """One meter's newest value online is wrong, until the day is brought online again."""
    write_online(datetime(2024, 1, 4, tzinfo=UTC) - timedelta(hours=1), -1.0)
    yield energy
    publish.publish_features(energy, energy.partition("2024-01-03"))


def records(use_case: UseCase, day: str) -> list[dict[str, Any]]:
    rows = lake.records(use_case.tables.parity, between=(day, day))
    return sorted(rows, key=lambda row: row["recorded_at"])


def test_what_is_online_equals_the_lake(energy: UseCase) -> None:
    report = parity.check_online(energy)
    assert report.is_consistent
    (view,) = report.views
    assert view.keys == 12
    assert view.until == datetime(2024, 1, 4, tzinfo=UTC)
    assert view.newest == datetime(2024, 1, 3, 23, tzinfo=UTC)


def test_an_old_partition_is_consistent_with_newer_ones_online(energy: UseCase) -> None:
    assert parity.check_online(energy, energy.partition("2024-01-01")).is_consistent


def test_a_newer_partition_not_online_yet_is_no_difference(energy: UseCase) -> None:
    tomorrow = energy.partition("2024-01-04")
    ingest.ingest_partition(energy, tomorrow)
    compute.compute_features(energy, tomorrow)
    try:
        assert parity.check_online(energy).is_consistent
        assert parity.check_online(energy, energy.partition("2024-01-03")).is_consistent
    finally:
        lake.replace("energy.meter_history", tomorrow.key, lake.read("energy.meter_history").slice(0, 0))


def test_a_wrong_value_is_an_error_that_says_the_fix(broken: UseCase) -> None:
    with pytest.raises(OnlineOfflineMismatch) as caught:
        parity.check_and_record(broken, broken.partition("2024-01-03"))
    problem, fix = caught.value.problem, caught.value.fix
    assert "energy_meter_history" in problem
    assert "site='site-0', meter='meter-3'" in problem
    assert re.search(r"meter_last: online -1\.0 \(of 2024-01-03 23:00:00\), offline [\d.]+ \(of 2024-01-03 23", problem)
    assert "perennial trigger energy features --partition 2024-01-03" in fix


def test_the_fix_works_and_each_change_is_recorded_once(broken: UseCase) -> None:
    last = broken.partition("2024-01-03")
    for _ in range(2):
        with pytest.raises(OnlineOfflineMismatch):
            parity.check_and_record(broken, last)
    publish.publish_features(broken, last)
    for _ in range(2):
        assert parity.check_and_record(broken, last) == {"views": 1, "keys": 12}
    assert [row["differences"] for row in records(broken, last.key)[-2:]] == [2, 0]
    evidence = json.loads(records(broken, last.key)[-2]["evidence"])
    assert evidence[0]["key"] == KEY
    assert evidence[0]["served"] == -1.0


def test_a_value_gone_from_the_lake_has_a_fix_of_its_own(energy: UseCase) -> None:
    later = datetime(2024, 1, 3, 23, 30, tzinfo=UTC)
    write_online(later, 7.0, {"site": "site-1", "meter": "meter-1"})
    try:
        with pytest.raises(OnlineOfflineMismatch, match="rebuild the online store") as caught:
            parity.check_and_record(energy, energy.partition("2024-01-03"))
        assert "--partition" not in caught.value.fix
    finally:
        (settings().home / "online.db").unlink()
        for name in ("online.db-wal", "online.db-shm"):
            (settings().home / name).unlink(missing_ok=True)
        store._open.cache_clear()
        for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
            publish.publish_features(energy, energy.partition(day))
    assert parity.check_online(energy).is_consistent


@pytest.fixture
def promising(energy: UseCase, project: Path):
    """Lets the view promise something about its freshness."""
    file = project / "feature_repo" / "energy.py"
    before = file.read_text()

    def promise(span: str) -> None:
        file.write_text(before.replace("    ttl=", f'    tags={{"freshness": "{span}"}},\n    ttl='))
        repository.apply_if_changed()

    yield promise
    file.write_text(before)
    repository.apply_if_changed()


def test_a_view_staler_than_its_freshness_tag_is_an_error(energy: UseCase, promising) -> None:
    promising("PT30M")
    with pytest.raises(OnlineOfflineMismatch, match=r"(?s)is older.*more than 0:30:00 before the end.*freshness"):
        parity.check_and_record(energy, energy.partition("2024-01-03"))
    assert parity.check_online(energy, energy.partition("2024-01-02")).is_consistent, (
        "an old partition says nothing about freshness"
    )


def test_a_freshness_tag_that_is_no_duration_is_an_error(energy: UseCase, promising) -> None:
    promising("soon")
    with pytest.raises(BadFeatures, match="PT36H"):
        parity.check_online(energy)


def test_what_is_online_is_consistent_however_late_it_is_declared(energy: UseCase, project: Path) -> None:
    """By the declaration, the last day's rows are published with the next day; online they are already."""
    file = project / "feature_repo" / "energy.py"
    before = file.read_text()
    file.write_text(before.replace('"event_timestamp")', '"event_timestamp", published_every=timedelta(days=1))'))
    try:
        repository.apply_if_changed()
        assert repository.publications("energy")["energy_meter_history"].every == timedelta(days=1)
        assert parity.check_online(energy, energy.partition("2024-01-03")).is_consistent
    finally:
        file.write_text(before)
        repository.apply_if_changed()


@pytest.fixture(scope="module")
def scored(energy: UseCase) -> UseCase:
    """A day of predictions, with the features they were made from and the snapshots those came from."""
    examples = lake.read("energy.examples", partitions=["2024-01-02"]).drop_columns(["label", "label_timestamp"])
    snapshots = lake.snapshots(repository.lake_tables("energy").values())
    rows = repository.historical_features("energy", examples, snapshots=snapshots)
    rows = rows.drop_columns([name for name in rows.column_names if name.endswith("__event_timestamp")])
    rows = rows.append_column("lake_snapshots", pa.array([json.dumps(snapshots)] * rows.num_rows))
    lake.append_missing("energy.predictions", rows, key=energy.examples.key)
    return energy


def test_features_stored_by_scoring_equal_the_lake_of_then(scored: UseCase) -> None:
    report = parity.check_logged(scored, scored.partition("2024-01-02"), keys=1000)
    assert report.is_consistent
    assert [(view.keys, view.corrected) for view in report.views] == [(288, 0)]


def test_a_lake_corrected_since_is_counted_and_is_no_difference(scored: UseCase) -> None:
    before = lake.read("energy.meter_history", partitions=["2024-01-02"])
    number = before.column_names.index("meter_last")
    changed = before.set_column(number, "meter_last", pa.array([0.25] * before.num_rows))
    lake.replace("energy.meter_history", "2024-01-02", changed, sort_by=("site", "meter", "event_timestamp"))
    try:
        report = parity.check_logged(scored, scored.partition("2024-01-02"))
    finally:
        lake.replace("energy.meter_history", "2024-01-02", before, sort_by=("site", "meter", "event_timestamp"))
    assert report.is_consistent
    assert report.views[0].corrected > 50


def test_a_stored_feature_not_in_the_lake_is_a_difference(scored: UseCase) -> None:
    rows = lake.read("energy.predictions", partitions=["2024-01-02"]).slice(0, 2)
    for name, value in {"meter_mean_24h": [99.0, 99.0], "meter": ["meter-0", "meter-3"]}.items():
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(value))
    rows = rows.set_column(0, "partition", pa.array(["2024-01-03", "2024-01-03"]))
    lake.append_missing("energy.predictions", rows, key=scored.examples.key)
    report = parity.check_logged(scored, scored.partition("2024-01-03"))
    assert not report.is_consistent
    assert {one.served for one in report.views[0].differences if one.feature == "meter_mean_24h"} == {99.0}


@pytest.fixture
def answered(energy: UseCase) -> UseCase:
    """Predictions on request of one moment, from what is online, under a name of their own."""
    made = energy.model_copy(update={"name": f"e{uuid.uuid4().hex[:8]}"})
    keys = [{"site": "site-0", "meter": f"meter-{number}"} for number in (0, 3, 6)]
    keys.append({"site": "site-9", "meter": "nobody's"})
    needed = {"hour_sin": 0.0, "hour_cos": 1.0}
    served = repository.online_features("energy", [key | needed for key in keys], statuses=True, at=ANSWERED)
    rows = [
        {name: value for name, value in row.items() if not name.endswith("__status")}
        | {"prediction_id": f"id{number}", "event_timestamp": ANSWERED, "answered_at": ANSWERED}
        | {"served_as": "champion", "prediction": 1.0}
        for number, row in enumerate(served)
    ]
    table.append(made, pa.Table.from_pylist(rows))
    return made


ANSWERED = datetime(2024, 1, 4, 1, tzinfo=UTC)


def test_features_that_were_answered_equal_the_lake(answered: UseCase) -> None:
    report = parity.check_logged(answered, answered.partition("2024-01-04"))
    assert report.is_consistent
    assert [view.keys for view in report.views] == [3], "what was missing is not compared"


def test_an_answered_feature_not_in_the_lake_is_a_difference(answered: UseCase) -> None:
    rows = table.read(answered, "2024-01-04").slice(0, 1)
    moment = ANSWERED - timedelta(minutes=1)
    for name, value in {"meter_last": 99.0, "prediction_id": "other", "event_timestamp": moment}.items():
        number = rows.column_names.index(name)
        rows = rows.set_column(number, name, pa.array([value], rows.schema.field(name).type))
    table.append(answered, rows.drop_columns(["partition"]))
    report = parity.check_logged(answered, answered.partition("2024-01-04"))
    assert {(one.feature, one.served) for one in report.views[0].differences} == {("meter_last", 99.0)}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        ([1.5, -math.inf], [1.5, "-inf"]),
        ({"at": timedelta(hours=1)}, {"at": 3600.0}),
        (b"x", "b'x'"),
    ],
)
def test_evidence_is_valid_json(value: object, shown: object) -> None:
    assert plain(value) == shown
    json.dumps(plain(value), allow_nan=False)


def test_a_partition_without_predictions_is_an_error(scored: UseCase) -> None:
    with pytest.raises(BadFeatures, match="no predictions of partition '2024-01-09'"):
        parity.check_logged(scored, scored.partition("2024-01-09"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perennial.cli", "parity", *arguments]
    path = os.pathsep.join([str(Path(__file__).parents[2] / "second_use_case"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, timeout=240)


def test_the_command_shows_each_view_and_exits_with_0(energy: UseCase) -> None:
    done = run("energy", "--keys", "5")
    assert done.returncode == 0, done.stderr
    assert re.search(r"energy_meter_history +5 +0 +2024-01-03 23:00:00 +yes", done.stdout)


def test_the_command_exits_with_1_where_values_differ(broken: UseCase) -> None:
    done = run("energy", "--json")
    assert done.returncode == 1
    shown = json.loads(done.stdout)
    assert shown["holds"] is False
    (one, _) = shown["views"][0]["differences"]
    assert (one["feature"], one["served"], one["key"]) == ("meter_last", -1.0, KEY)
    assert "--partition 2024-01-03" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_checks_what_scoring_stored(scored: UseCase) -> None:
    done = run("energy", "--logged", "2024-01-02")
    assert done.returncode == 0, done.stderr
    assert "corrected" in done.stdout


def test_a_partition_that_comes_online_meanwhile_raises_no_alarm(energy: UseCase) -> None:
    tomorrow = energy.partition("2024-01-04")
    ingest.ingest_partition(energy, tomorrow)
    compute.compute_features(energy, tomorrow)
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(lambda: [publish.publish_features(energy, tomorrow) for _ in range(5)])
        while not publishing.done():
            assert parity.check_online(energy, energy.partition("2024-01-02")).is_consistent
    assert publishing.result()[0] == {"energy_meter_history": 12}
    assert parity.check_online(energy, tomorrow).is_consistent
