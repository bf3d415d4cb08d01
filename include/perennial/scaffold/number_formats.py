"""Decides from the whole data whether dots and commas in numbers separate decimals or thousands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold import places
from perennial.scaffold.column_types import COMMA, GROUPED, NUMBER, Reading
from perennial.scaffold.places import Place


def settle(
    connection: duckdb.DuckDBPyConnection,
    place: Place,
    readings: Mapping[str, Reading],
    fitting: Mapping[str, Sequence[Reading]],
) -> dict[str, tuple[Reading, ...]]:
    """How the columns are read that are like 1.234 or 1,234 in each value; where nothing tells, the other reading too.

    Another column with a decimal dot says that dots part decimals and commas thousands, one with a decimal comma the
    contrary. Else what has neither says it: thousands begin after 999.

    Args:
        connection: DuckDB.
        place: The data.
        readings: Of every column, so far.
        fitting: Column -> the readings that fit it equally well, the one so far first.
    """
    dotted = [name for name, best in fitting.items() if best[0] is NUMBER and COMMA in best]
    commas = [name for name, best in fitting.items() if best[0] is COMMA and GROUPED in best]
    plain = {reading for name, reading in readings.items() if name not in (*dotted, *commas)}
    has_dot, has_comma = bool(plain & {NUMBER, GROUPED}), COMMA in plain
    # Where a comma parts the values, or in Parquet, a dot parts decimals unless another column says otherwise.
    may_begin = place.format == "csv" and place.delimiter in (";", "\t")
    settled: dict[str, tuple[Reading, ...]] = {}
    for name in dotted if not has_dot else ():
        differ, begins = _looked_at(connection, place, name, NUMBER, ".")
        if not differ and ((begins and may_begin) or has_comma):
            settled[name] = (COMMA,)
    for name in commas if not has_comma or has_dot else ():
        differ, begins = _looked_at(connection, place, name, GROUPED, ",")
        is_thousand = True if has_dot and not has_comma else begins
        if is_thousand is None and not differ:
            # Semicolons are there for the sake of decimal commas.
            settled[name] = (COMMA, GROUPED) if place.delimiter == ";" else (GROUPED, COMMA)
        elif is_thousand and not differ:
            settled[name] = (GROUPED,)
    return settled


def _looked_at(
    connection: duckdb.DuckDBPyConnection, place: Place, name: str, reading: Reading, sign: str
) -> tuple[bool, bool | None]:
    """Whether `reading` and `COMMA` fit different values, and whether values without the sign are below a thousand.

    The second is None where there are no such values.
    """
    number, comma, text = reading.of(name), COMMA.of(name), quote_ident(name)
    sql = (
        f"SELECT count(*) FILTER (({number} IS NULL) != ({comma} IS NULL)),"  # noqa: S608
        f" max(abs({number})) FILTER (NOT contains({text}, '{sign}')) FROM {place.reader}"
    )
    ((differing, most),) = places.read(connection, place, sql)
    return differing > 0, None if most is None else most < 1_000
