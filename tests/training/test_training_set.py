"""Training sets are checked, immutable and named by their content."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from perennial import discovery
from perennial.errors import BadFeatures, NotEnoughData
from perennial.feature_store.publication import Publication
from perennial.training import training_set, training_set_file
from perennial.training.training_set import TrainingSet
from perennial.use_case import Examples

START = datetime(2024, 1, 1, tzinfo=UTC)
USE_CASE = SimpleNamespace(
    name="taxis",
    examples=Examples(key=("id",), inputs=("trips",)),
    module=lambda name: SimpleNamespace(),
)


def examples(rows: int = 3) -> pa.Table:
    times = [START + timedelta(hours=hour) for hour in range(rows)]
    return pa.table({"id": list(range(rows)), "event_timestamp": pa.array(times, pa.timestamp("us", tz="UTC"))})


def with_feature(rows: pa.Table, times: list[datetime | None]) -> pa.Table:
    return rows.append_column("zone__event_timestamp", pa.array(times, pa.timestamp("us", tz="UTC")))


def test_rows_known_in_time_pass() -> None:
    rows = with_feature(examples(), [START, None, START + timedelta(hours=2)])
    training_set.check(USE_CASE, examples(), rows)


def test_a_value_from_the_future_of_its_row_is_refused() -> None:
    rows = with_feature(examples(), [START + timedelta(microseconds=1), None, None])
    with pytest.raises(BadFeatures, match="1 rows see values of view 'zone' before they are published"):
        training_set.check(USE_CASE, examples(), rows)


def test_a_value_that_was_not_published_by_then_is_refused() -> None:
    rows = with_feature(examples(), [None, START, START + timedelta(minutes=90)])
    training_set.check(USE_CASE, examples(), rows, {"zone": Publication(timedelta(hours=1))})
    later = {"zone": Publication(timedelta(hours=1), timedelta(minutes=1))}
    with pytest.raises(BadFeatures, match="2 rows see values of view 'zone' before they are published"):
        training_set.check(USE_CASE, examples(), rows, later)


def test_a_lost_row_is_refused() -> None:
    with pytest.raises(BadFeatures, match="3 examples went in, 2 rows came out"):
        training_set.check(USE_CASE, examples(), examples().slice(0, 2))


def test_reordered_rows_are_refused() -> None:
    with pytest.raises(BadFeatures, match="column 'id' is not what went in"):
        training_set.check(USE_CASE, examples(), examples().take([2, 1, 0]))


def stored(folder: Path, rows: pa.Table) -> TrainingSet:
    content = training_set_file.encode(rows)
    digest = hashlib.sha256(content).hexdigest()
    path = str(folder / f"{digest}.parquet")
    training_set_file.store(content, path)
    end = START + timedelta(hours=3)
    half = START + timedelta(hours=2)
    return TrainingSet(
        digest=digest, path=path, start=START, holdout_start=half, end=end, rows=rows.num_rows, snapshots={}
    )


def test_fit_and_holdout_part_at_the_moment_of_prediction(tmp_path: Path) -> None:
    data = stored(tmp_path, examples(3))
    assert data.fit["id"].tolist() == [0, 1]
    assert data.holdout["id"].tolist() == [2]


def test_classes_are_needed_among_the_rows_to_fit_on() -> None:
    flights = discovery.load("flights")
    half = flights.gate.min_rows
    first, last = flights.partition("2013-01"), flights.partition("2013-02")
    moments = [first.start] * half + [last.start] * half
    rows = pa.table({"event_timestamp": moments, "label": [0.0] * half + [0.0, 1.0] * (half // 2)})
    with pytest.raises(NotEnoughData, match="every label to fit on is 0"):
        training_set.check_enough(flights, rows, first, last, last.start)
