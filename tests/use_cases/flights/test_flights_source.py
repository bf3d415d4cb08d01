"""The source reads what is there, and says what is wrong with what is not."""

from __future__ import annotations

import zipfile
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from perennial import Partition, UseCase
from perennial.errors import BadBatch
from use_cases.flights import source


def test_a_partition_has_the_flights_scheduled_in_it(february: Partition, february_flights: pa.Table) -> None:
    times = february_flights["sched_dep"]
    assert february_flights.num_rows == 24_936
    assert february.start <= pc.min(times).as_py()
    assert pc.max(times).as_py() < february.end
    assert pc.count_distinct(february_flights["flight_id"]).as_py() == february_flights.num_rows


def test_partitions_neither_lose_nor_repeat_a_flight(flights: UseCase) -> None:
    months = [source.flights(flights.partition(key)) for key in ("2013-11", "2013-12")]
    # 27,268 and 28,135 flights by the calendar of New York; those of its last evenings belong to the next UTC month.
    assert [month.num_rows for month in months] == [27_200, 28_191]
    ids = pl.concat([pl.DataFrame(month.select(["flight_id"])) for month in months])
    assert not ids["flight_id"].is_duplicated().any()


def test_times_are_utc_and_agree_with_the_time_in_the_air(february_flights: pa.Table) -> None:
    """On the ground a flight spends between 5 minutes and 4 hours: an error of a time zone would break that."""
    rows = pl.DataFrame(february_flights).filter(pl.col("air_time").is_not_null())
    elapsed = (rows["arrived_at"] - rows["departed_at"]).dt.total_minutes()
    on_ground = elapsed - rows["air_time"]
    assert on_ground.min() >= 5
    assert on_ground.max() <= 240
    assert february_flights.schema.field("arrived_at").type == pa.timestamp("us", tz="UTC")


def test_a_flight_over_midnight_arrives_the_next_day(february_flights: pa.Table) -> None:
    rows = pl.DataFrame(february_flights).filter((pl.col("dest") == "BQN") & (pl.col("hour") == 23))
    assert rows.height > 20
    duration = rows["sched_arr"] - rows["sched_dep"]
    assert duration.min() > timedelta(hours=3)
    assert duration.max() < timedelta(hours=5)


def test_cancelled_and_diverted_flights_stay(february_flights: pa.Table) -> None:
    rows = pl.DataFrame(february_flights)
    assert rows["cancelled"].sum() == 1_270
    assert rows.filter("cancelled")["departed_at"].null_count() == rows["cancelled"].sum()
    assert rows.filter("diverted")["arrived_at"].null_count() == rows["diverted"].sum() > 0


def test_the_register_is_known_from_the_partitions_start(february: Partition) -> None:
    assert set(source.planes(february)["known_at"].to_pylist()) == {february.start}


def test_an_environment_variable_names_another_folder(
    february: Partition, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLIGHTS_DATA", str(data))
    assert 0 < source.flights(february).num_rows < 10_000


def test_an_absent_file_is_named(february: Partition, data: Path) -> None:
    (data / "weather.csv").unlink()
    with pytest.raises(BadBatch, match=r"no file .*weather\.csv"):
        source.weather(february, data)


def test_an_empty_file_is_refused(february: Partition, data: Path) -> None:
    (data / "flights.csv").write_text("")
    with pytest.raises(BadBatch, match=r"flights\.csv is empty"):
        source.flights(february, data)


def test_a_truncated_archive_is_refused(february: Partition, data: Path) -> None:
    whole = data / "flights.csv"
    archive = data / "flights.csv.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(whole, "flights.csv")
    whole.unlink()
    assert source.flights(february, data).num_rows > 0
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(BadBatch, match=r"flights\.csv\.zip is truncated"):
        source.flights(february, data)


def test_a_renamed_column_is_named(february: Partition, data: Path) -> None:
    file = data / "flights.csv"
    file.write_text(file.read_text().replace("arr_delay", "arrival_delay", 1))
    with pytest.raises(BadBatch, match=r"flights\.csv lacks column 'arr_delay'[^$]*arrival_delay"):
        source.flights(february, data)


def test_a_value_of_the_wrong_type_is_shown(february: Partition, data: Path) -> None:
    rows = pl.read_csv(data / "flights.csv", infer_schema=False)
    rows[7, "distance"] = "far"
    rows.write_csv(data / "flights.csv")
    with pytest.raises(BadBatch, match=r"line 9: column 'distance': 'far' cannot be read as int64"):
        source.flights(february, data)


def test_a_time_that_cannot_be_read_is_shown(february: Partition, data: Path) -> None:
    rows = pl.read_csv(data / "flights.csv", infer_schema=False)
    rows[0, "time_hour"] = "yesterday"
    rows.write_csv(data / "flights.csv")
    with pytest.raises(BadBatch, match=r"column 'time_hour'.*'yesterday'"):
        source.flights(february, data)


def test_an_unknown_destination_is_named(february: Partition, data: Path) -> None:
    rows = pl.read_csv(data / "flights.csv", infer_schema=False)
    rows[0, "dest"] = "XXX"
    rows.write_csv(data / "flights.csv")
    with pytest.raises(BadBatch, match=r"no time zone .* 'XXX'"):
        source.flights(february, data)
