"""Locates data, and reads it with DuckDB: one file, a folder of files, or an S3 prefix; CSV or Parquet.

What lies on the web or in a database is brought into a file first (`remote`), and its place remembers where it is from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.errors import InvalidParams
from perennial.sources import csv_dialects, listing
from perennial.sources.csv_files import CsvFile, Dialect, UnreadableFile
from perennial.sources.files import NULLS
from perennial.sources.listing import DataFile, Format
from perennial.sources.record_sources import one_line

#: A file's first bytes, read from, that tell nothing of a header.
_NUMBER = re.compile(r"^[-+]?[0-9.,]+$")
#: A table of more columns is wide; so many expressions make a query over one.
_WIDE, _PART = 64, 100
#: The table of the connection that holds the text of CSV files.
_TEXT = "written"
#: Up to this share of a file's lines may have another number of values than its header.
_RAGGED = 0.05
#: The encoding of a file that is not UTF-8 and has no byte order mark: that of Windows in the west.
_OTHERWISE = "cp1252"


@dataclass(frozen=True)
class Place:
    """Data that can be read again and again.

    Attributes:
        address: A file, or a folder or prefix of files, absolute; or an `s3://` address of either.
        format: Of all its files.
        files: Those that are read.
        dialect_of_csv: How most of its CSV files are written.
        texts: The columns that were read of its CSV files.
        origin: Where it was brought from; empty: it is read where it lies.
        dialect: Of a database, SQLAlchemy's name of its kind; empty: it is no table of one.
        unread: Column -> why it was not brought, or is not read.
        table: A table of the look's database that holds what is written in the files, read once; empty: there is none.
        notes: What was decided about the files, and why, for the person to see.
    """

    address: str
    format: Format
    files: tuple[DataFile, ...] = ()
    dialect_of_csv: Dialect = field(default_factory=Dialect)
    texts: tuple[str, ...] = ()
    origin: str = ""
    dialect: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def delimiter(self) -> str:
        """Of CSV files."""
        return self.dialect_of_csv.delimiter

    @property
    def named(self) -> str:
        """What people call it."""
        return self.origin or self.address

    @property
    def reader(self) -> str:
        """What a query selects from. Every value of a CSV file is text."""
        return self.table or self.reading_null(NULLS)

    def reading_null(self, texts: Sequence[str]) -> str:
        """`reader`, if other texts of a CSV file stand for "no value"."""
        if self.format == "parquet":
            return _parquet([file.address for file in self.files])
        words = ", ".join(map(quote_literal, texts))
        values = [
            f"CASE WHEN {name} NOT IN ({words}) THEN {name} END AS {name}" for name in map(quote_ident, self.texts)
        ]
        return f"(SELECT {', '.join(values)} FROM {_TEXT})"  # noqa: S608


def _parquet(addresses: Sequence[str]) -> str:
    names = ", ".join(
        quote_literal(each if each.startswith(listing.S3) else listing.escaped(each)) for each in addresses
    )
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = true, hive_types_autocast = false)"


def connect(address: str, memory: str, folder: Path) -> duckdb.DuckDBPyConnection:
    """A connection that spills into `folder`, holds a database there, and reads what `address` names.

    Args:
        address: As `Place.address`.
        memory: How much DuckDB may hold in memory, such as `1GB`.
        folder: For the database and for what exceeds `memory`.

    Raises:
        InvalidParams: the address is of a kind that cannot be read.
    """
    connection = duckdb.connect(str(folder / "looked.duckdb"))
    connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{memory}'")
    connection.execute(f"SET temp_directory = {quote_literal(str(folder))}")
    connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    if address.startswith(listing.S3):
        from fsspec.implementations.arrow import ArrowFSWrapper

        connection.register_filesystem(ArrowFSWrapper(listing.s3(address)[0]))
    return connection


def find(given: str) -> Place:
    """The place that somebody means by `given`; a folder or prefix means all its files.

    Raises:
        InvalidParams: there is nothing, or nothing that can be read.
    """
    scheme = given.partition("://")[0] if "://" in given else ""
    if scheme not in ("", "s3", "file"):
        raise InvalidParams(
            f"--data {given}: {scheme}:// is not read.",
            "Files, folders, s3://, http:// and https:// addresses are, and tables by an Airflow connection:"
            " connection://CONNECTION_ID/SCHEMA.TABLE.",
        )
    if scheme == "s3":
        return _of_files(given, given.rstrip("/"))
    path = Path(given.removeprefix("file://")).expanduser().resolve()
    if path.is_dir():
        return _of_files(given, str(path))
    if not path.is_file():
        near = sorted(file.name for file in path.parent.glob("*")) if path.parent.is_dir() else []
        from perennial._common.suggestions import did_you_mean

        raise InvalidParams(
            f"--data {given}: there is no such file or folder.", f"{did_you_mean(path.name, near)}Give one that exists."
        )
    if not path.stat().st_size:
        raise InvalidParams(f"--data {given}: the file is empty.", "Give one with a header and rows.")
    kind = listing.format_of(path.name)
    if kind is None:
        raise InvalidParams(
            f"--data {given}: {path.suffix or 'a file without an ending'} is not read.",
            "Give a CSV or Parquet file; their names end with"
            f" {', '.join(ending for endings in listing.ENDINGS.values() for ending in endings)}.",
        )
    return Place(str(path), kind, (DataFile(str(path)),))


def _of_files(given: str, address: str) -> Place:
    """All files of a folder or prefix that are of one format."""
    try:
        found = listing.list_files(address)
    except OSError as error:
        fix = "Let its files be read by whoever runs this."
        if address.startswith(listing.S3):
            fix = (
                "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION (and AWS_ENDPOINT_URL_S3 for other"
                " stores), and check the bucket's name."
            )
        raise InvalidParams(f"--data {given} cannot be listed: {one_line(error)}", fix) from error
    formats = {listing.format_of(file.address) for file in found.files}
    if len(formats) != 1:
        what = "CSV and Parquet files" if formats else "no CSV or Parquet files"
        raise InvalidParams(f"--data {given} holds {what}.", "Give a folder with files of one of the two formats.")
    unpacked = Counter(re.sub(r"\.(gz|zst|bz2)$", "", file.address.lower()) for file in found.files)
    twice = [address for address, count in unpacked.items() if count > 1]
    if twice:
        raise InvalidParams(
            f"--data {given} holds {Path(twice[0]).name} more than once: packed and not, or in capitals and not.",
            "Keep one of them, so that no row is read twice.",
        )
    notes = []
    if found.left_out:
        some = [f"{each.removeprefix(address).lstrip('/')} {why}" for each, why in found.left_out.items()]
        more = f", and {len(some) - 5} more" if len(some) > 5 else ""
        notes.append((f"{len(some)} files of the folder are not read", "; ".join(some[:5]) + more))
    form = formats.pop()
    assert form is not None  # noqa: S101
    return Place(address, form, found.files, notes=tuple(notes))


def with_dialect(connection: duckdb.DuckDBPyConnection, place: Place) -> Place:
    """The place, with how its CSV files are written, as all of each file says; their text is in the connection then.

    Args:
        connection: DuckDB.
        place: The data.

    Raises:
        InvalidParams: a file cannot be read, or has no header.
    """
    if place.format == "parquet":
        return _with_common_columns(
            place, {file.address: _parquet_columns(connection, place, file) for file in place.files}
        )
    files: dict[str, CsvFile] = {}
    for file in place.files:
        shown = place.origin or file.address
        try:
            dialect = csv_dialects.detect(file.address, _OTHERWISE)
            files[file.address] = CsvFile(file.address, dialect, (), file.folders)
        except UnreadableFile as error:
            raise InvalidParams(
                f"--data {shown} cannot be read as CSV: {error.problem}.",
                "Correct the file, or leave it out: one header, the same number of values in each line.",
            ) from error
        header = files[file.address].header
        if all(_NUMBER.match(name) for name in header):
            raise InvalidParams(
                f"--data {shown} has no header: its first line is {', '.join(header[:5])}.",
                "Write the columns' names into a first line.",
            )
    place = _with_common_columns(place, {address: file.header for address, file in files.items()})
    place = _with_notes_of_dialects(place, files)
    names = [name for name in next(iter(files.values())).header if name not in place.unread]
    place = replace(place, texts=tuple(names))
    for number, (address, csv) in enumerate(files.items()):
        _load(connection, csv, names, place.origin or address, is_first=not number)
    ragged = [(address, csv) for address, csv in files.items() if csv.ragged]
    if ragged:
        count = sum(len(csv.ragged) for _, csv in ragged)
        address, csv = ragged[0]
        (line, text), values = next(iter(csv.shown([min(csv.ragged)]).values())), csv.ragged[min(csv.ragged)]
        what = (
            f"has {values} values, and the header {len(csv.header)}" if values else "opens a quote and never closes it"
        )
        where = f"line {line} of {place.origin or address} {what}: {text[:80]!r}"
        place = replace(place, notes=(*place.notes, (f"{count} lines are left out, and will go to quarantine", where)))
    return place


def _with_notes_of_dialects(place: Place, files: Mapping[str, CsvFile]) -> Place:
    """The dialect of most files, whose `encoding` is that of those that are not UTF-8; others are noted."""
    notes = list(place.notes)
    dialects = Counter(replace(csv.dialect, encoding="utf-8") for csv in files.values())
    dialect = dialects.most_common(1)[0][0]
    others = [address for address, csv in files.items() if replace(csv.dialect, encoding="utf-8") != dialect]
    if others:
        notes.append((f"{len(others)} files are read in a dialect of their own", f"{others[0]} is written otherwise"))
    guessed = [address for address, csv in files.items() if csv.dialect.encoding == _OTHERWISE]
    if guessed:
        dialect = replace(dialect, encoding=_OTHERWISE)
        notes.append(
            (f"encoding {_OTHERWISE}", f"{place.origin or guessed[0]} is not UTF-8 and has no byte order mark")
        )
    repeated = next((csv.header for csv in files.values() if csv.has_repeated_names), None)
    if repeated:
        notes.append(("columns with the same name are numbered", ", ".join(repeated)))
    return replace(place, dialect_of_csv=dialect, notes=tuple(notes))


def _load(
    connection: duckdb.DuckDBPyConnection, csv: CsvFile, names: Sequence[str], shown: str, *, is_first: bool
) -> None:
    """Put the text of a file into the connection."""
    selected = ", ".join(f"c{number} AS {quote_ident(name)}" for number, name in enumerate(names))
    connection.register("arrived", csv.rows(names))
    start = f"CREATE TABLE {_TEXT} AS" if is_first else f"INSERT INTO {_TEXT}"
    try:
        connection.execute(f"{start} SELECT {selected} FROM arrived")  # noqa: S608
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {shown} cannot be read to its end: {one_line(error)}", "Correct the file."
        ) from error
    finally:
        connection.unregister("arrived")
    if len(csv.ragged) > max(1, _RAGGED * csv.total):
        record = min(csv.ragged)
        ((line, text),) = csv.shown([record]).values()
        raise InvalidParams(
            f"--data {shown} cannot be read as CSV: {len(csv.ragged)} of its {csv.total} lines have another number of"
            f" values than the header, which has {len(csv.header)}. The first is line {line}, with"
            f" {csv.ragged[record]}: {text[:200]!r}.",
            "Correct the file: one header, the same number of values in each line.",
        )


def _parquet_columns(connection: duckdb.DuckDBPyConnection, place: Place, file: DataFile) -> list[str]:
    try:
        rows = connection.execute(f"DESCRIBE FROM {_parquet([file.address])}").fetchall()
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {place.origin or file.address} cannot be read: {one_line(error)}", "Check that the file is whole."
        ) from error
    return [name for name, *_ in rows]


def _with_common_columns(place: Place, headers: Mapping[str, Sequence[str]]) -> Place:
    """The place, which does not read columns that some of its files lack."""
    unread = dict(place.unread)
    for name in dict.fromkeys(name for header in headers.values() for name in header):
        lacking = [address for address, header in headers.items() if name not in header]
        if lacking:
            unread[name] = f"is not in every file: {lacking[0]} lacks it"
    if headers and all(name in unread for name in next(iter(headers.values()))):
        raise InvalidParams(
            f"--data {place.named}: its files have no column in common.", "Give files of one kind, with one header."
        )
    return replace(place, unread=unread)


def _describe(connection: duckdb.DuckDBPyConnection, place: Place) -> list[tuple[str, str]]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {place.reader}").fetchall()  # noqa: S608
    return [(name, kind) for name, kind, *_ in rows if name not in place.unread]


def columns(connection: duckdb.DuckDBPyConnection, place: Place) -> list[tuple[str, str]]:
    """(name, DuckDB's type) of every column as it lies there.

    Args:
        connection: DuckDB.
        place: The data.

    Raises:
        InvalidParams: it cannot be read.
    """
    try:
        return _describe(connection, place)
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {place.named} cannot be read: {one_line(error)}", "Check that the files are whole."
        ) from error


def prepared_if_wide(connection: duckdb.DuckDBPyConnection, place: Place, columns: int) -> Place:
    """The place; a wide CSV file as a copy that gives some of its columns without reading all of them again.

    Args:
        connection: DuckDB.
        place: The data.
        columns: How many columns it has.

    Raises:
        InvalidParams: it cannot be read to its end.
    """
    if columns <= _WIDE:
        return place
    # It compares each expression of a query with all others, and those of different columns have nothing in common.
    connection.execute("SET disabled_optimizers = 'common_subexpressions'")
    if place.format == "parquet":
        return place
    read(connection, place, f"CREATE TABLE as_written AS SELECT * FROM {place.reader}")  # noqa: S608
    return replace(place, table="as_written")


def read_each(
    connection: duckdb.DuckDBPyConnection, place: Place, expressions: Sequence[str], relation: str = ""
) -> list[Any]:
    """The value of each aggregate over the data, in their order.

    DuckDB plans a query of a thousand expressions for minutes, so that they are asked for in parts.

    Args:
        connection: DuckDB.
        place: The data.
        expressions: SQL over its columns.
        relation: What they are over; empty: the place.

    Raises:
        InvalidParams: it cannot be read to its end.
    """
    values: list[Any] = []
    for first in range(0, len(expressions), _PART):
        some = ", ".join(expressions[first : first + _PART])
        values += read(connection, place, f"SELECT {some} FROM {relation or place.reader}")[0]  # noqa: S608
    return values


def read(connection: duckdb.DuckDBPyConnection, place: Place, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the place's `reader`.

    Args:
        connection: DuckDB.
        place: The data.
        sql: The query.

    Raises:
        InvalidParams: it cannot be read to its end.
    """
    try:
        return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {place.named} cannot be read to its end: {one_line(error)}",
            "Fix the line or the file that it names.",
        ) from error
