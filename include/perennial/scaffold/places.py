"""Locates data, and reads it with DuckDB: one file, a folder of files, or an S3 prefix; CSV or Parquet.

What lies on the web or in a database is brought into a file first (`remote`), and its place remembers where it is from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from perennial._common.duckdb_session import in_parts
from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.errors import InvalidParams
from perennial.sources import listing
from perennial.sources.csv_text import Dialect
from perennial.sources.files import NULLS
from perennial.sources.listing import DataFile, Format
from perennial.sources.parquet_records import duckdb_address
from perennial.sources.record_sources import one_line

#: A table of more columns is wide; so many expressions make a query over one.
_WIDE, _PART = 64, 100
#: How an infinite number is written. Nothing can be computed with it: while data is profiled, it stands for no value.
INFINITE = ("inf", "-inf")
#: What stands for "no value" in CSV files, unless somebody says otherwise.
_NOTHING = (*NULLS, *INFINITE)
#: The table of the connection that holds the text of CSV files.
TEXT = "written"
#: What a query over Parquet files calls the file that a row is from.
_FILE = "perennial_file"


@dataclass(frozen=True)
class Place:
    """Data that can be read again and again.

    Attributes:
        address: A file, or a folder or prefix of files, absolute; or an `s3://` address of either.
        format: Of all its files.
        files: Those that are read.
        dialect_of_csv: How most of its CSV files are written.
        texts: The columns that were read of its CSV files.
        own: Columns of its Parquet files, in small letters, that go before a folder's name of the same name.
        origin: Where it was brought from; empty: it is read where it lies.
        dialect: Of a database, SQLAlchemy's name of its kind; empty: it is no table of one.
        unread: Column -> why it was not brought, or is not read.
        notes: What was decided about the files, and why, for the person to see.
    """

    address: str
    format: Format
    files: tuple[DataFile, ...] = ()
    dialect_of_csv: Dialect = field(default_factory=Dialect)
    texts: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()
    origin: str = ""
    dialect: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
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
        return self.reader_of(self.texts)

    def reader_of(self, columns: Iterable[str], nulls: Sequence[str] = _NOTHING) -> str:
        """`reader` of some columns, as it takes time to plan each; of Parquet files it has all.

        Args:
            columns: The columns.
            nulls: The texts of CSV files that stand for "no value".
        """
        if self.format == "parquet":
            return _parquet_relation(self)
        words = ", ".join(map(quote_literal, nulls))
        values = [f"CASE WHEN {name} NOT IN ({words}) THEN {name} END AS {name}" for name in map(quote_ident, columns)]
        return f"(SELECT {', '.join(values)} FROM {TEXT})"  # noqa: S608


def _parquet_relation(place: Place) -> str:
    """The SQL relation of all Parquet files of a place; a folder's name is a value only of what no file has itself."""
    names = ", ".join(quote_literal(duckdb_address(file.address)) for file in place.files)
    source = f"read_parquet([{names}], union_by_name = true, hive_partitioning = false"
    keys = dict.fromkeys(name for file in place.files for name in file.folders if name.lower() not in place.own)
    if not keys:
        return f"{source})"
    # As `sources.listing` reads them: of the folders below the place alone, the last one of a name.
    below = f"substr({_FILE}, {len(place.address.rstrip('/')) + 1})"
    values = [
        f"nullif(url_decode(regexp_extract({below}, {quote_literal(f'.*/{re.escape(name)}=([^/]*)/')}, 1)),"
        f" {quote_literal(listing.HIVE_NULL)}) AS {quote_ident(name)}"
        for name in keys
    ]
    return f"(SELECT * EXCLUDE ({_FILE}), {', '.join(values)} FROM {source}, filename = '{_FILE}'))"  # noqa: S608


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


def prepare_if_wide(connection: duckdb.DuckDBPyConnection, columns: int) -> None:
    """Prepare a connection for queries over a wide table.

    Args:
        connection: DuckDB.
        columns: How many columns the table has.
    """
    if columns > _WIDE:
        # The one compares each expression of a query with all others, and those of different columns have nothing in
        # common; the other makes a join of each list of words that stand for no value, which is one for each column.
        connection.execute("SET disabled_optimizers = 'common_subexpressions,in_clause'")
        # Each thread holds a part of every column of what it writes.
        connection.execute("SET threads = 1")


def read_each(
    connection: duckdb.DuckDBPyConnection,
    place: Place,
    asked: Sequence[tuple[str, str]],
    relation: str = "",
    nulls: Sequence[str] = _NOTHING,
) -> list[Any]:
    """The value of each aggregate over the data, in their order.

    DuckDB plans a query of a thousand expressions for minutes, so that they are asked for in parts.

    Args:
        connection: DuckDB.
        place: The data.
        asked: A column of the data, and SQL over it.
        relation: What the SQL is over; empty: the place.
        nulls: What stands for "no value" in CSV files of the place.

    Raises:
        InvalidParams: it cannot be read to its end.
    """
    values: list[Any] = []
    for some in in_parts(asked, _PART):
        source = relation or place.reader_of(dict.fromkeys(column for column, _ in some), nulls)
        values += read(connection, place, f"SELECT {', '.join(sql for _, sql in some)} FROM {source}")[0]  # noqa: S608
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
