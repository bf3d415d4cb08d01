"""Columns as a source declares them: the type of each, how it is written in the data, and the SQL that reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from perennial._common.sql_quoting import quote_literal
from perennial.errors import PerennialError

#: Arrow's names; `timestamp` is in microseconds, UTC.
Type = Literal["string", "int64", "float64", "bool", "timestamp"]
Unit = Literal["seconds", "milliseconds", "microseconds"]
TRUE, FALSE = ("true", "yes", "t", "y"), ("false", "no", "f", "n")
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
#: Unit of moments that are numbers -> how many microseconds it is.
MICROSECONDS: dict[Unit, int] = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")


@dataclass(frozen=True)
class Column:
    """A column of a table, and where and how its values are written in the data.

    Attributes:
        type: One of `Type`.
        source: Its name in the data; empty: the same as in the table.
        format: Of timestamps written as text, as `strptime` takes it: `%d.%m.%Y`, with or without a time of day. Empty:
            ISO 8601. Times without a zone are UTC.
        unit: Of timestamps that are numbers: what they count since 1970. None: they are none.
        decimal: What separates the decimals of a number.
        thousands: What may separate its thousands; empty: nothing.
    """

    type: Type
    source: str = ""
    format: str = ""
    unit: Unit | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ","] = ""

    def __post_init__(self) -> None:
        if self.type not in get_args(Type):
            raise PerennialError(
                f"A source declares a column of type {self.type!r}.", f"Choose one of {', '.join(get_args(Type))}."
            )


#: Name in the table -> how it is read there. A type alone means a column of that name, written plainly.
Schema: TypeAlias = Mapping[str, Type | Column]


def columns(schema: Schema) -> dict[str, Column]:
    """Every column of a schema, with its name in the data."""
    declared = {name: Column(each) if isinstance(each, str) else each for name, each in schema.items()}
    return {name: Column(**{**vars(each), "source": each.source or name}) for name, each in declared.items()}


def reading(column: Column, kind: str) -> str:
    """The SQL that reads a value `{c}` as the column's type; null where it cannot be read so, and never another value.

    Args:
        column: The declaration.
        kind: DuckDB's type of the data; text (`VARCHAR`) is parsed.
    """
    base = kind.split("(")[0].upper()
    is_text = base == "VARCHAR"
    match column.type:
        case "string":
            return "{c}" if is_text else "CAST({c} AS VARCHAR)"
        case "bool":
            return "{c}" if base == "BOOLEAN" else _BOOL.replace("{c}", _text(base))
        case "int64":
            return _whole(base)
        case "float64" if is_text:
            return _number(column.decimal, column.thousands)
        case "float64":
            return "CASE WHEN isfinite({c}) THEN CAST({c} AS DOUBLE) END" if _is_float(base) else _DOUBLE
        case _ if base == "DATE" or base.startswith("TIMESTAMP"):
            return "CAST({c} AS TIMESTAMPTZ)"
        case _ if column.unit:
            return _since_1970(base, column.unit)
        case _ if column.format:
            return _in_format(column.format).replace("{c}", "{c}" if is_text else f"CAST({_whole(base)} AS VARCHAR)")
        case _:
            return _ISO.replace("{c}", _text(base))


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(map(quote_literal, words))


_BOOL = (
    f"CASE WHEN lower(trim({{c}})) IN ({_words(TRUE)}) THEN true"
    f" WHEN lower(trim({{c}})) IN ({_words(FALSE)}) THEN false END"
)
_DOUBLE = "try_cast({c} AS DOUBLE)"
#: Not what has leading zeros: those are codes.
_WHOLE_TEXT = "try_cast(CASE WHEN regexp_full_match(trim({c}), '[-+]?(0|[1-9][0-9]{0,18})') THEN {c} END AS BIGINT)"
#: Nor what has more digits than a number keeps: those are names. Infinity and NaN are no numbers to learn from.
_NUMBER_TEXT = (
    "try_cast(CASE WHEN NOT regexp_full_match(trim({c}), '0[0-9]+|[-+]?[0-9]{16,}')"
    " AND isfinite(try_cast({c} AS DOUBLE)) THEN {c} END AS DOUBLE)"
)
#: Years have four digits, else 31/12/23 would be of the year 31; and none is before 1000: those stand for "never".
_ISO = "try_cast(CASE WHEN regexp_matches({c}, '^ *[1-9][0-9]{3}') THEN {c} END AS TIMESTAMPTZ)"


def _text(base: str) -> str:
    return "{c}" if base == "VARCHAR" else "CAST({c} AS VARCHAR)"


def _is_float(base: str) -> bool:
    return base in ("FLOAT", "DOUBLE")


def _whole(base: str) -> str:
    if base in _WHOLE:
        return "{c}" if base == "BIGINT" else "try_cast({c} AS BIGINT)"
    if _is_float(base) or base == "DECIMAL":
        return "CASE WHEN {c} = trunc({c}) THEN try_cast({c} AS BIGINT) END"
    return _WHOLE_TEXT.replace("{c}", _text(base))


def _number(decimal: str, thousands: str) -> str:
    """Of text. With a decimal comma, or a sign between thousands, only what is written exactly so."""
    if (decimal, thousands) == (".", ""):
        return _NUMBER_TEXT
    grouped = f"|[1-9][0-9]{{0,2}}({re.escape(thousands)}[0-9]{{3}}){{1,4}}" if thousands else ""
    pattern = f"[-+]?(0|[1-9][0-9]{{0,14}}{grouped})({re.escape(decimal)}[0-9]+)?"
    plain = f"replace({{c}}, '{thousands}', '')" if thousands else "{c}"
    plain = f"replace({plain}, ',', '.')" if decimal == "," else plain
    return f"try_cast(CASE WHEN regexp_full_match(trim({{c}}), '{pattern}') THEN {plain} END AS DOUBLE)"


def _in_format(form: str) -> str:
    if any(clock.strip() in form for clock in _CLOCKS if clock):
        forms = quote_literal(form)
    else:
        forms = "[" + ", ".join(quote_literal(form + clock) for clock in _CLOCKS) + "]"
    # A year of two digits is none of four: 12/31/23 would be of the year 23.
    text = "CASE WHEN regexp_matches({c}, '[1-9][0-9]{3}') THEN {c} END" if "%Y" in form else "{c}"
    return f"CAST(try_strptime({text}, {forms}) AS TIMESTAMPTZ)"


def _since_1970(base: str, unit: Unit) -> str:
    factor = MICROSECONDS[unit]
    whole, number = _whole(base), _NUMBER_TEXT if base == "VARCHAR" else _DOUBLE
    # TRY: a number too large for any moment is none.
    moment = f"coalesce({whole} * {factor}, CAST(round({number} * {factor}) AS BIGINT))"
    return f"CAST(TRY(make_timestamp({moment})) AS TIMESTAMPTZ)"
