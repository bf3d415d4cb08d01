"""The table `served_predictions`: a prediction enters once, into the partition of the moment it was made for."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from perennial import lake
from perennial.lake import expiry
from perennial.lake.schemas import SERVED_PREDICTION
from perennial.served_predictions import table
from perennial.use_case import UseCase

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _stores(home: Path) -> None:
    """An empty lake."""


@pytest.fixture
def use_case(energy: UseCase) -> UseCase:
    """A use case without any table."""
    return energy.model_copy(update={"name": f"e{uuid.uuid4().hex[:8]}"})


def predictions(count: int = 1, moment: datetime = NOON, **columns: object) -> pa.Table:
    row = {"event_timestamp": moment, "answered_at": moment, "prediction": 1.5, "model_version": 3, "model_run": "r"}
    rows = [row | {"prediction_id": str(uuid.uuid4()), "served_as": "champion", "meter": "m"} | columns] * count
    return pa.Table.from_pylist(
        [each | {"prediction_id": str(uuid.uuid4())} for each in rows] if count > 1 else rows,
        schema=pa.schema([*SERVED_PREDICTION, pa.field("meter", pa.string())]),
    )


def stored(use_case: UseCase, partition: str = "2024-01-05") -> list[dict]:
    rows = table.read(use_case, partition)
    return [] if rows is None else rows.to_pylist()


def test_there_is_no_table_before_the_first(use_case: UseCase) -> None:
    assert table.read(use_case, "2024-01-05") is None


def test_a_prediction_is_appended_once(use_case: UseCase) -> None:
    rows = predictions(3)
    assert table.append(use_case, rows).num_rows == 3
    assert table.append(use_case, pa.concat_tables([rows, rows, more := predictions()])).num_rows == 1
    assert {each["prediction_id"] for each in stored(use_case)} == {
        *rows["prediction_id"].to_pylist(),
        *more["prediction_id"].to_pylist(),
    }
    assert len(stored(use_case)) == 4


def test_its_partition_is_that_of_its_moment(use_case: UseCase) -> None:
    late = NOON + timedelta(days=400)
    table.append(use_case, predictions(answered_at=late))
    table.append(use_case, predictions(moment=late))
    (row,) = stored(use_case)
    assert (row["partition"], row["event_timestamp"], row["answered_at"]) == ("2024-01-05", NOON, late)
    assert lake.partitions(use_case.tables.served_predictions) == ["2024-01-05", "2025-02-08"]


def test_one_of_many_moments_is_found_again(use_case: UseCase) -> None:
    for minute in range(4):
        table.append(use_case, predictions(moment=NOON + timedelta(minutes=minute), prediction_id=f"id{minute}"))
    again = pa.concat_tables(
        predictions(moment=NOON + timedelta(minutes=minute), prediction_id=f"id{minute}") for minute in (3, 1)
    )
    assert table.append(use_case, again).num_rows == 0


def test_columns_that_are_left_out_are_null(use_case: UseCase) -> None:
    table.append(use_case, predictions().drop_columns(["latency_ms", "caller"]))
    (row,) = stored(use_case)
    assert (row["latency_ms"], row["caller"], row["meter"]) == (None, None, "m")


def test_an_input_named_as_an_own_column_has_another(use_case: UseCase) -> None:
    assert [table.data_column(name) for name in ("caller", "meter", "event_timestamp")] == [
        "caller_of_example",
        "meter",
        "event_timestamp",
    ]


def test_two_writers_at_once_append_once(use_case: UseCase) -> None:
    rows = predictions(20)
    with ThreadPoolExecutor(2) as pool:
        appended = list(pool.map(lambda _: table.append(use_case, rows).num_rows, range(2)))
    assert sorted(appended) == [0, 20]
    assert len(stored(use_case)) == 20


def test_errors_do_not_count(use_case: UseCase) -> None:
    rows = pa.concat_tables([predictions(error="PredictionFailed", prediction=None), predictions()])
    assert table.counting(table.append(use_case, rows))["prediction"].to_pylist() == [1.5]


def test_shadows_do_not_count(use_case: UseCase) -> None:
    rows = pa.concat_tables(predictions(served_as=each) for each in ("champion", "canary", "shadow", "ahead"))
    assert table.counting(rows)["served_as"].to_pylist() == ["champion", "canary", "ahead"]


def test_files_of_a_partition_are_merged_when_they_are_many(use_case: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_MANY_FILES", 4)
    before = NOON - timedelta(days=1)
    table.append(use_case, predictions(moment=before))
    files = []
    for minute in range(6):
        table.append(use_case, predictions(moment=NOON + timedelta(minutes=minute), prediction_id=f"id{minute}"))
        read = lake.table(use_case.tables.served_predictions)
        assert read is not None
        files.append(len(list(read.scan(row_filter=lake.equals("partition", "2024-01-05")).plan_files())))
    assert files == [1, 2, 3, 1, 2, 3]
    assert sorted(each["prediction_id"] for each in stored(use_case)) == [f"id{minute}" for minute in range(6)]
    assert len(stored(use_case, "2024-01-04")) == 1
    assert table.append(use_case, predictions(prediction_id="id0")).num_rows == 0


def test_no_more_rows_are_merged_than_fit_into_memory(use_case: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_MANY_FILES", 3)
    monkeypatch.setattr(table, "_MOST_ROWS", 6)
    made = [predictions(2) for _ in range(9)]
    for rows in made:
        table.append(use_case, rows)
    read = lake.table(use_case.tables.served_predictions)
    assert read is not None
    assert [task.file.record_count for task in read.scan().plan_files()] == [6, 6, 6]
    ids = pa.concat_tables(made)["prediction_id"].to_pylist()
    assert sorted(each["prediction_id"] for each in stored(use_case)) == sorted(ids)


def test_ids_are_looked_for_among_what_was_answered_then(use_case: UseCase) -> None:
    earlier, later = predictions(answered_at=NOON), predictions(answered_at=NOON + timedelta(hours=1))
    for rows in (earlier, later):
        assert table.append(use_case, rows, fixed="answered_at").num_rows == 1
    again = pa.concat_tables([earlier, predictions(answered_at=NOON)])
    assert table.append(use_case, again, fixed="answered_at").num_rows == 1
    assert len(stored(use_case)) == 3


def test_snapshots_of_the_past_hours_do_not_pile_up(use_case: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "KEPT", timedelta(0))
    monkeypatch.setattr(expiry, "AT_ONCE", 4)
    for _ in range(12):
        table.append(use_case, predictions())
    read = lake.table(use_case.tables.served_predictions)
    assert read is not None
    assert len(read.metadata.snapshots) <= 6
    assert len(stored(use_case)) == 12


def test_many_appends_leave_few_manifests(use_case: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_MANY_FILES", 1000)
    for minute in range(105):
        table.append(use_case, predictions(moment=NOON + timedelta(minutes=minute)))
    read = lake.table(use_case.tables.served_predictions)
    assert read is not None
    assert read.inspect.manifests().num_rows < 20
    assert len(stored(use_case)) == 105
