"""Decides from the whole data whether dots and commas in numbers separate decimals or thousands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold import places
from perennial.scaffold.column_types import Reading
from perennial.scaffold.places import Place


def settle(
    connection: duckdb.DuckDBPyConnection,
    place: Place,
    readings: Mapping[str, Reading],
    fitting: Mapping[str, Sequence[Reading]],
) -> dict[str, tuple[Reading, ...]]:
    """How the columns are read that are like 1.234 or 1,234 in each value; where nothing tells, the other reading too.

    Another column with a decimal dot says that dots part decimals and commas thousands, one with a decimal comma the
    contrary, whatever currency or percent signs they have. Else what has neither says it: thousands begin after 999.

    Args:
        connection: DuckDB.
        place: The data.
        readings: Of every column, so far.
        fitting: Column -> the readings that fit it equally well, the one so far first.
    """
    dotted = {name: pair for name, best in fitting.items() if (pair := _readings(best, ".", thousands=""))}
    commas = {name: pair for name, best in fitting.items() if (pair := _readings(best, ",", thousands=","))}
    # Whole numbers have no decimals, and where both signs fit, the values have neither.
    signs = [
        {each.column.decimal for each in best if each.kind == "number"}
        for name, best in fitting.items()
        if name not in {*dotted, *commas} and readings[name].kind == "number"
    ]
    has_dot, has_comma = {"."} in signs, {","} in signs
    # Where a comma parts the values, or in Parquet, a dot parts decimals unless another column says otherwise.
    may_begin = place.format == "csv" and place.delimiter in (";", "\t")
    settled: dict[str, tuple[Reading, ...]] = {}
    for name, (number, comma) in dotted.items() if not has_dot else ():
        differ, has_sign, begins = _looked_at(connection, place, name, number, comma, ".")
        if differ:
            continue
        # Of amounts of money without cents, those from 1.000 on have a dot.
        is_printed = _is_printed(number)
        if has_comma or (has_sign and begins and (may_begin or is_printed)):
            settled[name] = (comma,)
        elif has_sign and is_printed and begins is None:
            settled[name] = (number, comma)
    for name, (grouped, comma) in commas.items():
        differ, _, begins = _looked_at(connection, place, name, grouped, comma, ",")
        is_thousand = has_dot if has_dot != has_comma else begins
        if differ:
            continue
        if is_thousand is None:
            # Semicolons are there for the sake of decimal commas.
            settled[name] = (comma, grouped) if place.delimiter == ";" else (grouped, comma)
        else:
            settled[name] = (grouped,) if is_thousand else (comma,)
    return settled


def _readings(best: Sequence[Reading], sign: str, *, thousands: str) -> tuple[Reading, Reading] | None:
    """Of readings that fit equally well: one with a decimal dot, and one with a decimal comma; None: not both.

    Args:
        best: The readings, the one so far first.
        sign: What is in the values, a dot or a comma.
        thousands: What separates thousands in the first.
    """
    numbers = [each for each in best if each.kind == "number"]
    dot = next((each for each in numbers if (each.column.decimal, each.column.thousands) == (".", thousands)), None)
    comma = next((each for each in numbers if (each.column.decimal, each.column.thousands) == (",", ".")), None)
    if dot is None or comma is None or best[0] not in (dot, comma):
        return None
    # Where values have neither sign, all readings fit.
    plain_dot = any((each.column.decimal, each.column.thousands) == (".", "") for each in numbers)
    return None if sign == "," and plain_dot else (dot, comma)


def _is_printed(reading: Reading) -> bool:
    return bool(reading.column.prefix or reading.column.suffix or reading.column.parentheses)


def _looked_at(
    connection: duckdb.DuckDBPyConnection, place: Place, name: str, reading: Reading, comma: Reading, sign: str
) -> tuple[bool, bool, bool | None]:
    """Whether the readings fit different values, whether any has the sign, and whether those without are below 1000.

    The last is None where there are no such values.
    """
    number, other, text = reading.of(name), comma.of(name), quote_ident(name)
    sql = (
        f"SELECT count(*) FILTER (({number} IS NULL) != ({other} IS NULL)),"  # noqa: S608
        f" count(*) FILTER (contains({text}, '{sign}')),"
        f" max(abs({number})) FILTER (NOT contains({text}, '{sign}')) FROM {place.reader_of([name])}"
    )
    ((differing, signed, most),) = places.read(connection, place, sql)
    return differing > 0, signed > 0, None if most is None else most < 1_000
