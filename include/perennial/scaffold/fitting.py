"""Chooses how each column is read: the types and formats that fit its values, counted over all rows."""

from __future__ import annotations

from typing import Any

import duckdb

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.scaffold import column_types, names, number_formats, places, printed_numbers
from perennial.scaffold.column_types import ENOUGH, Reading
from perennial.scaffold.places import Place
from perennial.sources.columns import BLANKS, FALSE, TRUE

#: Ways to read a column are tried on some of its first values before the whole is counted.
_HEAD, _TRIED = 100_000, 1_000
#: Words that people write where there is no value, in small letters; others are values that cannot be read.
NOTHING = (
    *(
        "-",
        "--",
        "---",
        ".",
        "..",
        "...",
        "?",
        "??",
        "*",
        "\\n",
        "(null)",
        "<null>",
        "null",
        "nil",
        "none",
        "nan",
        "na",
    ),
    *("n.a.", "n/a", "n.d.", "nd", "#n/a", "#value!", "#null!", "unknown", "missing", "undefined", "not available"),
    *("not applicable", "no data", "no value", "tbd", "empty", "blank"),
)
#: So many different words of a label stand for one that is not known, where somebody says so.
_MOST_WORDS = 20
_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ZONE = ":[0-9.]+ ?(Z|UTC|[-+][0-9:]+)$"


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
    left_out = {
        **place.unread,
        **{name: f"is of type {kind}, which is not supported" for name, kind in columns if name not in readings},
    }
    # A UUID is a name, and none of the functions of text takes it.
    texts = [name for name, kind in columns if name in readings and readings[name].kind == "text" and kind != "UUID"]
    tried = {
        **_likely(connection, place, texts),
        **{name: (notations[name],) for name in texts if name in notations},
        **{name: (column_types.FITS,) for name, reading in readings.items() if reading is column_types.FITS},
    }
    counted = _counted(connection, place, tried, list(readings))
    doubts: dict[str, dict[str, Any]] = {}
    fitting: dict[str, list[Reading]] = {}
    lost: dict[str, int] = {}
    for name in list(readings):
        filled = counted[name, None]
        if not filled:
            left_out[name] = "is empty in every row"
            del readings[name]
        elif readings[name] is column_types.FITS:
            readings[name] = column_types.WHOLE if counted[name, column_types.FITS] == filled else column_types.NAMES
        else:
            fits = {reading: counted[name, reading] for reading in tried.get(name, ())}
            best = _best(fits, filled, 0.5 if name in notations else _share_to_fit(name))
            if best:
                readings[name], fitting[name] = best[0], best
                lost[name] = filled - fits[best[0]]
            else:
                numeric = max((count for each, count in fits.items() if each.kind == "number"), default=0) / filled
                doubts[name] = {"mixed": numeric} if numeric > 0.5 else {}
    doubts |= _without_categories(connection, place, readings, fitting, lost)
    doubts |= _doubts(connection, place, fitting, lost)
    for name, (reading, *other) in number_formats.settle(connection, place, readings, fitting).items():
        readings[name] = reading
        doubts[name]["either"] = tuple(other)
    return readings, doubts, left_out


def _without_categories(
    connection: duckdb.DuckDBPyConnection,
    place: Place,
    readings: dict[str, Reading],
    fitting: dict[str, list[Reading]],
    lost: dict[str, int],
) -> dict[str, dict[str, Any]]:
    """Read as text what looks like yes or no and is neither: N, F and T are three values, NO beside SE is a country."""
    names = [name for name, best in fitting.items() if best[0] is column_types.BOOLEAN]
    asked = [
        (name, f"list(DISTINCT lower(trim({quote_ident(name)}))) FILTER ({column_types.BOOLEAN.of(name)} IS NOT NULL)")
        for name in names
    ]
    doubts: dict[str, dict[str, Any]] = {}
    for name, words in zip(names, places.read_each(connection, place, asked), strict=True):
        is_pair = any(set(words) <= set(pair) for pair in zip(TRUE, FALSE, strict=True))
        if not is_pair or (lost[name] and len(words) < 2):
            readings[name], doubts[name] = column_types.TEXT, {}
            del fitting[name], lost[name]
    return doubts


def _share_to_fit(name: str) -> float:
    """What share of the values of a column must fit; C536379 among invoices of digits is no missing number."""
    return 1.0 if names.sounds_like_id(names.plain(name)) else ENOUGH


def _best(fits: dict[Reading, int], filled: int, enough: float) -> list[Reading]:
    """The readings that lose no more values than any other, the narrowest first: 1.5 is no whole number."""
    good = [reading for reading, count in fits.items() if count / filled >= enough]
    most = max((fits[reading] for reading in good), default=0)
    return [reading for reading in good if fits[reading] == most]


def _doubts(
    connection: duckdb.DuckDBPyConnection, place: Place, fitting: dict[str, list[Reading]], lost: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """What remains doubtful about columns.

    Args:
        connection: DuckDB.
        place: The data.
        fitting: Column -> the readings that fit it equally well; the first is taken.
        lost: Column -> how many values that reading does not fit.
    """
    doubts: dict[str, dict[str, Any]] = {}
    asked: dict[tuple[str, str], str] = {}
    for name, best in fitting.items():
        column, either = quote_ident(name), tuple(each for each in best[1:] if each.kind == "time")
        doubts[name] = {"unreadable": lost[name], "either": either}
        if best[0] is column_types.ISO:
            zoned = f"regexp_matches({_filled(name)}, '{_ZONE}')"
            asked[name, "has_zone"] = f"count(*) FILTER ({best[0].of(name)} IS NOT NULL AND NOT {zoned}) = 0"
            asked[name, "begins_with_day"] = f"count(*) FILTER (NOT regexp_matches({column}, '{_DAY}')) = 0"
        if lost[name]:
            asked |= {(name, fact): sql for fact, sql in _unreadable(name, best[0]).items()}
    answers = places.read_each(connection, place, [(name, sql) for (name, _), sql in asked.items()])
    for (name, fact), answer in zip(asked, answers, strict=True):
        doubts[name][fact] = tuple(sorted(answer or ())[:_MOST_WORDS]) if fact in ("nulls", "all_words") else answer
    return doubts


def _unreadable(name: str, reading: Reading) -> dict[str, str]:
    """What is asked about the values of a column that a reading makes nothing of, as aggregates."""
    column, lost = quote_ident(name), f"{_filled(name)} IS NOT NULL AND {reading.of(name)} IS NULL"
    words = ", ".join(map(quote_literal, NOTHING))
    nothing = f"{lost} AND lower(trim({column})) IN ({words})"
    word = f"{lost} AND NOT regexp_matches({column}, '[0-9]')"
    other = f"min({column}) FILTER ({lost} AND lower(trim({column})) NOT IN ({words}))"
    return {
        "unreadable_example": f"CAST(coalesce({other}, min({column}) FILTER ({lost})) AS VARCHAR)",
        "words": f"count_if({nothing})",
        "nulls": f"list(DISTINCT trim({column})) FILTER ({nothing})",
        "all_word_count": f"count_if({word})",
        "all_words": f"list(DISTINCT trim({column})) FILTER ({word})",
    }


def _likely(connection: duckdb.DuckDBPyConnection, place: Place, texts: list[str]) -> dict[str, tuple[Reading, ...]]:
    """Column of text -> the readings that fit more than half of some of its first values; all, if these are missing."""
    if not texts:
        return {}
    head = f"(SELECT {', '.join(map(quote_ident, texts))} FROM {place.reader} LIMIT {_HEAD})"  # noqa: S608
    some = f"SELECT * FROM {head} USING SAMPLE reservoir({_TRIED} ROWS) REPEATABLE (7)"  # noqa: S608
    places.read(connection, place, f"CREATE TEMP TABLE tried AS {some}")
    likely = _fitting(connection, place, dict.fromkeys(texts, tuple(column_types.OF_TEXT)))
    others = {name: column_types.NOTATIONS for name, fits in likely.items() if not fits}
    likely |= _fitting(connection, place, others)
    others = {name: printed_numbers.candidates(connection, name) for name, fits in likely.items() if not fits}
    return likely | _fitting(connection, place, others)


def _fitting(
    connection: duckdb.DuckDBPyConnection, place: Place, readings: dict[str, tuple[Reading, ...]]
) -> dict[str, tuple[Reading, ...]]:
    """Column -> those of its readings that fit more than half of the values in table `tried`."""
    asked = [
        (name, f"count({each})")
        for name, some in readings.items()
        for each in (_filled(name), *(reading.of(name) for reading in some))
    ]
    counts = iter(places.read_each(connection, place, asked, "tried"))
    fitting = {}
    for name, some in readings.items():
        filled, *fits = (next(counts) for _ in (None, *some))
        fitting[name] = tuple(each for each, fit in zip(some, fits, strict=True) if fit > filled / 2)
        if not filled:
            fitting[name] = tuple(dict.fromkeys((*some, *column_types.NOTATIONS)))
    return fitting


def _filled(name: str) -> str:
    """The text of a column, null where it is blank: in what is not text, blanks are no value."""
    return f"nullif(trim({quote_ident(name)}, {quote_literal(BLANKS)}), '')"


def _counted(
    connection: duckdb.DuckDBPyConnection, place: Place, tried: dict[str, tuple[Reading, ...]], every: list[str]
) -> dict[tuple[str, Reading | None], int]:
    """(column, reading) -> values that fit it; (column, None) -> values at all."""
    texts = {name for name, readings in tried.items() if any(each.physical == "VARCHAR" for each in readings)}
    wanted: list[tuple[str, Reading | None]] = [(name, None) for name in every]
    wanted += [(name, reading) for name, readings in tried.items() for reading in readings]
    values = [
        (name, reading.of(name) if reading else _filled(name) if name in texts else quote_ident(name))
        for name, reading in wanted
    ]
    counts = [(name, f"count({value})") for name, value in values]
    return dict(zip(wanted, places.read_each(connection, place, counts), strict=True))
