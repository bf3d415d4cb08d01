"""Chooses how each column is read: the types and formats that fit its values, counted over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold import column_types, number_formats, places
from perennial.scaffold.column_types import ENOUGH, Reading
from perennial.scaffold.places import Place

#: Ways to read a column are tried on some of its first values before the whole is counted.
_HEAD, _TRIED = 100_000, 1_000
_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"


def find(
    connection: duckdb.DuckDBPyConnection,
    place: Place,
    columns: list[tuple[str, str]],
    notations: dict[str, Reading],
) -> tuple[dict[str, Reading], dict[str, dict[str, Any]], dict[str, str]]:
    """How each column is read, what remains doubtful about it, and which columns are left out and why.

    Args:
        connection: DuckDB.
        place: The data.
        columns: Name and DuckDB's type of each column.
        notations: Column -> how its days are written, where `--time-format` says so.

    Raises:
        InvalidParams: the data cannot be read to its end.
    """
    native = {name: column_types.of_native(kind) for name, kind in columns}
    readings: dict[str, Reading] = {name: reading for name, reading in native.items() if reading is not None}
    unread = {name: f"is of type {kind}, which is not supported" for name, kind in columns if name not in readings}
    left_out = {**place.unread, **unread}
    # A UUID is a name, and none of the functions of text takes it.
    texts = [name for name, kind in columns if name in readings and readings[name].kind == "text" and kind != "UUID"]
    tried = _likely(connection, place, texts) | {name: (notations[name],) for name in texts if name in notations}
    tried |= {name: (column_types.FITS,) for name, reading in readings.items() if reading is column_types.FITS}
    counted = _counted(connection, place, tried, list(readings))
    doubts: dict[str, dict[str, Any]] = {}
    fitting: dict[str, list[Reading]] = {}
    for name in list(readings):
        filled = counted[name, None]
        if not filled:
            left_out[name] = "is empty in every row"
            del readings[name]
        elif readings[name] is column_types.FITS:
            readings[name] = column_types.WHOLE if counted[name, column_types.FITS] == filled else column_types.NAMES
        else:
            fits = {reading: counted[name, reading] for reading in tried.get(name, ())}
            best = _best(fits, filled, 0.5 if name in notations else ENOUGH)
            if best:
                readings[name], fitting[name] = best[0], best
                doubts[name] = _doubts(connection, place, name, best, filled - fits[best[0]])
            else:
                numeric = (
                    max((count for reading, count in fits.items() if reading.kind == "number"), default=0) / filled
                )
                doubts[name] = {"mixed": numeric} if numeric > 0.5 else {}
    for name, (reading, *other) in number_formats.settle(connection, place, readings, fitting).items():
        readings[name] = reading
        doubts[name]["either"] = tuple(other)
    return readings, doubts, left_out


def _best(fits: dict[Reading, int], filled: int, enough: float) -> list[Reading]:
    """The readings that lose no more values than any other, the narrowest first: 1.5 is no whole number."""
    good = [reading for reading, count in fits.items() if count / filled >= enough]
    most = max((fits[reading] for reading in good), default=0)
    return [reading for reading in good if fits[reading] == most]


def _doubts(
    connection: duckdb.DuckDBPyConnection, place: Place, name: str, best: list[Reading], lost: int
) -> dict[str, Any]:
    """What remains doubtful about a column that is read by the first of `best`, which does not fit `lost` values."""
    column = quote_ident(name)
    doubts: dict[str, Any] = {"unreadable": lost, "either": tuple(each for each in best[1:] if each.kind == "time")}
    if best[0] is column_types.ISO:
        sql = f"SELECT count(*) FROM {place.reader} WHERE NOT regexp_matches({column}, '{_DAY}')"  # noqa: S608
        doubts["begins_with_day"] = not places.read(connection, place, sql)[0][0]
    if lost:
        sql = f"SELECT min({column}) FROM {place.reader} WHERE {best[0].of(name)} IS NULL"  # noqa: S608
        doubts["unreadable_example"] = str(places.read(connection, place, sql)[0][0])
    return doubts


def _likely(connection: duckdb.DuckDBPyConnection, place: Place, texts: list[str]) -> dict[str, tuple[Reading, ...]]:
    """Column of text -> the readings that fit more than half of some of its first values; all, if these are missing."""
    # Where a comma parts the values, one within a value parts thousands.
    has_decimal_comma = place.format == "csv" and place.delimiter in (";", "\t")
    simple = [each for each in column_types.OF_TEXT if each is not column_types.COMMA or has_decimal_comma]
    if not texts:
        return {}
    head = f"(SELECT {', '.join(map(quote_ident, texts))} FROM {place.reader} LIMIT {_HEAD})"  # noqa: S608
    some = f"SELECT * FROM {head} USING SAMPLE reservoir({_TRIED} ROWS) REPEATABLE (7)"  # noqa: S608
    places.read(connection, place, f"CREATE TEMP TABLE tried AS {some}")
    likely = {}
    for name in texts:
        likely[name] = _fitting(connection, name, simple) or _fitting(connection, name, column_types.NOTATIONS)
    return likely


def _fitting(connection: duckdb.DuckDBPyConnection, name: str, readings: Sequence[Reading]) -> tuple[Reading, ...]:
    counts = ", ".join(f"count({reading.of(name)})" for reading in readings)
    filled, *fits = connection.execute(f"SELECT count({quote_ident(name)}), {counts} FROM tried").fetchall()[0]  # noqa: S608
    if not filled:
        return (*readings, *column_types.NOTATIONS)
    return tuple(reading for reading, fit in zip(readings, fits, strict=True) if fit > filled / 2)


def _counted(
    connection: duckdb.DuckDBPyConnection, place: Place, tried: dict[str, tuple[Reading, ...]], every: list[str]
) -> dict[tuple[str, Reading | None], int]:
    """(column, reading) -> values that fit it; (column, None) -> values at all."""
    wanted: list[tuple[str, Reading | None]] = [(name, None) for name in every]
    wanted += [(name, reading) for name, readings in tried.items() for reading in readings]
    if not wanted:
        return {}
    counts = ", ".join(f"count({reading.of(name) if reading else quote_ident(name)})" for name, reading in wanted)
    result = places.read(connection, place, f"SELECT {counts} FROM {place.reader}")[0]  # noqa: S608
    return dict(zip(wanted, result, strict=True))
