"""The ways to read a column, however it is stored: numbers as text, dates in some notation, seconds since 1970."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from perennial._common.sql_quoting import quote_ident
from perennial.sources.columns import MICROSECONDS, Column, reading
from perennial.sources.spans import Written

Kind = Literal["integer", "number", "boolean", "text", "time"]

#: What share of a column's values a reading must fit.
ENOUGH = 0.95
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
#: With dots or dashes, years of two digits look like versions and codes: people have to name such a notation.
_SHORT_DAYS = ("%y/%m/%d", "%d/%m/%y", "%m/%d/%y")
#: Two notations of days that are told apart by days after the twelfth only, or by years that are no days. What fits
#: both the first and the last of the short ones fits the one between.
AMBIGUOUS = {
    "%d/%m/%Y": "%m/%d/%Y",
    "%d-%m-%Y": "%m-%d-%Y",
    "%y/%m/%d": "%d/%m/%y",
    "%d/%m/%y": "%m/%d/%y",
}
_SOUNDS_LIKE_TIME = re.compile(r"(^|_)(time|date|day|when|ts|timestamp|epoch|datetime|at|on|month|unix\w*)(_|$)")


@dataclass(frozen=True)
class Reading:
    """One way to read a column.

    Attributes:
        kind: What it gives.
        column: What `source.py` declares for it, but for its name.
        description: What people call it.
        physical: DuckDB's type of the data.
        written: Of moments, what a database is asked by for those of a partition: `perennial.sources.spans.Written`.
    """

    kind: Kind
    column: Column
    description: str
    physical: str = "VARCHAR"
    written: Written = ""

    @property
    def notation(self) -> str:
        """Of days, as `strptime` takes it."""
        return self.column.format

    def of(self, column: str) -> str:
        """The expression over a column of the data; null where a value cannot be read so."""
        return reading(self.column, self.physical).replace("{c}", quote_ident(column))


BOOLEAN = Reading("boolean", Column("bool"), "yes or no")
INTEGER = Reading("integer", Column("int64"), "whole numbers")
NUMBER = Reading("number", Column("float64"), "numbers")
COMMA = Reading("number", Column("float64", decimal=",", thousands="."), "numbers with a decimal comma")
GROUPED = Reading("number", Column("float64", thousands=","), "numbers with commas between thousands")
ISO = Reading("time", Column("timestamp"), "times", written="text")
#: How text may be read, the narrowest first; what is none of them stays text.
OF_TEXT = (BOOLEAN, INTEGER, NUMBER, COMMA, GROUPED, ISO)
TEXT = Reading("text", Column("string"), "text")
#: Whole numbers of a type that holds larger ones than BIGINT: read as `WHOLE` if every one `FITS`, else as `NAMES`,
#: since two of them may be the same to a double.
FITS = Reading("integer", Column("int64"), "whole numbers, if they fit", "HUGEINT")
WHOLE = Reading("integer", Column("int64"), "whole numbers", "HUGEINT")
NAMES = Reading("text", Column("string"), "text", "HUGEINT")


def in_notation(notation: str) -> Reading:
    """Days written as `notation`, with or without a time of day."""
    return Reading("time", Column("timestamp", format=notation), f"times like {notation}")


NOTATIONS = tuple(in_notation(day) for day in (*_DAYS, *_SHORT_DAYS))


def of_native(kind: str) -> Reading | None:
    """How a column of one of DuckDB's types is read; None: not at all. Text and `FITS` are looked at more closely."""
    base = kind.split("(")[0].upper()
    if kind.endswith("]") or base in ("STRUCT", "MAP", "LIST", "UNION"):
        return None
    if base in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return Reading("integer", Column("int64"), "whole numbers", base)
    if base in ("UBIGINT", "HUGEINT", "UHUGEINT") or (base == "DECIMAL" and kind.endswith(",0)")):
        return FITS
    if base in ("FLOAT", "DOUBLE", "DECIMAL"):
        return Reading("number", Column("float64"), "numbers", base)
    if base == "BOOLEAN":
        return Reading("boolean", Column("bool"), "yes or no", base)
    if base == "DATE" or base.startswith("TIMESTAMP"):
        return Reading("time", Column("timestamp"), "times", base, "type")
    if base in ("VARCHAR", "ENUM", "UUID"):
        return NAMES if base != "VARCHAR" else TEXT
    return None


def once_read(kind: Kind) -> Reading:
    """How a column is read that was read as `kind` already."""
    columns = {
        "integer": (Column("int64"), "BIGINT"),
        "number": (Column("float64"), "DOUBLE"),
        "boolean": (Column("bool"), "BOOLEAN"),
        "text": (Column("string"), "VARCHAR"),
        "time": (Column("timestamp"), "TIMESTAMP WITH TIME ZONE"),
    }
    column, physical = columns[kind]
    return Reading(kind, column, "", physical)


def sounds_like_time(name: str) -> bool:
    """Whether a plain name suggests a time."""
    return _SOUNDS_LIKE_TIME.search(name) is not None


def as_time(read: Reading, low: float | None, high: float | None) -> Reading | None:
    """How numbers may be moments: since 1970, of the years 1980 to 2100; or like 20240131. None: not at all.

    Args:
        read: How the numbers are read; what are moments already is given back.
        low: The smallest number; None: there is none.
        high: The largest number; None: there is none.
    """
    if read.kind == "time":
        return read
    if read.kind not in ("integer", "number") or low is None or high is None:
        return None
    if read.kind == "integer" and 19000101 <= low <= high <= 21001231:
        day = Column("timestamp", format="%Y%m%d")
        return Reading("time", day, "days like 20240131", read.physical, "days")
    for unit, factor in MICROSECONDS.items():
        if 315_532_800_000_000 <= low * factor <= high * factor <= 4_102_444_800_000_000:
            return Reading("time", Column("timestamp", unit=unit), f"{unit} since 1970", read.physical, unit)
    return None
