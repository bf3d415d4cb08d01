"""Profiles data: what each column holds, in two passes over the files and with bounded memory.

The first pass finds how each column is read, the second copies it so read into a temporary database, which everything
else is asked of. Text that lacks values takes a third: words like NA are counted there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from perennial._common.duckdb_session import in_parts
from perennial._common.sql_quoting import quote_ident
from perennial.errors import InvalidParams
from perennial.scaffold import column_types, dialects, fitting, names, places
from perennial.scaffold.column_types import Reading
from perennial.scaffold.places import Place
from perennial.sources.files import NULLS

#: How much a look may hold in memory; beyond it spills.
MEMORY = "1GB"
#: Up to so many different values are a set that can be written down.
FEW = 50
#: So many columns are measured by one query: each query has a cost for every column of the table.
_AT_ONCE = 50


@dataclass(frozen=True)
class ProfiledColumn:
    """A column of the data.

    Attributes:
        source: Its name there.
        name: Its name in the use case, and in table `looked`.
        reading: How it is read there.
        missing: Rows without a value, those that cannot be read included.
        distinct: Different values, about; exact up to `FEW`.
        low, high: Of numbers and times.
        mean, spread: Of numbers: mean and standard deviation.
        values: All of them, the most frequent first, if they are `FEW` at most and no numbers of a measure.
        unreadable: Values that the reading makes nothing of, and one of them; of text: words like NA.
        words, nulls: How many of those are words that stand for no value, and which.
        all_word_count, all_words: How many of them have no digit, and which.
        mixed: Share of values that are numbers, of a text that is not all numbers.
        either: Readings that fit as well; of text, one that makes nothing of a few of its values.
        begins_with_day: Whether each of its texts begins with a day like 2024-01-31, of those read as times.
        has_zone: Whether each of its times names its zone.
        infinite: Of numbers, how many are infinite, which the column has no value for.
    """

    source: str
    name: str
    reading: Reading
    missing: int = 0
    distinct: int = 0
    low: Any = None
    high: Any = None
    mean: float | None = None
    spread: float | None = None
    values: tuple[Any, ...] = ()
    unreadable: int = 0
    unreadable_example: str = ""
    words: int = 0
    nulls: tuple[str, ...] = ()
    all_word_count: int = 0
    all_words: tuple[str, ...] = ()
    mixed: float = 0.0
    either: tuple[Reading, ...] = ()
    begins_with_day: bool = False
    has_zone: bool = False
    infinite: int = 0

    @property
    def kind(self) -> str:
        """What the column's values are: `number`, `text`, `time` and so on."""
        return self.reading.kind

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in ("integer", "number")

    @property
    def has_mean(self) -> bool:
        """Whether a mean of it says something: of numbers, and of yes and no."""
        return self.is_number or self.kind == "boolean"

    def as_time(self, reading: Reading | None = None) -> Reading | None:
        """How it may be a moment; None: not at all."""
        return column_types.as_time(reading or self.reading, self.low, self.high)

    @property
    def moment(self) -> str | None:
        """The moment, as an expression over table `looked`."""
        reading = column_types.as_time(column_types.once_read(self.reading.kind), self.low, self.high)
        return reading.of(self.name) if reading else None


@dataclass(frozen=True)
class Look:
    """Data that was looked at. Table `looked` of `connection` holds `columns`, as they are read.

    Attributes:
        left_out: Name in the data -> why it is not there: empty, or of a type that is not read.
    """

    place: Place
    connection: duckdb.DuckDBPyConnection
    rows: int
    columns: tuple[ProfiledColumn, ...]
    left_out: dict[str, str]

    def column(self, given: str, option: str) -> ProfiledColumn:
        """The column that somebody names, by its name in the data or in the use case.

        Args:
            given: The name that the person gave.
            option: The option that it was given by, for the message.

        Raises:
            InvalidParams: there is none, or it was left out.
        """
        for column in self.columns:
            if given in (column.source, column.name):
                return column
        from perennial._common.suggestions import did_you_mean

        if given in self.left_out:
            raise InvalidParams(f"{option} {given}: the column {self.left_out[given]}.", "Name another one.")
        known = [column.source for column in self.columns]
        raise InvalidParams(
            f"{option} {given}: the data has no such column.",
            f"{did_you_mean(given, known)}It has {', '.join(known)}.",
        )

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over table `looked`, or what was made of it."""
        return self.connection.execute(sql).fetchall()


@contextmanager
def at(given: str, notations: dict[str, str], step: Callable[..., None] = lambda *_: None) -> Iterator[Look]:
    """Look at the data that `given` names; the temporary database goes with the block.

    Args:
        given: File, folder, S3 prefix, address on the web, or table by an Airflow connection.
        notations: Column of the data -> how its days are written, where the person gave it.
        step: Called with the name of each step as it begins, and how far it is where that is known.

    Raises:
        InvalidParams: it cannot be read, or holds nothing.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-new-") as folder, _placed(given, Path(folder), step) as place:
        connection = places.connect(place.address, MEMORY, Path(folder))
        try:
            step("finding out how it is written")
            place = dialects.prepared(connection, place)
            described = places.columns(connection, place)
            plain = names.columns(name for name, _ in described)
            given_notations = {
                name: column_types.in_notation(notations[key])
                for name in plain
                for key in (name, plain[name])
                if key in notations
            }
            step("finding out what each column holds")
            places.prepare_if_wide(connection, len(described))
            readings, doubts, left_out = fitting.find(connection, place, described, given_notations)
            if not readings:
                raise InvalidParams(f"--data {given}: no column holds anything.", "Look at the file.")
            step("reading it")
            selected = [
                (name, f"{reading.of(name)} AS {quote_ident(plain[name])}") for name, reading in readings.items()
            ]
            lossy = [name for name in readings if doubts.get(name, {}).get("unreadable")]
            selected += [(name, f"{quote_ident(name)} AS {_written(plain[name])}") for name in lossy]
            _create_looked(connection, place, selected)
            step("measuring it")
            rows = connection.execute("SELECT count(*) FROM looked").fetchall()[0][0]
            columns = [ProfiledColumn(name, plain[name], readings[name], **doubts.get(name, {})) for name in readings]
            measured = _with_words_for_nothing(connection, place, _measured(connection, columns, rows))
            measured = _with_infinite(connection, place, measured)
            yield Look(place, connection, rows, measured, left_out)
        finally:
            connection.close()


def _create_looked(connection: duckdb.DuckDBPyConnection, place: Place, selected: Sequence[tuple[str, str]]) -> None:
    """Make table `looked` of columns of the data, each with SQL over it; in parts, as `places.read_each` says."""
    parts = [f"looked_{number}" for number, _ in enumerate(in_parts(selected, _AT_ONCE))]
    for part, some in zip(parts, in_parts(selected, _AT_ONCE), strict=True):
        asked = ", ".join(sql for _, sql in some)
        source = place.reader_of(dict.fromkeys(column for column, _ in some))
        places.read(connection, place, f"CREATE TABLE {part} AS SELECT {asked} FROM {source}")  # noqa: S608
    connection.execute(f"CREATE TABLE looked AS FROM {' POSITIONAL JOIN '.join(parts)}")
    for part in parts:
        connection.execute(f"DROP TABLE {part}")


def as_written(look: Look, column: ProfiledColumn) -> Look:
    """The look, with a column as the text that it is where its reading makes nothing of some values.

    Args:
        look: The profiled data; its table `looked` is changed.
        column: The column; returned as it is if every value could be read, or if it is text.
    """
    if not column.unreadable or column.kind == "text":
        return look
    filled = look.rows - column.missing
    share = filled / (filled + column.unreadable) if column.is_number else 0.0
    look.connection.execute(f"ALTER TABLE looked DROP COLUMN {quote_ident(column.name)}")
    look.connection.execute(f"ALTER TABLE looked RENAME COLUMN {_written(column.name)} TO {quote_ident(column.name)}")
    text = ProfiledColumn(column.source, column.name, column_types.TEXT, mixed=share, either=(column.reading,))
    measured = _with_words_for_nothing(look.connection, look.place, _measured(look.connection, [text], look.rows))
    return replace(look, columns=tuple(measured[0] if each is column else each for each in look.columns))


def with_words_as_unknown(look: Look, column: ProfiledColumn) -> Look:
    """The look, in which all words among a column's numbers stand for no value.

    Args:
        look: The profiled data.
        column: The column, of numbers.
    """
    known = replace(column, words=column.all_word_count, nulls=column.all_words)
    return replace(look, columns=tuple(known if each is column else each for each in look.columns))


def _written(name: str) -> str:
    """What table `looked` calls the text that column `name` was read from; no name of a column has two underscores."""
    return quote_ident(f"{name}__written")


def within(look: Look, table: str, rows: int) -> Look:
    """The look, as if the data were the rows of a table that has a part of those of `looked`.

    Args:
        look: The profiled data.
        table: The table, in the look's database.
        rows: How many rows it has.
    """
    columns = _measured(look.connection, look.columns, rows, table)
    left_out = {each.source: "is empty in every row that is used" for each in columns if each.missing == rows}
    used = tuple(each for each in columns if each.missing < rows)
    return replace(look, columns=used, left_out=look.left_out | left_out)


def _placed(given: str, folder: Path, step: Callable[..., None]) -> AbstractContextManager[Place]:
    if "://" in given:
        from perennial.scaffold import remote

        if remote.is_far(given):
            return remote.brought(given, folder, step)
    return nullcontext(places.find(given))


def _with_words_for_nothing(
    connection: duckdb.DuckDBPyConnection, place: Place, columns: tuple[ProfiledColumn, ...]
) -> tuple[ProfiledColumn, ...]:
    """The columns; those of text with how many of their missing values are words like NA, which may be a name there."""
    texts = [each for each in columns if each.kind == "text" and each.missing and not each.mixed]
    if place.format != "csv" or not texts:
        return columns
    words = [
        f"CASE WHEN {quote_ident(each.source)} IN {NULLS[1:]} THEN {quote_ident(each.source)} END" for each in texts
    ]
    asked = [
        (each.source, f"{how}({word})") for each, word in zip(texts, words, strict=True) for how in ("count", "min")
    ]
    counts = places.read_each(connection, place, asked, nulls=NULLS[:1])
    facts = {
        each.name: {"unreadable": count, "unreadable_example": word or ""}
        for each, count, word in zip(texts, counts[::2], counts[1::2], strict=True)
    }
    return tuple(_with(each, **facts.get(each.name, {})) for each in columns)


def _with_infinite(
    connection: duckdb.DuckDBPyConnection, place: Place, columns: tuple[ProfiledColumn, ...]
) -> tuple[ProfiledColumn, ...]:
    """The columns; those of numbers with how many of their missing values are infinite."""
    asked: dict[str, tuple[str, str]] = {}
    for each in columns:
        if not each.is_number or not each.missing:
            continue
        if place.format == "csv":
            asked[each.name] = (each.source, f"count_if({quote_ident(each.source)} IN {places.INFINITE})")
        elif each.reading.physical in ("FLOAT", "DOUBLE"):
            asked[each.name] = (each.source, f"count_if(isinf({quote_ident(each.source)}))")
    counts = places.read_each(connection, place, list(asked.values()), nulls=NULLS[:1])
    infinite = dict(zip(asked, counts, strict=True))
    return tuple(_with(each, infinite=infinite.get(each.name, 0)) for each in columns)


def _measured(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ProfiledColumn], rows: int, table: str = "looked"
) -> tuple[ProfiledColumn, ...]:
    """The columns with their statistics over the `rows` rows of a table."""
    measured = []
    for some in in_parts(columns, _AT_ONCE):
        asked = ", ".join(fact for column in some for fact in _facts(column))
        answers = iter(connection.execute(f"SELECT {asked} FROM {table}").fetchall()[0])  # noqa: S608
        measured += [
            _with(
                column,
                missing=rows - next(answers),
                **{fact: next(answers) for fact in ("distinct", "low", "high", "mean", "spread")},
            )
            for column in some
        ]
    few = [column for column in measured if column.distinct <= 2 * FEW]
    values: dict[str, dict[str, Any]] = {}
    for some in in_parts(few, _AT_ONCE):
        asked = ", ".join(f"histogram({quote_ident(column.name)})" for column in some)
        for column, counts in zip(some, connection.execute(f"SELECT {asked} FROM {table}").fetchall()[0], strict=True):  # noqa: S608
            if counts is not None and len(counts) <= FEW:
                listed = sorted(counts, key=lambda value: (-counts[value], value))
                values[column.name] = {"values": tuple(listed), "distinct": len(listed)}
    return tuple(_with(column, **values.get(column.name, {"values": ()})) for column in measured)


def _facts(column: ProfiledColumn) -> tuple[str, ...]:
    """The aggregates that a column is measured by."""
    name = quote_ident(column.name)
    ends = (f"min({name})", f"max({name})") if column.kind != "text" else ("NULL", "NULL")
    numeric = (f"avg({name})", f"stddev_pop({name})") if column.is_number else ("NULL", "NULL")
    return (f"count({name})", f"approx_count_distinct({name})", *ends, *numeric)


def _with(column: ProfiledColumn, **facts: Any) -> ProfiledColumn:
    return ProfiledColumn(**{**vars(column), **facts})
