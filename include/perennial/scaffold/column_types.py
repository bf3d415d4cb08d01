"""What a column holds, whatever it is stored as: numbers as text, dates in some notation, seconds since 1970."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from perennial._common.sql_quoting import quote_ident, quote_literal

Kind = Literal["integer", "number", "boolean", "text", "time"]

#: What share of a column's values a reading must fit.
ENOUGH = 0.95
TRUE, FALSE = ("true", "yes", "t", "y"), ("false", "no", "f", "n")
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
#: With dots or dashes, years of two digits look like versions and codes: people have to name such a notation.
_SHORT_DAYS = ("%y/%m/%d", "%d/%m/%y", "%m/%d/%y")
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
#: Two notations of days that are told apart by days after the twelfth only, or by years that are no days. What fits
#: both the first and the last of the short ones fits the one between.
AMBIGUOUS = {
    "%d/%m/%Y": "%m/%d/%Y",
    "%d-%m-%Y": "%m-%d-%Y",
    "%y/%m/%d": "%d/%m/%y",
    "%d/%m/%y": "%m/%d/%y",
}
_EPOCH = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_SOUNDS_LIKE_TIME = re.compile(r"(^|_)(time|date|day|when|ts|timestamp|epoch|datetime|at|on|month|unix\w*)(_|$)")


@dataclass(frozen=True)
class Reading:
    """One way to read a column.

    Attributes:
        kind: What it gives.
        sql: Expression over the column `{c}`; null where a value cannot be read so.
        told: What people call it.
        macro: What the expression is called in a generated `source.py`; empty: short enough to stand there itself.
        notation: Of days, as `strptime` takes it.
        written: Of moments, what a database is asked by for those of a partition: `perennial.sources.spans.Written`.
    """

    kind: Kind
    sql: str
    told: str
    macro: str = ""
    notation: str = ""
    written: str = ""

    def of(self, column: str) -> str:
        """The expression over a column of the data."""
        return self.sql.replace("{c}", quote_ident(column))


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


BOOLEAN = Reading(
    "boolean",
    f"CASE WHEN lower(trim({{c}})) IN ({_words(TRUE)}) THEN true"
    f" WHEN lower(trim({{c}})) IN ({_words(FALSE)}) THEN false END",
    "yes or no",
    "yes_or_no",
)
#: Not what has leading zeros: those are codes.
INTEGER = Reading(
    "integer",
    "try_cast(CASE WHEN regexp_full_match(trim({c}), '[-+]?(0|[1-9][0-9]{0,18})') THEN {c} END AS BIGINT)",
    "whole numbers",
    "whole_number",
)
#: Nor what has more digits than a number keeps: those are names. Infinity and NaN are no numbers to learn from.
NUMBER = Reading(
    "number",
    "try_cast(CASE WHEN NOT regexp_full_match(trim({c}), '0[0-9]+|[-+]?[0-9]{16,}')"
    " AND isfinite(try_cast({c} AS DOUBLE)) THEN {c} END AS DOUBLE)",
    "numbers",
    "any_number",
)
#: The same, where a comma parts the decimals and dots may part the thousands.
COMMA = Reading(
    "number",
    "try_cast(CASE WHEN regexp_full_match(trim({c}),"
    " '[-+]?(0|[1-9][0-9]{0,14}|[1-9][0-9]{0,2}([.][0-9]{3})+)(,[0-9]+)?')"
    " THEN replace(replace({c}, '.', ''), ',', '.') END AS DOUBLE)",
    "numbers with a decimal comma",
    "number_with_comma",
)
#: The same, where a dot parts the decimals and commas may part the thousands.
GROUPED = Reading(
    "number",
    "try_cast(CASE WHEN regexp_full_match(trim({c}),"
    " '[-+]?(0|[1-9][0-9]{0,14}|[1-9][0-9]{0,2}(,[0-9]{3}){1,4})([.][0-9]+)?')"
    " THEN replace({c}, ',', '') END AS DOUBLE)",
    "numbers with commas between thousands",
    "number_with_thousands",
)
#: Years have four digits, else 31/12/23 would be of the year 31; and none is before 1000: those stand for "never".
ISO = Reading(
    "time",
    "try_cast(CASE WHEN regexp_matches({c}, '^ *[1-9][0-9]{3}') THEN {c} END AS TIMESTAMPTZ)",
    "times",
    "moment",
    written="text",
)
#: How text may be read, the narrowest first; what is none of them stays text.
OF_TEXT = (BOOLEAN, INTEGER, NUMBER, COMMA, GROUPED, ISO)
TEXT = Reading("text", "{c}", "text")
#: Whole numbers of a type that holds larger ones than BIGINT: read as `WHOLE` if every one `FITS`, else as `NAMES`,
#: since two of them may be the same to a double.
FITS = Reading("integer", "try_cast({c} AS BIGINT)", "whole numbers")
WHOLE = Reading("integer", "CAST({c} AS BIGINT)", "whole numbers")
NAMES = Reading("text", "CAST({c} AS VARCHAR)", "text")


def in_notation(notation: str) -> Reading:
    """Days written as `notation`, with or without a time of day."""
    if any(clock.strip() in notation for clock in _CLOCKS if clock):
        forms = quote_literal(notation)
    else:
        forms = "[" + ", ".join(quote_literal(notation + clock) for clock in _CLOCKS) + "]"
    # A year of two digits is none of four: 12/31/23 would be of the year 23.
    text = "CASE WHEN regexp_matches({c}, '[1-9][0-9]{3}') THEN {c} END" if "%Y" in notation else "{c}"
    return Reading(
        "time", f"CAST(try_strptime({text}, {forms}) AS TIMESTAMPTZ)", f"times like {notation}", "", notation
    )


NOTATIONS = tuple(in_notation(day) for day in (*_DAYS, *_SHORT_DAYS))


def of_native(kind: str) -> Reading | None:
    """How a column of one of DuckDB's types is read; None: not at all. Text and `FITS` are looked at more closely."""
    base = kind.split("(")[0].upper()
    if kind.endswith("]") or base in ("STRUCT", "MAP", "LIST", "UNION"):
        return None
    if base in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return WHOLE if base != "BIGINT" else Reading("integer", "{c}", "whole numbers")
    if base in ("UBIGINT", "HUGEINT", "UHUGEINT") or (base == "DECIMAL" and kind.endswith(",0)")):
        return FITS
    if base in ("FLOAT", "DOUBLE", "DECIMAL"):
        finite = "CASE WHEN isfinite({c}) THEN CAST({c} AS DOUBLE) END"
        return Reading("number", finite if base in ("FLOAT", "DOUBLE") else "CAST({c} AS DOUBLE)", "numbers")
    if base == "BOOLEAN":
        return Reading("boolean", "{c}", "yes or no")
    if base == "DATE" or base.startswith("TIMESTAMP"):
        return Reading("time", "CAST({c} AS TIMESTAMPTZ)", "times", written="type")
    if base in ("VARCHAR", "ENUM", "UUID"):
        return NAMES if base != "VARCHAR" else TEXT
    return None


def sounds_like_time(name: str) -> bool:
    """Whether a plain name promises a moment."""
    return _SOUNDS_LIKE_TIME.search(name) is not None


def as_time(reading: Reading, low: float | None, high: float | None) -> Reading | None:
    """How numbers between `low` and `high` may be moments: since 1970, of the years 1980 to 2100; or like 20240131."""
    if reading.kind == "time":
        return reading
    if reading.kind not in ("integer", "number") or low is None or high is None:
        return None
    if reading.kind == "integer" and 19000101 <= low <= high <= 21001231:
        day = f"CAST(try_strptime(CAST({reading.sql} AS VARCHAR), '%Y%m%d') AS TIMESTAMPTZ)"
        return Reading("time", day, "days like 20240131", written="days")
    for unit, factor in _EPOCH.items():
        if 315_532_800_000_000 <= low * factor <= high * factor <= 4_102_444_800_000_000:
            whole = reading.sql if reading.kind == "integer" else f"round({reading.sql} * {factor})"
            moment = f"CAST({whole} AS BIGINT)" + (f" * {factor}" if reading.kind == "integer" and factor > 1 else "")
            return Reading("time", f"CAST(make_timestamp({moment}) AS TIMESTAMPTZ)", f"{unit} since 1970", "", "", unit)
    return None
