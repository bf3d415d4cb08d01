"""Real months pass, and what cannot be does not."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest

from perennial import Partition, UseCase, testing
from perennial.errors import BadBatch
from use_cases.flights import source


def split(
    flights: UseCase, name: str, rows: pl.DataFrame | pa.Table, partition: Partition
) -> tuple[pa.Table, pa.Table]:
    table = rows if isinstance(rows, pa.Table) else rows.to_arrow()
    split_batch = testing.validate_batch(flights, name, table, partition)
    return split_batch.clean, split_batch.quarantined.append_column("reasons", split_batch.reasons)


def test_a_real_month_of_flights_passes_whole(
    flights: UseCase, february: Partition, february_flights: pa.Table
) -> None:
    clean, quarantined = split(flights, "flights", february_flights, february)
    assert (clean.num_rows, quarantined.num_rows) == (24_936, 0)


def test_a_wind_of_1048_mph_is_quarantined(flights: UseCase, february: Partition) -> None:
    clean, quarantined = split(flights, "weather", source.weather(february), february)
    assert clean.num_rows == 2_009
    assert quarantined["wind_speed"][0].as_py() > 1_000
    assert quarantined["reasons"].to_pylist() == ["expect_column_values_to_be_between(wind_speed)"]


def test_the_register_passes(flights: UseCase, february: Partition) -> None:
    clean, quarantined = split(flights, "planes", source.planes(february), february)
    assert (clean.num_rows, quarantined.num_rows) == (3_322, 0)


def test_rows_that_cannot_be_are_quarantined(flights: UseCase, february: Partition, february_flights: pa.Table) -> None:
    impossible: list[tuple[str, object]] = [
        ("origin", "BOS"),
        ("carrier", None),
        ("carrier", "united"),
        ("distance", 17),
        ("distance", None),
        ("arr_delay", 5_000),
        ("dep_delay", -500),
        ("hour", 24),
    ]
    rows = pl.DataFrame(february_flights).sort("arrived_at", nulls_last=True)
    for row, (column, value) in enumerate(impossible):
        is_row = pl.int_range(pl.len()) == row
        wrong = pl.when(is_row).then(pl.lit(value, rows.schema[column])).otherwise(column)
        rows = rows.with_columns(wrong.alias(column))
    clean, quarantined = split(flights, "flights", rows, february)
    assert (clean.num_rows, quarantined.num_rows) == (24_936 - len(impossible), len(impossible))
    for (column, _), reasons in zip(impossible, quarantined["reasons"].to_pylist(), strict=True):
        assert column in reasons


def test_a_month_cut_short_stops(flights: UseCase, february: Partition, february_flights: pa.Table) -> None:
    rows = pl.DataFrame(february_flights)
    cut = rows.filter(pl.col("sched_dep").dt.day() <= 20)
    with pytest.raises(BadBatch, match="sched_dep"):
        split(flights, "flights", cut, february)


def test_a_month_without_an_airport_stops(flights: UseCase, february: Partition, february_flights: pa.Table) -> None:
    with pytest.raises(BadBatch, match="origin"):
        split(flights, "flights", pl.DataFrame(february_flights).filter(pl.col("origin") != "LGA"), february)
